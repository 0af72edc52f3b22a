package consumer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quirelog/quire/consumergroup/assignor"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Check says whether a heartbeat makes sense by itself, whatever the group: INVALID_REQUEST or UNSUPPORTED_ASSIGNOR. Heartbeat asks it too.
func Check(r *kmsg.ConsumerGroupHeartbeatRequest) error {
	if err := checkIDs(r); err != nil {
		return err
	}
	if err := checkEpoch(r); err != nil {
		return err
	}
	if r.ServerAssignor != nil && !slices.Contains(assignorNames(), *r.ServerAssignor) {
		return fmt.Errorf("server assignor %q, known are %s: %w", *r.ServerAssignor, strings.Join(assignorNames(), ", "), kerr.UnsupportedAssignor)
	}
	return nil
}

func checkIDs(r *kmsg.ConsumerGroupHeartbeatRequest) error {
	// From version 1 on a member makes its own id, so that a lost answer to its first heartbeat makes no second member (KIP-1082).
	needsID := r.Version >= 1 || r.MemberEpoch > 0 || r.MemberEpoch == left
	switch {
	case needsID && blank(&r.MemberID):
		return fmt.Errorf("member id is empty: %w", kerr.InvalidRequest)
	case blank(&r.Group):
		return fmt.Errorf("group id is empty: %w", kerr.InvalidRequest)
	case blank(r.InstanceID):
		return fmt.Errorf("instance id is empty: %w", kerr.InvalidRequest)
	case blank(r.RackID):
		return fmt.Errorf("rack id is empty: %w", kerr.InvalidRequest)
	}
	return nil
}

func blank(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }

func checkEpoch(r *kmsg.ConsumerGroupHeartbeatRequest) error {
	joining := r.MemberEpoch == 0
	switch {
	case joining && r.RebalanceTimeoutMillis == -1:
		return fmt.Errorf("a first heartbeat needs a rebalance timeout: %w", kerr.InvalidRequest)
	case joining && (r.Topics == nil || len(r.Topics) > 0):
		return fmt.Errorf("a member that joins says that it owns no partitions: %w", kerr.InvalidRequest)
	case joining && r.SubscribedTopicNames == nil && r.SubscribedTopicRegex == nil:
		return fmt.Errorf("a first heartbeat needs topics or a regular expression: %w", kerr.InvalidRequest)
	case r.MemberEpoch == paused && r.InstanceID == nil:
		return fmt.Errorf("only a static member can leave for a while: %w", kerr.InvalidRequest)
	case r.MemberEpoch < paused:
		return fmt.Errorf("member epoch %d: %w", r.MemberEpoch, kerr.InvalidRequest)
	}
	return nil
}

// checkMemberEpoch fences a member that is not where the group knows it to be. The previous epoch will do while the member owns nothing that it was
// not given: the answer with the new one may have been lost.
func checkMemberEpoch(m *member, r *kmsg.ConsumerGroupHeartbeatRequest) error {
	switch {
	case r.MemberEpoch == 0 || r.MemberEpoch == m.epoch:
		return nil
	case r.MemberEpoch < m.epoch && r.MemberEpoch == m.previous && within(r.Topics, m.assigned):
		return nil
	}
	return fmt.Errorf("member %s comes with epoch %d and is in %d, it must give up its partitions and join again: %w",
		m.id, r.MemberEpoch, m.epoch, kerr.FencedMemberEpoch)
}

// checkSize refuses a member that does not fit into a record of the journal, as Kafka does, though not after writing.
func (g *Group) checkSize(id string, d *journal.MemberValue) error {
	if n := len(id) + sizeOf(d); n > g.cfg.maxRecord() {
		return fmt.Errorf("member describes itself in %d bytes, at most %d: %w", n, g.cfg.maxRecord(), kerr.UnknownServerError)
	}
	return nil
}

func assignorNames() []string {
	var names []string
	for _, a := range assignor.All() {
		names = append(names, a.Name())
	}
	return names
}
