package classic

import (
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// Member is a member of a classic group. What is exported is for the change from and to a group of the new protocol (KIP-848): others read it, and may
// set Assignment before Store.
type Member struct {
	ID         string
	InstanceID *string // nil: dynamic
	ClientID   string
	ClientHost string
	Session    time.Duration
	Rebalance  time.Duration
	// Protocols are what the member offers, best first. After a restart only the one in use is known.
	Protocols []journal.ClassicProtocol
	// Assignment is what the leader gave it last; empty after a rebalance that did not end.
	Assignment []byte

	join, sync *step.Call // the calls that wait; nil: none
	fresh      bool       // never was in a generation: its session goes on while it waits
	unsynced   bool       // has not asked for its assignment in this generation
	place      int        // in Group.members
	session    timer
}

// Metadata is what the member says under a protocol, nil where it does not offer it. It must not be changed.
func (m *Member) Metadata(protocol string) []byte {
	for i := range m.Protocols {
		if m.Protocols[i].Name == protocol {
			return m.Protocols[i].Metadata
		}
	}
	return nil
}

// Waiting says whether a call of the member (a join or a sync) waits to be answered.
func (m *Member) Waiting() bool { return m.join != nil || m.sync != nil }

// size is the bytes of everything that the member offers.
func (m *Member) size() int {
	n := 0
	for i := range m.Protocols {
		n += len(m.Protocols[i].Name) + len(m.Protocols[i].Metadata)
	}
	return n
}

// NewMemberID is a member id that nobody has, as Kafka makes it: the instance id of a static member, else the client id, and a random UUID.
func (c *Config) NewMemberID(clientID string, instance *string) string {
	prefix := clientID
	if instance != nil {
		prefix = *instance
	}
	if c.UUID != nil {
		return prefix + "-" + c.UUID()
	}
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4, variant 1
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ID is the group's id.
func (g *Group) ID() string { return g.id }

// Generation counts the rebalances that were completed.
func (g *Group) Generation() int32 { return g.generation }

// Protocol is the protocol in use, "" where there is none yet.
func (g *Group) Protocol() string { return g.protocol }

// Members is how many there are.
func (g *Group) Members() int { return len(g.members) }

// All goes over the members. They must not be changed by others than a Downgrade, and the group not while it lasts.
func (g *Group) All() iter.Seq[*Member] { return slices.Values(g.members) }

// Member finds a member.
func (g *Group) Member(id string) (*Member, bool) {
	m, ok := g.byID[id]
	return m, ok
}
