package consumer

import (
	"fmt"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Members of the classic protocol in a group of the new one: the coordinator assigns for them too, so that a join is answered at once and has no leader,
// the member epoch is their generation, and what they are to own they fetch with a sync. A heartbeat is answered with REBALANCE_IN_PROGRESS when they
// have to join again, to say what they own and to get their next epoch.

// Join handles a *kmsg.JoinGroupRequest.
func (g *Group) Join(s *step.Step, c *step.Call, t Topics) {
	resp, err := g.join(s, c, t)
	if err != nil {
		s.Fail(c, err)
		return
	}
	s.Reply(c, resp)
}

func (g *Group) join(s *step.Step, c *step.Call, t Topics) (*kmsg.JoinGroupResponse, error) {
	r := c.Request.(*kmsg.JoinGroupRequest)
	if err := g.checkJoin(r); err != nil {
		return nil, err
	}
	resp, id := r.ResponseKind().(*kmsg.JoinGroupResponse), r.MemberID
	if id == "" {
		id = g.newMemberID()
		if r.InstanceID == nil && r.Version >= 4 {
			resp.MemberID, resp.ErrorCode = id, kerr.MemberIDRequired.Code
			return resp, nil
		}
	}
	before, err := g.findClassic(r)
	if err != nil {
		return nil, err
	}
	sub, err := readSubscription(r.Protocols[0].Metadata)
	if err != nil {
		return nil, err
	}
	if before == nil && r.MemberID != "" && len(sub.OwnedPartitions) > 0 {
		// It was fenced and has not heard of it. Kafka takes it in as a new one, which goes on with what others may have by now.
		return nil, fmt.Errorf("member %s says that it owns partitions: %w", id, kerr.UnknownMemberID)
	}
	desc := describeClassic(before, c, &sub)
	if err := g.checkSize(id, desc); err != nil {
		return nil, err
	}
	m, changed := g.describeAs(s, before, desc, id)
	g.subscribe(s, changed, t)
	stays := !g.allClassic() // else the group becomes a classic one, whose members assign
	if stays {
		g.retarget(s, t)
	}
	if stays || g.targetEpoch >= g.epoch {
		g.reconcile(s, m, sub.owned(t), changed.any(), t)
	}
	g.extend(m, s.Now)
	m.rebalance = time.Time{}
	g.start(&m.sync, s.Now.Add(m.rebalanceTimeout()))

	resp.MemberID, resp.Generation = m.id, m.epoch
	resp.ProtocolType, resp.Protocol = kmsg.StringPtr(consumerProtocol), kmsg.StringPtr(m.protocol().Name)
	return resp, nil
}

// checkJoin is what can be said of a join by itself and by the group's limits, in Kafka's order.
func (g *Group) checkJoin(r *kmsg.JoinGroupRequest) error {
	session, limits := time.Duration(r.SessionTimeoutMillis)*time.Millisecond, g.cfg.classic()
	_, known := g.members[r.MemberID]
	switch {
	case session < limits.MinSession || limits.MaxSession > 0 && session > limits.MaxSession:
		return fmt.Errorf("session timeout %v: %w", session, kerr.InvalidSessionTimeout)
	case g.cfg.Migration == Disabled:
		return fmt.Errorf("a group of the new protocol, and migration is disabled: %w", kerr.InconsistentGroupProtocol)
	case !known && g.full():
		return fmt.Errorf("group of %d members: %w", len(g.members), kerr.GroupMaxSizeReached)
	case !g.supports(r):
		return fmt.Errorf("no protocol that all classic members offer: %w", kerr.InconsistentGroupProtocol)
	}
	return nil
}

// supports says whether a joining member offers a protocol that all classic members do. They do not need it here, but after a downgrade.
func (g *Group) supports(r *kmsg.JoinGroupRequest) bool {
	if r.ProtocolType != consumerProtocol {
		return false
	}
	for i := range r.Protocols {
		if g.protocols[r.Protocols[i].Name] == g.classics {
			return true
		}
	}
	return false
}

// findClassic is the member that a join is about: nil for a new one; for a static member without an id, the one that it replaces.
func (g *Group) findClassic(r *kmsg.JoinGroupRequest) (*member, error) {
	switch {
	case r.InstanceID == nil:
		return g.members[r.MemberID], nil
	case r.MemberID == "":
		return g.members[g.instances[*r.InstanceID]], nil
	}
	return g.instance(*r.InstanceID, r.MemberID)
}

// describeClassic is how a member is described after a join; the description that it has where nothing changed.
func describeClassic(m *member, c *step.Call, sub *subscription) *journal.MemberValue {
	r, old := c.Request.(*kmsg.JoinGroupRequest), m.description()
	d := *old
	d.ClientID, d.ClientHost, d.Topics = c.ClientID, c.ClientHost, sortedSet(sub.Topics)
	d.InstanceID = override(d.InstanceID, r.InstanceID)
	if !blank(sub.Rack) {
		d.RackID = override(d.RackID, sub.Rack)
	}
	d.Regex = override(d.Regex, new(string))
	if r.Version == 0 {
		d.RebalanceTimeoutMs = r.SessionTimeoutMillis
	} else if r.RebalanceTimeoutMillis != -1 {
		d.RebalanceTimeoutMs = r.RebalanceTimeoutMillis
	}
	d.Classic = &journal.ClassicMember{SessionTimeoutMs: r.SessionTimeoutMillis}
	for _, p := range r.Protocols {
		d.Classic.Protocols = append(d.Classic.Protocols, journal.ClassicProtocol{Name: p.Name, Metadata: p.Metadata})
	}
	if m != nil && sameClassic(old.Classic, d.Classic) {
		d.Classic = old.Classic
		if sameDescription(old, &d) {
			return old
		}
	}
	return &d
}

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call, t Topics) {
	r := c.Request.(*kmsg.SyncGroupRequest)
	m, err := g.checkSync(r)
	if err == nil && g.targetEpoch > m.epoch && m.state != unrevoked {
		g.expectJoin(s, m)
		err = fmt.Errorf("member %s is in epoch %d, the target in %d: %w", m.id, m.epoch, g.targetEpoch, kerr.RebalanceInProgress)
	}
	if err != nil {
		s.Fail(c, err)
		return
	}
	m.sync = time.Time{}
	g.extend(m, s.Now)
	resp := r.ResponseKind().(*kmsg.SyncGroupResponse)
	resp.ProtocolType, resp.Protocol = r.ProtocolType, r.Protocol
	resp.MemberAssignment = writeAssignment(partitionsOf(m.assigned), m.protocol().Metadata, t)
	s.Reply(c, resp)
}

