package consumer

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// PartitionCheck says whether the offset of one partition may be committed.
type PartitionCheck func(topicID [16]byte, partition int32) error

// CheckCommit says whether a commit of offsets may pass: epoch is the member epoch, or the generation of a classic member; -1 and no member: from
// outside the group. version is the request's. A member may be behind for partitions that it has had all the time: then each is asked for with the
// PartitionCheck that is returned (KIP-1251); nil: all may.
func (g *Group) CheckCommit(id string, epoch int32, version int16) (PartitionCheck, error) {
	if epoch < 0 && g.Empty() {
		return nil, nil
	}
	m := g.members[id]
	if m == nil {
		return nil, fmt.Errorf("member %s: %w", id, kerr.UnknownMemberID)
	}
	if m.desc.Classic == nil && version < 9 {
		return nil, fmt.Errorf("members of the new protocol commit with version 9 and above, not %d: %w", version, kerr.UnsupportedVersion)
	}
	switch {
	case epoch == m.epoch:
		return nil, nil
	case epoch > m.epoch:
		return nil, fmt.Errorf("member %s comes with epoch %d and is in %d: %w", id, epoch, m.epoch, m.staleError())
	}
	return func(topic [16]byte, p int32) error {
		h, ok := holds(m.assigned, partition{topic, p})
		if !ok {
			h, ok = holds(m.revoking, partition{topic, p})
		}
		if !ok || epoch < h.since {
			return fmt.Errorf("member %s comes with epoch %d for a partition that it does not have, or got later: %w", id, epoch, m.staleError())
		}
		return nil
	}, nil
}

// CheckFetch says whether offsets may be told to member in its epoch (nil and -1: to anybody).
func (g *Group) CheckFetch(id *string, epoch int32) error {
	if id == nil && epoch < 0 {
		return nil
	}
	var m *member
	if id != nil {
		m = g.members[*id]
	}
	switch {
	case m == nil:
		return fmt.Errorf("no such member: %w", kerr.UnknownMemberID)
	case epoch != m.epoch:
		return fmt.Errorf("member %s comes with epoch %d and is in %d: %w", m.id, epoch, m.epoch, m.staleError())
	}
	return nil
}

func (m *member) staleError() error {
	if m.desc.Classic != nil {
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}
