package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// Watch sets the brokers that are pinged, and to which connections are kept. A peer that is new among them counts as dead until it answers.
func (t *Transport) Watch([]raft.ServerID) {}

// Alive says whether the peer has answered a ping within Options.DeadAfter.
func (t *Transport) Alive(raft.ServerID) bool { return false }

// LastAnswer is when the peer last answered a ping; zero: never, or it is not watched.
func (t *Transport) LastAnswer(raft.ServerID) time.Time { return time.Time{} }

// Leased says whether this broker is one of voters and a majority of them, itself included, has answered pings that were sent within the last
// 600 ms. A leader asks Group.Leased, which says more.
func (t *Transport) Leased([]raft.ServerID) bool { return false }

// Leased says whether a leader in term may answer: no other can have been elected by voters, this broker being one of them. It takes a few atomic loads.
func (g *Group) Leased(term uint64, voters []raft.ServerID) bool { return g.t.Leased(voters) }

// Resign tells the peers that this broker no longer leads the group in term, and serves nothing of it, so that they may vote for another at once.
func (g *Group) Resign(term uint64) {}

// Fresh has is tell whether the group's log holds nothing but its bootstrap: then no leader can ever have counted on this broker, and it may
// vote as soon as it has started. It is called while Raft is about to vote, and must not block.
func (g *Group) Fresh(is func() bool) {}

// CallElection makes the group's Raft stand for election, which a leader must not be told. It is dropped where one waits already, or where this broker has
// promised a leader that it knows not to.
func (g *Group) CallElection() {}

// OnMatch has f told when the newest entry that a peer is known to hold moves. It is called by connections' readers, must not block, and two
// calls may change places.
func (g *Group) OnMatch(f func(peer raft.ServerID, index uint64)) {}