func (g *Group) checkSync(r *kmsg.SyncGroupRequest) (*member, error) {
	m, err := g.classicMember(r.MemberID, r.InstanceID, r.Generation)
	switch {
	case err != nil:
		return nil, err
	case r.ProtocolType != nil && *r.ProtocolType != consumerProtocol:
		return nil, fmt.Errorf("protocol type %q: %w", *r.ProtocolType, kerr.InconsistentGroupProtocol)
	case r.Protocol != nil && *r.Protocol != m.protocol().Name:
		return nil, fmt.Errorf("protocol %q: %w", *r.Protocol, kerr.InconsistentGroupProtocol)
	}
	return m, nil
}

// classicMember is the member of a request of the classic protocol.
func (g *Group) classicMember(id string, instance *string, generation int32) (*member, error) {
	m, err := g.members[id], error(nil)
	if instance != nil {
		m, err = g.instance(*instance, id)
	}
	switch {
	case err != nil:
		return nil, err
	case m == nil || m.desc.Classic == nil:
		return nil, fmt.Errorf("member %s: %w", id, kerr.UnknownMemberID)
	case m.epoch != generation:
		return nil, fmt.Errorf("member %s comes with generation %d and is in %d: %w", id, generation, m.epoch, kerr.IllegalGeneration)
	}
	return m, nil
}

// ClassicHeartbeat handles a *kmsg.HeartbeatRequest. It also looks after the topics, as a heartbeat of the new protocol does: Kafka leaves that to
// those, so that a group in which none is left notices nothing.
func (g *Group) ClassicHeartbeat(s *step.Step, c *step.Call, t Topics) {
	r := c.Request.(*kmsg.HeartbeatRequest)
	m, err := g.classicMember(r.MemberID, r.InstanceID, r.Generation)
	if err != nil {
		s.Fail(c, err)
		return
	}
	g.subscribe(s, change{}, t)
	g.retarget(s, t)
	g.extend(m, s.Now)
	resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
	if m.epoch < g.targetEpoch || m.state == unrevoked || m.state == unreleased && !g.waits(m) {
		g.expectJoin(s, m)
		resp.ErrorCode = kerr.RebalanceInProgress.Code
	}
	s.Reply(c, resp)
}

// waits says whether a partition that the target gives m is still held by another member.
func (g *Group) waits(m *member) bool {
	for _, p := range g.targets[m.id] {
		if owner, taken := g.owners[p]; taken && owner != m.id {
			return true
		}
	}
	return false
}

// expectJoin gives a member that was told to join again its rebalance timeout for that, from the first time that it is told.
func (g *Group) expectJoin(s *step.Step, m *member) {
	if m.rebalance.IsZero() {
		g.start(&m.rebalance, s.Now.Add(m.rebalanceTimeout()))
	}
}

// Leave handles a *kmsg.LeaveGroupRequest, which may name members of either protocol, static ones also by their instance id alone (KIP-345).
func (g *Group) Leave(s *step.Step, c *step.Call, t Topics) {
	r := c.Request.(*kmsg.LeaveGroupRequest)
	resp := r.ResponseKind().(*kmsg.LeaveGroupResponse)
	var gone []*member
	leave := func(id string, instance *string) int16 {
		m, err := g.members[id], error(nil)
		switch {
		case instance != nil && id == "":
			m = g.members[g.instances[*instance]]
		case instance != nil:
			m, err = g.instance(*instance, id)
		}
		if err == nil && m == nil {
			err = kerr.UnknownMemberID
		}
		if err == nil && !slices.Contains(gone, m) {
			gone = append(gone, m)
		}
		return step.Code(err)
	}
	if r.Version < 3 {
		resp.ErrorCode = leave(r.MemberID, nil)
	}
	for _, who := range r.Members {
		answer := kmsg.NewLeaveGroupResponseMember()
		answer.MemberID, answer.InstanceID = who.MemberID, who.InstanceID
		answer.ErrorCode = leave(who.MemberID, who.InstanceID)
		resp.Members = append(resp.Members, answer)
	}
	g.fence(s, t, gone...)
	s.Reply(c, resp)
}

// Fail answers all calls that wait with err: none does, members ask again in their own time.
func (g *Group) Fail(*step.Step, error) {}

func (c *Config) classic() *classic.Config {
	if c.Classic == nil {
		return &classic.Config{}
	}
	return c.Classic
}
