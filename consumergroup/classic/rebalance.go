package classic

import (
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
)

// retryEmptyRebalance is the least time until a rebalance that nobody joined is tried again.
const retryEmptyRebalance = time.Second

// initialDelay is how an empty group waits for more members than the first (KIP-134): as long as others come, up to the rebalance timeout.
type initialDelay struct {
	active bool          // the rebalance began in an empty group
	wait   time.Duration // until due
	left   time.Duration // by which it may be prolonged
	more   bool          // somebody joined meanwhile
}

// Rebalance asks all members to join again.
func (g *Group) Rebalance(s *step.Step) {
	if g.state != preparing {
		g.prepare(s)
	}
}

// prepare begins a rebalance. It is not called while one is prepared.
func (g *Group) prepare(s *step.Step) {
	if g.state == completing {
		g.abandonSync(s, kerr.RebalanceInProgress)
	}
	if g.unsynced > 0 {
		for _, m := range g.members {
			g.synced(m)
		}
	}
	g.due, g.initial = time.Time{}, initialDelay{active: g.state == empty}
	g.become(preparing, s.Now)
	timeout := g.rebalanceTimeout()
	switch {
	case g.initial.active && g.config.InitialDelay > 0:
		g.initial.wait = g.config.InitialDelay
		g.initial.left = max(timeout-g.initial.wait, 0)
		g.due = s.Now.Add(g.initial.wait)
	case g.initial.active || g.allJoined():
		g.complete(s)
	default:
		g.due = s.Now.Add(timeout)
	}
}

// rebalanceOrComplete is what follows on a member's join.
func (g *Group) rebalanceOrComplete(s *step.Step) {
	if g.state != preparing {
		g.prepare(s)
		return
	}
	g.completeIfJoined(s)
}

// completeIfJoined goes on once the last member has joined; an initial delay is waited for all the same.
func (g *Group) completeIfJoined(s *step.Step) {
	if g.state == preparing && !g.initial.active && g.allJoined() {
		g.complete(s)
	}
}

// allJoined says that nobody is waited for.
func (g *Group) allJoined() bool { return g.joining == len(g.members) && len(g.pending) == 0 }

// rebalanceTimeout is the longest that a member wants to be waited for.
func (g *Group) rebalanceTimeout() time.Duration {
	var longest time.Duration
	for _, m := range g.members {
		longest = max(longest, m.Rebalance)
	}
	return longest
}

// joinsAreDue ends a rebalance's first part, or prolongs the initial delay.
func (g *Group) joinsAreDue(s *step.Step) {
	i := &g.initial
	if !i.active || !i.more || i.left == 0 {
		g.complete(s)
		return
	}
	next := min(g.config.InitialDelay, i.left)
	i.left = max(i.left-i.wait, 0)
	i.wait, i.more = next, false
	g.due = s.Now.Add(next)
}

// complete begins the next generation with the members that have joined. Static members that have not stay until their session ends.
func (g *Group) complete(s *step.Step) {
	g.due = time.Time{}
	for i := len(g.members) - 1; i >= 0; i-- {
		if m := g.members[i]; m.join == nil && m.InstanceID == nil {
			g.remove(s, m)
		}
	}
	if len(g.members) > 0 && !g.electJoined() {
		g.due = s.Now.Add(max(g.rebalanceTimeout(), retryEmptyRebalance))
		return
	}
	g.generation++
	if len(g.members) == 0 {
		g.protocol = ""
		g.become(empty, s.Now)
		g.topics = g.subscriptions()
		g.write(s)
		return
	}
	g.protocol = g.selectProtocol()
	g.topics = g.subscriptions()
	g.become(completing, s.Now)
	g.unsynced = len(g.members)
	for _, m := range g.members {
		if m.join != nil {
			g.answerJoin(s, m, g.accepted(m))
		}
		m.fresh, m.unsynced = false, true
		g.touch(s, m)
	}
	g.due = s.Now.Add(g.rebalanceTimeout())
}

// electJoined makes sure that the leader is one that has joined, if there is any.
func (g *Group) electJoined() bool {
	if g.leader.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leader = m
			return true
		}
	}
	return false
}

// selectProtocol is the protocol with the most votes: each member votes for the first of its own that all offer.
func (g *Group) selectProtocol() string {
	votes := make(map[string]int, len(g.offered))
	for _, m := range g.members {
		for i := range m.Protocols {
			if name := m.Protocols[i].Name; g.offered[name] == len(g.members) {
				votes[name]++
				break
			}
		}
	}
	best, most := "", 0
	for i := range g.leader.Protocols { // the leader's order decides between equals
		if name := g.leader.Protocols[i].Name; votes[name] > most {
			best, most = name, votes[name]
		}
	}
	return best
}

// syncsAreDue drops the members that have not asked for their assignment.
func (g *Group) syncsAreDue(s *step.Step) {
	g.due = time.Time{}
	for i := len(g.members) - 1; i >= 0; i-- {
		if m := g.members[i]; m.unsynced {
			g.remove(s, m)
		}
	}
	g.prepare(s)
}

// synced notes that the member need not sync any more in this generation.
func (g *Group) synced(m *Member) {
	if !m.unsynced {
		return
	}
	m.unsynced = false
	if g.unsynced--; g.unsynced == 0 && g.state != preparing {
		g.due = time.Time{}
	}
}

// abandonSync ends a generation that has no assignment.
func (g *Group) abandonSync(s *step.Step, err error) {
	g.given = 0
	for _, m := range g.members {
		m.Assignment = nil
		if m.sync != nil {
			g.refuseSync(s, m, err)
			g.touch(s, m)
		}
	}
}
