package classic

import (
	"fmt"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Restore is the group that an entry (with a value) describes; sessions begin anew at now.
func Restore(e *journal.GroupMetadata, c *Config, now time.Time) *Group {
	v := e.Value
	g := New(e.Group, c)
	g.stored, g.generation, g.protocolType = true, v.Generation, v.ProtocolType
	if v.CurrentStateTimestamp >= 0 {
		g.changed = time.UnixMilli(v.CurrentStateTimestamp)
	}
	if v.Protocol != nil {
		g.protocol = *v.Protocol
	}
	for i := range v.Members {
		g.restore(&v.Members[i], now)
	}
	if v.Leader != nil && g.byID[*v.Leader] != nil {
		g.leader = g.byID[*v.Leader]
	}
	g.topics = g.subscriptions()
	if len(g.members) == 0 {
		return g
	}
	g.state = stable
	if c.MaxSize > 0 && len(g.members) > c.MaxSize {
		g.prepare(&step.Step{Now: now}) // nobody waits, so nothing is answered
	}
	return g
}

// restore adds a member as it was written. Two of one id cannot have been.
func (g *Group) restore(v *kmsg.GroupMetadataValueMember, now time.Time) {
	if g.byID[v.MemberID] != nil || v.InstanceID != nil && g.static[*v.InstanceID] != nil {
		return
	}
	session := time.Duration(v.SessionTimeoutMillis) * time.Millisecond
	rebalance := time.Duration(v.RebalanceTimeoutMillis) * time.Millisecond
	if v.RebalanceTimeoutMillis == -1 { // older than Kafka 0.10.1
		rebalance = session
	}
	m := &Member{
		ID: v.MemberID, InstanceID: v.InstanceID, ClientID: v.ClientID, ClientHost: v.ClientHost, Session: session, Rebalance: rebalance,
		Protocols:  []journal.ClassicProtocol{{Name: g.protocol, Metadata: v.Subscription}},
		Assignment: v.Assignment,
	}
	g.insert(m)
	g.sessions.set(&m.session, now.Add(session))
}

// FromMembers is a stable group of consumers (protocol type "consumer") with members that come from elsewhere; sessions begin at now. The protocol is
// chosen among those that all offer: INCONSISTENT_GROUP_PROTOCOL where there is none. Assignments are set by the caller, who then calls Store and, where
// the members have to assign anew, Rebalance.
func FromMembers(id string, c *Config, generation int32, members []*Member, now time.Time) (*Group, error) {
	g := New(id, c)
	g.generation, g.protocolType = generation, consumerType
	for _, m := range members {
		g.insert(m)
		g.sessions.set(&m.session, now.Add(m.Session))
	}
	if len(members) > 0 {
		g.protocol = g.selectProtocol()
	}
	if g.offered[g.protocol] != len(members) || len(members) == 0 {
		return nil, fmt.Errorf("classic group %q of %d members: no protocol that all offer: %w", id, len(members), kerr.InconsistentGroupProtocol)
	}
	g.topics = g.subscriptions()
	g.become(stable, now)
	return g, nil
}

// Store writes the group as it is to the journal. GROUP_MAX_SIZE_REACHED: it is too large for a record, and nothing is written.
func (g *Group) Store(s *step.Step) error {
	g.measure()
	if !g.fits() {
		return fmt.Errorf("classic group %q of %d members: over %d bytes: %w", g.id, len(g.members), g.config.maxRecord(), kerr.GroupMaxSizeReached)
	}
	g.write(s)
	return nil
}

// fits says whether the group is small enough for a record of the journal.
func (g *Group) fits() bool {
	const fixed = 32 // at most: lengths and timeouts of a member, or the fields beside the members and the record's own
	size := 4*fixed + len(g.id) + len(g.protocolType) + len(g.protocol)
	for _, m := range g.members {
		size += fixed + 2*len(m.ID) + len(m.ClientID) + len(m.ClientHost) + len(m.Metadata(g.protocol)) + len(m.Assignment)
		if m.InstanceID != nil {
			size += len(*m.InstanceID)
		}
	}
	return size <= g.config.maxRecord()
}

// write writes the group, which fits.
func (g *Group) write(s *step.Step) {
	v := kmsg.NewGroupMetadataValue()
	v.ProtocolType, v.Generation = g.protocolType, g.generation
	v.CurrentStateTimestamp = -1
	if !g.changed.IsZero() {
		v.CurrentStateTimestamp = g.changed.UnixMilli()
	}
	if g.leader != nil {
		v.Protocol, v.Leader = kmsg.StringPtr(g.protocol), kmsg.StringPtr(g.leader.ID)
	}
	v.Members = make([]kmsg.GroupMetadataValueMember, len(g.members))
	for i, m := range g.members {
		v.Members[i] = kmsg.GroupMetadataValueMember{
			MemberID: m.ID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeoutMillis: int32(m.Rebalance.Milliseconds()), SessionTimeoutMillis: int32(m.Session.Milliseconds()),
			Subscription: m.Metadata(g.protocol), Assignment: m.Assignment,
		}
	}
	s.Write(&journal.GroupMetadata{Group: g.id, Value: &v})
	g.stored = true
}
