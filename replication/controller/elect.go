package controller

import (
	"fmt"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// State is what a member of the controller group is.
type State byte

// The states of a member.
const (
	Follower State = iota
	Candidate
	Leader
	Learner // it has no vote
)

// Status is what the elector needs to know of the controller group on this broker.
type Status struct {
	State     State
	Serves    bool          // it leads, and all that came before its term is in Image
	Leader    raft.ServerID // "": nobody is known
	Term      uint64
	LastIndex uint64
	LastTerm  uint64
	Applied   uint64
	Voters    []raft.ServerID // of the newest configuration, which may not be committed
	Learners  []raft.ServerID
	Fresh     bool // the log has nothing but what the cluster was founded with
}

// Status waits for nobody.
func (c *Controller) Status() Status {
	s := Status{
		Leader: c.leader(), Term: c.raft.CurrentTerm(), LastIndex: c.raft.LastIndex(), Applied: c.raft.AppliedIndex(), LastTerm: c.lastTerm(),
	}
	s.Fresh = s.LastTerm <= foundingTerm
	votes := false
	for _, server := range c.servers() {
		if server.Suffrage == raft.Voter {
			s.Voters = append(s.Voters, server.ID)
			votes = votes || server.ID == c.store.server
		} else {
			s.Learners = append(s.Learners, server.ID)
		}
	}
	switch c.raft.State() {
	case raft.Leader:
		s.State = Leader
		s.Serves = c.served.Load() == s.Term
	case raft.Candidate:
		s.State = Candidate
	default:
		if !votes {
			s.State = Learner
		}
	}
	return s
}

// servers are the members of the newest configuration. The library answers that from memory.
func (c *Controller) servers() []raft.Server {
	return c.raft.GetConfiguration().Configuration().Servers
}

// lastTerm is the term of the last entry; the library tells it in no other way.
func (c *Controller) lastTerm() uint64 {
	stats := c.raft.Stats()
	log, _ := strconv.ParseUint(stats["last_log_term"], 10, 64) // the library has written them
	snapshot, _ := strconv.ParseUint(stats["last_snapshot_term"], 10, 64)
	return max(log, snapshot)
}

// CallElection has this broker stand for election, a candidate too, unless it leads or has no vote. Nobody reads from this group under a
// lease, so no promise to its leader is waited for.
func (c *Controller) CallElection() {
	var candidate uint64
	switch s := c.Status(); s.State {
	case Leader, Learner:
		return
	case Candidate:
		candidate = s.Term
	}
	c.net.CallElection(0, candidate)
}

// stand has this member stand for election if it has heard of no leader: Raft looks at its heartbeat timer at once when the timeout is
// shortened.
func (c *Controller) stand() error {
	conf := c.raft.ReloadableConfig()
	conf.HeartbeatTimeout -= time.Millisecond
	if err := c.raft.ReloadConfig(conf); err != nil {
		return fmt.Errorf("controller election: %w", err)
	}
	return nil
}
