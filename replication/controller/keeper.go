package controller

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	keepEvery   = time.Second      // how often the controller looks whether all members are alive and level
	changeTime  = 10 * time.Second // of waiting until the group takes a change of its configuration
	levelBehind = 64               // a learner may lack so many entries and vote: it has them before long
)

// keep keeps the group's configuration to what the cluster needs while this broker leads. It makes one change at a time.
func (c *Controller) keep() {
	ticker := time.NewTicker(keepEvery)
	defer ticker.Stop()
	var dead deaths
	for {
		select {
		case <-c.wake:
		case <-ticker.C:
		case <-c.closed:
			return
		}
		if !c.Leads() {
			dead = nil // what another leader saw is not known
			continue
		}
		if dead == nil {
			dead = deaths{}
		}
		if err := c.serve(); err != nil {
			continue // it does not lead any more
		}
		c.caught.see(c)
		for c.change(dead) {
		}
	}
}

// serve waits until all that came before this broker's term is applied. Then the configuration may be changed, and who is registered is known.
func (c *Controller) serve() error {
	term := c.raft.CurrentTerm()
	if c.served.Load() == term {
		return nil
	}
	if err := c.raft.Barrier(changeTime).Error(); err != nil {
		return err
	}
	// A term that began meanwhile has waited for nothing.
	if c.raft.CurrentTerm() == term {
		c.served.Store(term)
		c.net.Committed(c.raft.CommitIndex())
	}
	return nil
}

// change makes the next change that is needed; true if it was made, and another may be.
func (c *Controller) change(dead deaths) bool {
	now := time.Now()
	g := group{self: c.store.server, members: map[raft.ServerID]bool{}, brokers: map[raft.ServerID]Broker{}, alive: c.alive, level: c.level}
	for _, s := range c.servers() {
		g.members[s.ID] = s.Suffrage == raft.Voter
	}
	for _, b := range c.Image().Brokers {
		g.brokers[serverID(b.ID, b.Incarnation)] = b
	}
	dead.see(now, g.members, c.alive)
	g.dead = func(id raft.ServerID) bool { return dead.longer(now, id, c.o.ReplaceAfter) }
	s, id := g.next()
	if s == stepNone || c.isClosed() {
		return false
	}
	if err := c.make(s, id); err != nil {
		c.o.Logger.Warn("cannot change the controller group", "change", s.String(), "broker", id, "err", err)
		return false
	}
	c.net.Committed(c.raft.CommitIndex())
	c.o.Logger.Info("changed the controller group", "change", s.String(), "broker", id)
	return true
}

func (c *Controller) make(s step, id raft.ServerID) error {
	switch s {
	case stepAdd:
		return c.raft.AddNonvoter(id, raft.ServerAddress(id), 0, changeTime).Error()
	case stepPromote:
		return c.raft.AddVoter(id, raft.ServerAddress(id), 0, changeTime).Error()
	case stepDemote:
		return c.raft.DemoteVoter(id, 0, changeTime).Error()
	case stepRemove:
		return c.raft.RemoveServer(id, 0, changeTime).Error()
	case stepLeave:
		return c.handOver(id)
	}
	return fmt.Errorf("step %d is unknown", s)
}

// String names the step for logs.
func (s step) String() string {
	return [...]string{"none", "a broker learns", "a learner votes", "a voter learns", "a member is removed", "another leads"}[s]
}

func (c *Controller) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// level says whether a member's log is about where this leader's is.
func (c *Controller) level(id raft.ServerID) bool {
	index, _ := c.net.Match(id)
	return c.net.basic || index > 0 && index+levelBehind >= c.raft.LastIndex()
}

// caughtUp remembers when members were last known to have all that this leader had.
type caughtUp struct {
	mu   sync.Mutex
	term uint64 // in which this broker led
	at   map[raft.ServerID]time.Time
}

// see looks where the members are.
func (u *caughtUp) see(c *Controller) {
	term, last := c.raft.CurrentTerm(), c.raft.LastIndex()
	u.mu.Lock()
	defer u.mu.Unlock()
	if term != u.term || u.at == nil {
		u.term, u.at = term, map[raft.ServerID]time.Time{}
	}
	for _, s := range c.servers() {
		if index, at := c.net.Match(s.ID); index >= last && at.After(u.at[s.ID]) {
			u.at[s.ID] = at
		}
	}
}

func (u *caughtUp) of(id raft.ServerID) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at[id]
}
