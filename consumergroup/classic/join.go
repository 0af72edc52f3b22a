package classic

import (
	"math"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// newMemberTimeout is how long the first join of a member may wait; after that its client has to try again.
	newMemberTimeout = 5 * time.Minute
	// maxPending is how many ids are given out to members that have not joined with them.
	maxPending = 10_000
)

// timeouts are the session and the rebalance timeout of a join. Version 0 knows only one.
func timeouts(req *kmsg.JoinGroupRequest) (session, rebalance time.Duration) {
	session = time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	if req.Version == 0 {
		return session, session
	}
	return session, time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond
}

// Join handles a *kmsg.JoinGroupRequest.
func (g *Group) Join(s *step.Step, c *step.Call) {
	req := c.Request.(*kmsg.JoinGroupRequest)
	protocols := offered(req)
	session, _ := timeouts(req)
	switch {
	case req.Group == "":
		g.refuse(s, c, kerr.InvalidGroupID)
	case !representable(req, c.ClientID):
		g.refuse(s, c, kerr.InvalidRequest)
	case session < g.config.MinSession || g.config.MaxSession > 0 && session > g.config.MaxSession:
		g.refuse(s, c, kerr.InvalidSessionTimeout)
	case !g.accepts(req, protocols):
		g.turnAway(s, c)
	case !g.supports(req.ProtocolType, protocols):
		g.refuse(s, c, kerr.InconsistentGroupProtocol)
	case req.MemberID == "":
		g.joinNew(s, c, protocols)
	default:
		g.joinKnown(s, c, protocols)
	}
}

// representable says whether the strings that are kept of a join fit into the older responses and the journal, whose strings have at most 32,767 bytes.
func representable(req *kmsg.JoinGroupRequest, clientID string) bool {
	const longest = math.MaxInt16
	id := len(clientID)
	if req.InstanceID != nil {
		id = max(id, len(*req.InstanceID))
	}
	for i := range req.Protocols {
		if len(req.Protocols[i].Name) > longest {
			return false
		}
	}
	return id+memberIDSuffix <= longest && len(req.ProtocolType) <= longest
}

// accepts says whether there is room for the member, or it has a place already; so has a static one that starts again, which Kafka refuses. While
// members join, only those that have are counted: so a group that has become too large loses the last ones.
func (g *Group) accepts(req *kmsg.JoinGroupRequest, protocols []journal.ClassicProtocol) bool {
	m, known := g.byID[req.MemberID]
	if !known && req.MemberID == "" && req.InstanceID != nil {
		m, known = g.static[*req.InstanceID]
	}
	bytes := g.bytes + (&Member{Protocols: protocols}).size()
	if known {
		bytes -= m.size()
	}
	if bytes > 4*g.config.maxRecord() {
		return false
	}
	switch limit := g.config.MaxSize; {
	case limit <= 0 || g.state == empty:
		return true
	case g.state == preparing:
		return known && m.join != nil || g.joining < limit
	default:
		return known || len(g.members) < limit
	}
}

// turnAway refuses a member for whom there is no room, and drops it where it was one.
func (g *Group) turnAway(s *step.Step, c *step.Call) {
	id := c.Request.(*kmsg.JoinGroupRequest).MemberID
	s.Reply(c, refusedJoin(c, "", kerr.GroupMaxSizeReached))
	g.forget(id)
	if m, ok := g.byID[id]; ok {
		g.remove(s, m)
		g.rebalanceOrComplete(s)
		return
	}
	g.completeIfJoined(s)
}

// supports says whether all members offer one of the protocols; in a group without any, each will do.
func (g *Group) supports(protocolType string, protocols []journal.ClassicProtocol) bool {
	if g.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	for i := range protocols {
		if g.offered[protocols[i].Name] == len(g.members) {
			return true
		}
	}
	return false
}

// joinNew is the join of a client without a member id. From version 4 on a dynamic member is given one first, to come back with: a client
// that did not wait for the answer leaves no member behind then (KIP-394).
func (g *Group) joinNew(s *step.Step, c *step.Call, protocols []journal.ClassicProtocol) {
	req := c.Request.(*kmsg.JoinGroupRequest)
	id := g.config.NewMemberID(c.ClientID, req.InstanceID)
	switch {
	case req.InstanceID != nil && g.static[*req.InstanceID] != nil:
		g.joinAgain(s, c, g.static[*req.InstanceID], id, protocols)
	case req.InstanceID != nil || req.Version < 4:
		g.add(s, c, id, protocols)
	case len(g.pending) >= maxPending:
		g.refuse(s, c, kerr.GroupMaxSizeReached)
	default:
		session, _ := timeouts(req)
		t := &timer{id: id}
		g.pending[id] = t
		g.sessions.set(t, s.Now.Add(session))
		s.Reply(c, refusedJoin(c, id, kerr.MemberIDRequired))
	}
}

// joinKnown is the join of a client with a member id.
func (g *Group) joinKnown(s *step.Step, c *step.Call, protocols []journal.ClassicProtocol) {
	req := c.Request.(*kmsg.JoinGroupRequest)
	if _, ok := g.pending[req.MemberID]; ok {
		if req.InstanceID != nil { // such an id is never given to a static member; Kafka stumbles over it
			s.Reply(c, refusedJoin(c, "", kerr.UnknownServerError))
			return
		}
		g.forget(req.MemberID)
		g.add(s, c, req.MemberID, protocols)
		return
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	if err != nil {
		g.refuse(s, c, err)
		return
	}
	// The leader of a stable group wants a rebalance when it joins, since what it knows has changed. Others may only have missed an answer.
	if g.state == preparing || g.state == stable && g.leader == m || !m.offers(protocols) {
		g.update(s, m, c, protocols)
		g.rebalanceOrComplete(s)
		return
	}
	s.Reply(c, g.welcome(c, m))
}

// add makes a member of who joins.
func (g *Group) add(s *step.Step, c *step.Call, id string, protocols []journal.ClassicProtocol) {
	req := c.Request.(*kmsg.JoinGroupRequest)
	m := &Member{
		ID: id, InstanceID: req.InstanceID, ClientID: c.ClientID, ClientHost: c.ClientHost,
		Protocols: protocols, join: c, fresh: true,
	}
	m.Session, m.Rebalance = timeouts(req)
	if len(g.members) == 0 {
		g.protocolType = req.ProtocolType
	}
	g.initial.more = true
	g.insert(m)
	g.sessions.set(&m.session, s.Now.Add(newMemberTimeout))
	g.rebalanceOrComplete(s)
}

// joinAgain is a static member that has started again: under a new id it takes the place that it had. In a stable group that needs no rebalance,
// unless the protocol or what it subscribes to changes (KIP-345).
func (g *Group) joinAgain(s *step.Step, c *step.Call, m *Member, id string, protocols []journal.ClassicProtocol) {
	leader, before := g.leader.ID, m.Metadata(g.protocol)
	g.rename(s, m, id)
	g.update(s, m, c, protocols)
	g.touch(s, m)
	switch {
	case g.state == preparing:
		g.completeIfJoined(s)
	case g.state == stable && g.selectProtocol() == g.protocol && g.sameTopics(before, m.Metadata(g.protocol)) && g.fits():
		g.write(s)
		r := g.accepted(m)
		if r.Version < 9 {
			// It must not assign, which can be said from version 9 on: earlier it does not learn that it leads.
			r.LeaderID, r.Members = leader, nil
		} else {
			r.SkipAssignment = g.leader == m
		}
		g.answerJoin(s, m, r)
	default:
		// While members sync the leader may assign to the old id.
		g.prepare(s)
	}
}
