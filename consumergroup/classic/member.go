package classic

import (
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
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

// offered is a request's protocols, each name once.
func offered(req *kmsg.JoinGroupRequest) []journal.ClassicProtocol {
	all := make([]journal.ClassicProtocol, 0, len(req.Protocols))
	seen := make(map[string]struct{}, len(req.Protocols))
	for i := range req.Protocols {
		p := &req.Protocols[i]
		if _, again := seen[p.Name]; again {
			continue
		}
		seen[p.Name] = struct{}{}
		all = append(all, journal.ClassicProtocol{Name: p.Name, Metadata: p.Metadata})
	}
	return all
}

// offers says whether the member's protocols are these, in this order.
func (m *Member) offers(protocols []journal.ClassicProtocol) bool {
	return slices.EqualFunc(m.Protocols, protocols, func(a, b journal.ClassicProtocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// insert adds a member whose ids nobody has. The first one decides on the protocol type, and leads.
func (g *Group) insert(m *Member) {
	if len(g.members) == 0 {
		g.leader = m
	}
	m.place = len(g.members)
	g.members = append(g.members, m)
	g.byID[m.ID] = m
	if m.InstanceID != nil {
		g.static[*m.InstanceID] = m
	}
	g.count(m, 1)
	g.given += len(m.Assignment)
	if m.join != nil {
		g.joining++
	}
	m.session.id = m.ID
}

// count adds what m offers to (or takes it from, by -1) what the group offers.
func (g *Group) count(m *Member, by int) {
	for i := range m.Protocols {
		name := m.Protocols[i].Name
		if g.offered[name] += by; g.offered[name] == 0 {
			delete(g.offered, name)
		}
	}
	g.bytes += by * m.size()
}

// remove drops a member; calls of its that wait are told that it is none.
func (g *Group) remove(s *step.Step, m *Member) {
	if m.join != nil {
		g.answerJoin(s, m, refusedJoin(m.join, "", kerr.UnknownMemberID))
	}
	g.refuseSync(s, m, kerr.UnknownMemberID)
	g.synced(m)
	g.count(m, -1)
	g.given -= len(m.Assignment)
	g.sessions.stop(&m.session)
	delete(g.byID, m.ID)
	if m.InstanceID != nil {
		delete(g.static, *m.InstanceID)
	}
	last := g.members[len(g.members)-1]
	last.place = m.place
	g.members[m.place] = last
	g.members[len(g.members)-1] = nil
	g.members = g.members[:len(g.members)-1]
	if g.leader == m {
		g.leader = nil
		if len(g.members) > 0 {
			g.leader = g.members[0]
		}
	}
}

// update takes over what a member says when it joins again, and lets the call wait. One that waited before was given up by its client.
func (g *Group) update(s *step.Step, m *Member, c *step.Call, protocols []journal.ClassicProtocol) {
	if m.join != nil {
		g.answerJoin(s, m, refusedJoin(m.join, m.ID, kerr.RebalanceInProgress))
	}
	req := c.Request.(*kmsg.JoinGroupRequest)
	g.count(m, -1)
	m.Protocols = protocols
	m.Session, m.Rebalance = timeouts(req)
	g.count(m, 1)
	m.join = c
	g.joining++
}

// rename gives a static member that started again its new id. Whoever still waits under the old one is fenced.
func (g *Group) rename(s *step.Step, m *Member, id string) {
	if m.join != nil {
		g.answerJoin(s, m, refusedJoin(m.join, m.ID, kerr.FencedInstanceID))
	}
	g.refuseSync(s, m, kerr.FencedInstanceID)
	g.synced(m)
	delete(g.byID, m.ID)
	m.ID, m.session.id = id, id
	m.fresh = false
	g.byID[id] = m
}

// validate finds the member that a request comes from.
func (g *Group) validate(id string, instance *string) (*Member, error) {
	if instance != nil {
		switch m, ok := g.static[*instance]; {
		case !ok:
			return nil, kerr.UnknownMemberID
		case m.ID != id:
			return nil, kerr.FencedInstanceID
		}
	}
	m, ok := g.byID[id]
	if !ok {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// touch begins the member's session anew. It ends after now in any case, so that Tick comes to an end.
func (g *Group) touch(s *step.Step, m *Member) {
	g.sessions.set(&m.session, s.Now.Add(max(m.Session, time.Millisecond)))
}
