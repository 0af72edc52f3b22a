package replication

import (
	"time"

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

// Status is a group as this server sees it at one moment.
type Status struct {
	State  State
	Serves bool     // it leads, and everything of earlier terms is committed and applied
	Leader ServerID // "": nobody that is known
	Term   segment.Term

	LastIndex segment.Index // of this server's log
	LastTerm  segment.Term
	Applied   segment.Index

	// Voters and Learners are of the newest configuration, which counts from the moment that it is stored. The slices are shared:
	// they must not be changed.
	Voters, Learners []ServerID
	ConfigIndex      segment.Index // of the entry that made it
	ConfigCommitted  bool
	Fresh            bool // the log holds nothing but the group's first configuration
}

// Status waits neither for Raft nor for a store under way.
func (g *Group) Status() Status { return Status{} }

// Match is how far a member's log is known to agree with this leader's, and when it last had everything that this leader had at that
// moment; zero: not since this server leads.
func (g *Group) Match(id ServerID) (segment.Index, time.Time) { return 0, time.Time{} }

// InSync lists the voters that had everything this leader had at some moment of the last 30 s, itself included; nobody where it does not lead.
func (g *Group) InSync(now time.Time) []ServerID { return nil }

// CallElection makes this server stand for election now: a voter that does not lead. It is dropped where an election is called already,
// and while this server has promised the leader that it knows not to vote; but not if over is at least the term in which that leads, which means
// that the leader of every term up to over has itself said that it leads no more.
func (g *Group) CallElection(over segment.Term) {}

// Leased says whether this server, as the leader, may answer from what it has: nobody else can have been elected. The only voter always may.
func (g *Group) Leased() bool { return true }

// Deserted tells that a voter has voted for another in term: if this server leads in a lower one, it serves nothing any more once this has returned.
func (g *Group) Deserted(term segment.Term) {}
