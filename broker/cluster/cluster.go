// Package cluster knows who leads what in the cluster, and sees to it that somebody does.
//
// Leaders (leaders.go) is the table of who leads which partition and which replicas are fenced: soft state that each broker tells of
// itself and pushes to the others (gossip.go, message.go), where the highest term wins. The Elector calls elections in groups that
// have no leader: core.go decides, without I/O or clock, elector.go looks and acts, calls.go has what goes between brokers. What
// both need of the rest of the broker is in the interfaces of this file.
package cluster

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quirelog/quire/replication"
)

// ID names a Raft group: a partition's by topic id, or the controller's.
type ID = replication.GroupID

// ServerID names a broker's incarnation in the Raft groups.
type ServerID = replication.ServerID

// State is what a broker is in a group.
type State byte

// States. A learner is a member without a vote, or none at all.
const (
	Follower State = iota
	Candidate
	Leader
	Learner
)

// Status is a group as one of its members sees it.
type Status struct {
	State     State
	Serves    bool     // it leads, and what came before its term is committed and applied
	Leader    ServerID // as Raft knows it; "": nobody
	Term      uint64
	LastTerm  uint64
	LastIndex uint64
	Voters    []ServerID // of the newest configuration; shared, not to be changed
	Fresh     bool       // the log has nothing but the first configuration
}

// Group is one Raft group on this broker. No method waits for anything.
type Group interface {
	Status() Status
	// InSync lists the voters that are in sync. It is asked only where this broker leads.
	InSync(now time.Time) []ServerID
	// CallElection makes this broker stand for election, a candidate too, in a term that it has not voted in. It is dropped where
	// one is called already, where this broker leads or has no vote, and while it has promised a leader not to. Promises to
	// leaders of terms up to over bind nobody: each has said itself that it leads no more.
	CallElection(over uint64)
}

// Groups are the Raft groups of this broker, that of the controller among them.
type Groups interface {
	Get(id ID) Group // nil: not open here
	// Each calls f for every open group until it returns false.
	Each(f func(ID, Group) bool)
	// Preferred is the broker that is to lead a group where nothing speaks against it; -1: any.
	Preferred(id ID) int32
	// Fenced are the replicas of this broker that are not to be opened, with the reason.
	Fenced() map[ID]string
}

// Peers are the other brokers. The calls reach the handler of the same name there.
type Peers interface {
	Alive(id ServerID) bool
	// Promised is for how long this broker will not vote against a leader, since it has answered its pings; 0: it may. "" asks
	// for a group without a known leader: it may have promised anybody before it was started.
	Promised(leader ServerID) time.Duration
	CallGossip(ctx context.Context, to ServerID, body []byte) ([]byte, error)
	CallStates(ctx context.Context, to ServerID, body []byte) ([]byte, error)
	CallElect(ctx context.Context, to ServerID, body []byte) ([]byte, error)
}

// Options of New.
type Options struct {
	Self   ServerID
	Groups Groups
	Peers  Peers
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discards
}

// Cluster is a broker's Leaders and Elector.
type Cluster struct {
	Leaders *Leaders
	Elector *Elector
}

// New makes both; Run makes them work. Nobody else is known before SetMembers.
func New(o Options) *Cluster {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := newLeaders(o)
	e := newElector(o, l)
	l.touched = e.touch
	return &Cluster{Leaders: l, Elector: e}
}

// Run works until ctx ends, and waits for what it has started.
func (c *Cluster) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { c.Leaders.run(ctx) })
	wg.Go(func() { c.Elector.run(ctx) })
	wg.Wait()
}

// SetMembers tells which brokers are registered, in their newest incarnations. What is known of others is forgotten, and what they
// tell is refused.
func (c *Cluster) SetMembers(members []ServerID) { c.Leaders.setMembers(members) }

// Touch tells that a group was opened, closed or fenced here, or that its leader, its term or its replicas in sync have changed. It
// may be called from anywhere, and costs little. What nobody tells is found within scanEvery.
func (c *Cluster) Touch(id ID) {
	c.Leaders.touch(id)
	c.Elector.touch(id)
}

// OnPeer tells that a peer has come alive or died. It does not wait.
func (c *Cluster) OnPeer(id ServerID, alive bool) {
	c.Leaders.onPeer(id, alive)
	c.Elector.onPeer(id)
}

// brokerOf is the broker id in a server id, which is "<broker id>-<incarnation>"; -1: it has none.
func brokerOf(id ServerID) int32 {
	s, _, ok := strings.Cut(string(id), "-")
	n, err := strconv.ParseInt(s, 10, 32)
	if !ok || err != nil || n < 0 {
		return -1
	}
	return int32(n)
}
