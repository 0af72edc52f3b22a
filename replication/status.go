package replication

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// State is what this server is in a group.
type State byte

// The states. A learner is a member without a vote, or none at all.
const (
	Follower State = iota
	Candidate
	Leader
	Learner
)

// String names the state for logs.
func (s State) String() string { return [...]string{"follower", "candidate", "leader", "learner"}[s] }

// Status is a group as this server sees it at one moment.
type Status struct {
	State  State
	Serves bool     // it leads, and everything of earlier terms is committed and applied
	Leader ServerID // "": nobody that is known
	Term   segment.Term

	LastIndex segment.Index // of this server's log
	LastTerm  segment.Term

	// Voters and Learners are of the newest configuration, which counts from the moment that it is stored. The slices are
	// shared: they must not be changed.
	Voters, Learners []ServerID
	ConfigIndex      segment.Index // of the entry that made it
	ConfigCommitted  bool
	Fresh            bool // the log holds nothing but the group's first configuration
}

// Status waits neither for Raft nor for a store under way. What it says of the log may be a moment older or newer than the rest.
func (g *Group) Status() Status {
	m := g.members.newest.Load()
	leader, term := g.Leader()
	s := Status{
		Serves: g.serving.Load() != 0, Leader: leader, Term: term,
		Voters: m.voters, Learners: m.learners, ConfigIndex: m.index, ConfigCommitted: g.settled(m),
	}
	s.LastIndex, s.LastTerm = g.lastEntry()
	s.Fresh = s.LastIndex <= 1
	switch state := g.raft.State(); {
	case state == raft.Leader:
		s.State = Leader
	case !m.votes(g.node.options.Self):
		s.State = Learner
	case state == raft.Candidate:
		s.State = Candidate
	}
	return s
}

// lastEntry is the index and the term of the log's last entry.
func (g *Group) lastEntry() (segment.Index, segment.Term) {
	for {
		last := g.log.LastIndex()
		if last == 0 {
			return 0, 0
		}
		if term, err := g.log.Term(last); err == nil {
			return last, term
		} // it was cut off in between
	}
}

// settled says whether a configuration is committed, as far as this server knows.
func (g *Group) settled(m *membership) bool {
	return m.index > 0 && (uint64(m.index) <= g.raft.CommitIndex() || m.index <= segment.Index(g.configured.Load()))
}

// peers is what a transport to other servers offers beside what Raft needs: see transport.Group.
type peers interface {
	Committed(index uint64)
	Match(id ServerID) (index uint64, at time.Time)
	OnMatch(f func(peer ServerID, index uint64))
	Leased(term uint64, voters []ServerID) bool
	Resign(term uint64)
	Fresh(is func() bool)
	CallElection(over, candidate uint64)
	HandOver(term uint64)
}

var _ peers = (*transport.Group)(nil)

// Leased says whether this server, as the leader, may still answer from what it has: nobody else can have been elected. It is
// asked after what is answered was read, and takes a few atomic loads. The only voter always may.
func (g *Group) Leased() bool {
	m := g.members.newest.Load()
	if m.lone || g.peers == nil {
		return true
	}
	term := g.serving.Load()
	// What a deserter says counts from before its answer counts for the lease, so it is looked at last.
	return term != 0 && g.peers.Leased(term, m.voters) && g.serving.Load() == term && g.deserted.Load() <= term
}

// Deserted tells that a voter has voted for another in term: if this server leads in a lower one, it serves nothing any more
// once this has returned.
func (g *Group) Deserted(term segment.Term) {
	for old := g.deserted.Load(); uint64(term) > old && !g.deserted.CompareAndSwap(old, uint64(term)); old = g.deserted.Load() {
	}
	if serving := g.serving.Load(); serving != 0 && serving < uint64(term) {
		g.lost()
	}
}

// CallElection makes this server stand for election now: a voter that does not lead. It is dropped where an election is called
// already, and while this server has promised the leader that it knows not to vote; but not if over is at least the term
// in which that leads, which means that the leader of every term up to over has itself said that it leads no more.
func (g *Group) CallElection(over segment.Term) {
	if g.raft.State() != raft.Leader && g.members.newest.Load().votes(g.node.options.Self) {
		g.stand(over)
	}
}

// stand makes this server stand for election, also where it leads: it steps down for that.
func (g *Group) stand(over segment.Term) {
	if g.peers != nil {
		var candidate uint64
		if term := g.raft.CurrentTerm(); g.raft.State() == raft.Candidate {
			candidate = term
		}
		g.peers.CallElection(uint64(over), candidate)
	} else {
		g.lone.callElection()
	}
}
