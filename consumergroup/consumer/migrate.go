package consumer

import (
	"fmt"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Upgrade answers the heartbeat of a member that joins a classic group, which so becomes a group of the new protocol, its members staying alive
// (KIP-848, online migration): their calls that wait are answered with REBALANCE_IN_PROGRESS. nil: the heartbeat was refused, or the group cannot be
// changed (GROUP_ID_NOT_FOUND); then nothing is written and old is as it was. A group without members is simply replaced.
func Upgrade(s *step.Step, call *step.Call, old *classic.Group, c *Config, t Topics) *Group {
	r := call.Request.(*kmsg.ConsumerGroupHeartbeatRequest)
	err := Check(r)
	if err == nil {
		err = upgradable(r, old, c)
	}
	written, g := len(s.Entries), New(old.ID(), c)
	if err == nil {
		if !old.Idle() {
			s.Write(&journal.GroupMetadata{Group: old.ID()})
		}
		err = g.adopt(s, old, t)
	}
	if err == nil {
		var resp *kmsg.ConsumerGroupHeartbeatResponse
		if resp, err = g.heartbeat(s, call, t); err == nil {
			old.Fail(s, kerr.RebalanceInProgress)
			s.Reply(call, resp)
			return g
		}
	}
	s.Entries = s.Entries[:written]
	s.Fail(call, err)
	return nil
}

func upgradable(r *kmsg.ConsumerGroupHeartbeatRequest, old *classic.Group, c *Config) error {
	switch {
	case r.MemberEpoch != 0:
		return fmt.Errorf("group %s is of the classic protocol: %w", old.ID(), kerr.GroupIDNotFound)
	case old.Empty():
		return nil
	case c.Migration != Bidirectional && c.Migration != Upgrades:
		return fmt.Errorf("group %s is of the classic protocol, and its upgrade is disabled: %w", old.ID(), kerr.GroupIDNotFound)
	case old.ProtocolType() != consumerProtocol:
		return fmt.Errorf("group %s is not of consumers: %w", old.ID(), kerr.GroupIDNotFound)
	case c.MaxSize > 0 && old.Members() > c.MaxSize:
		return fmt.Errorf("group %s has %d members: %w", old.ID(), old.Members(), kerr.GroupIDNotFound)
	}
	return nil
}

// adopt makes the members of a classic group this one's, with what they have got last. All are in the generation that is the epoch now; they are told
// to join again once there is a target.
func (g *Group) adopt(s *step.Step, old *classic.Group, t Topics) error {
	if old.Empty() {
		return nil
	}
	assigned, owned := map[string][]partition{}, map[string][]partition{}
	for m := range old.All() {
		desc, sub, err := describeMember(m, old.Protocol())
		if err == nil {
			assigned[m.ID], err = readAssignment(m.Assignment, t)
		}
		if err != nil {
			return fmt.Errorf("group %s, member %s: %w", g.id, m.ID, err)
		}
		owned[m.ID] = sub.ownedList(t)
		g.write(s, &journal.Member{Group: g.id, Member: m.ID, Value: desc})
	}
	epoch := old.Generation()
	g.write(s, &journal.ConsumerGroup{Group: g.id, Value: &journal.ConsumerGroupValue{Epoch: epoch, MetadataHash: g.metadataHash(t)}})
	for _, id := range g.sortedIDs() {
		g.write(s, g.targetEntry(id, assigned[id]))
	}
	g.write(s, &journal.Target{Group: g.id, Value: &journal.TargetValue{Epoch: epoch}})
	g.adoptOwners(s, epoch, assigned, owned)
	return nil
}

// adoptOwners says who owns what. In the middle of a cooperative rebalance a member may have more than it was given: that is its own too, until it has
// joined again (Kafka forgets it, and so may give it to another at once).
func (g *Group) adoptOwners(s *step.Step, epoch int32, assigned, owned map[string][]partition) {
	taken := map[partition]bool{} // an assignor of one's own may give a partition twice, here it has one owner
	take := func(list []partition) (got []held) {
		for _, p := range list {
			if !taken[p] {
				taken[p] = true
				got = append(got, held{p, epoch})
			}
		}
		return got
	}
	ids, states := g.sortedIDs(), map[string]current{}
	for _, id := range ids {
		states[id] = current{epoch: epoch, previous: epoch, state: stable, assigned: take(assigned[id])}
	}
	for _, id := range ids {
		c := states[id]
		if c.revoking = take(owned[id]); len(c.revoking) > 0 {
			c.state = unrevoked
		}
		g.write(s, g.currentEntry(id, c))
		g.extend(g.members[id], s.Now)
	}
}

// describeMember describes a classic member, by what it says under the group's protocol. GROUP_ID_NOT_FOUND: that is not understood.
func describeMember(m *classic.Member, protocol string) (*journal.MemberValue, *subscription, error) {
	metadata := m.Metadata(protocol)
	if metadata == nil && len(m.Protocols) > 0 { // the group is in its first rebalance
		metadata = m.Protocols[0].Metadata
	}
	sub, err := readSubscription(metadata)
	if err != nil {
		return nil, nil, fmt.Errorf("%v: %w", err, kerr.GroupIDNotFound)
	}
	d := newcomer()
	d.InstanceID, d.ClientID, d.ClientHost, d.Topics = m.InstanceID, m.ClientID, m.ClientHost, sortedSet(sub.Topics)
	if !blank(sub.Rack) {
		d.RackID = sub.Rack
	}
	d.RebalanceTimeoutMs = int32(m.Rebalance / time.Millisecond)
	d.Classic = &journal.ClassicMember{SessionTimeoutMs: int32(m.Session / time.Millisecond), Protocols: m.Protocols}
	return d, &sub, nil
}

// allClassic says that members are left, none speaks the new protocol, and the group may become a classic one.
func (g *Group) allClassic() bool {
	limit := g.cfg.classic().MaxSize
	return g.classics > 0 && g.classics == len(g.members) && (g.cfg.Migration == Bidirectional || g.cfg.Migration == Downgrades) &&
		(limit <= 0 || g.classics <= limit)
}

// Downgrade is the classic group of the members that are left when none speaks the new protocol any more; nil while one does, none is left, or the
// policy forbids it. It costs nothing where it answers nil, so it may be asked after every step.
func (g *Group) Downgrade(s *step.Step, t Topics) *classic.Group {
	if !g.allClassic() {
		return nil
	}
	var members []*classic.Member
	for _, id := range g.sortedIDs() {
		d := g.members[id].desc
		members = append(members, &classic.Member{
			ID: id, InstanceID: d.InstanceID, ClientID: d.ClientID, ClientHost: d.ClientHost, Protocols: d.Classic.Protocols,
			Session: time.Duration(d.Classic.SessionTimeoutMs) * time.Millisecond, Rebalance: time.Duration(d.RebalanceTimeoutMs) * time.Millisecond,
		})
	}
	group, err := classic.FromMembers(g.id, g.cfg.classic(), g.epoch, members, s.Now)
	if err != nil {
		return nil // no protocol that all offer: they stay
	}
	// What a member has, not what the target gives it (as Kafka has it): another may have to let go of that first.
	for _, m := range members {
		m.Assignment = writeAssignment(partitionsOf(g.members[m.ID].assigned), m.Metadata(group.Protocol()), t)
	}
	stored := &step.Step{Now: s.Now}
	if err := group.Store(stored); err != nil {
		return nil // too large for a classic group
	}
	settled := g.State() == "Stable"
	g.Tombstones(s)
	s.Entries = append(s.Entries, stored.Entries...)
	if !settled {
		group.Rebalance(s)
	}
	return group
}
