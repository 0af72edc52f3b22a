package classic

import (
	"iter"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Generation counts the rebalances that were completed.
func (g *Group) Generation() int32 { return g.generation }

// Protocol is the protocol in use, "" where there is none yet.
func (g *Group) Protocol() string { return g.protocol }

// ProtocolType is "consumer" for consumers; "" for a group that never had a member.
func (g *Group) ProtocolType() string { return g.protocolType }

// Members is how many there are.
func (g *Group) Members() int { return len(g.members) }

// All goes over the members. The group must not be changed meanwhile.
func (g *Group) All() iter.Seq[*Member] { return slices.Values(g.members) }

// Member finds a member.
func (g *Group) Member(id string) (*Member, bool) {
	m, ok := g.byID[id]
	return m, ok
}

// Empty says that there are no members, and no rebalance goes on. Such a group may be deleted: the coordinator writes a GroupMetadata without a value
// and forgets it.
func (g *Group) Empty() bool { return g.state == empty }

// Idle says that the group is Empty, that nobody has got a member id to join with, and that the journal has nothing of it: but for committed offsets, it
// need not be remembered.
func (g *Group) Idle() bool { return g.state == empty && len(g.pending) == 0 && !g.stored }

// State is the group's state as Kafka spells it: Empty, PreparingRebalance, CompletingRebalance, Stable. (A group that is gone is Dead.)
func (g *Group) State() string {
	return [...]string{empty: "Empty", preparing: "PreparingRebalance", completing: "CompletingRebalance", stable: "Stable"}[g.state]
}

// EmptySince is when the last member left, for the retention of offsets; zero where unknown.
func (g *Group) EmptySince() time.Time {
	if g.state != empty {
		return time.Time{}
	}
	return g.changed
}

// Describe fills in state, protocol and members. The protocol and what members say under it are known of a stable group alone.
func (g *Group) Describe(into *kmsg.DescribeGroupsResponseGroup) {
	into.State, into.ProtocolType = g.State(), g.protocolType
	if g.state == stable {
		into.Protocol = g.protocol
	}
	into.Members = make([]kmsg.DescribeGroupsResponseGroupMember, len(g.members))
	for i, m := range g.members {
		d := &into.Members[i]
		d.Default()
		d.MemberID, d.InstanceID, d.ClientID, d.ClientHost = m.ID, m.InstanceID, m.ClientID, m.ClientHost
		d.MemberAssignment = m.Assignment
		if g.state == stable {
			d.ProtocolMetadata = m.Metadata(g.protocol)
		}
	}
}
