package replication

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

// NodeOptions say what all groups of one broker share.
type NodeOptions struct {
	Dir    string // votes.db lies here, on the operating system's files: bbolt maps it
	Self   ServerID
	Logger *slog.Logger // nil: discards
	// TailCacheBytes bounds the entries kept in memory for followers, over all groups; 0: 64 MiB. Groups of one voter keep none.
	TailCacheBytes int64
	// Transport makes a group's transport to its peers; it must implement raft.WithPreVote, and its addresses are server ids.
	// nil: there are no peers, all groups have one voter.
	Transport func(GroupID) raft.Transport
	// Alive says whether another server answers; who does not is not in sync. It must not block. nil: all do.
	Alive func(ServerID) bool
}

// Node is what all Raft groups of one broker share: the votes file, the tail cache and the goroutine that writes
// checkpoints, which runs from OpenNode to Close.
type Node struct {
	options NodeOptions
	votes   *votes
	cache   tailCache
	timing  timing
	wrapLog func(*segment.Log) entryLog // of tests; nil: the log as it is

	mu      sync.Mutex
	groups  map[GroupID]*Group // that are open
	pulls   pulls
	due     []*Group // want a checkpoint, each once
	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

// timing is how long Raft waits. Elections are called, never awaited, so with thousands of groups long is better: a broker
// notices a dead peer by other means.
type timing struct {
	heartbeat time.Duration // a leader sends one every tenth of it
	lease     time.Duration // above heartbeat/5, and at most heartbeat
	commit    time.Duration // an idle leader tells its commit index this often
}

var defaultTiming = timing{heartbeat: 10 * time.Second, lease: 5 * time.Second, commit: time.Second}

const defaultTailCache = 64 << 20

// OpenNode opens the votes file.
func OpenNode(o NodeOptions) (*Node, error) {
	if o.Self == "" || len(o.Self) > maxCandidate {
		return nil, fmt.Errorf("server id %q: it must have 1 to %d bytes", o.Self, maxCandidate)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TailCacheBytes == 0 {
		o.TailCacheBytes = defaultTailCache
	}
	v, err := openVotes(filepath.Join(o.Dir, "votes.db"))
	if err != nil {
		return nil, err
	}
	n := &Node{
		options: o, votes: v, cache: tailCache{limit: o.TailCacheBytes}, timing: defaultTiming,
		groups: map[GroupID]*Group{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go n.writeCheckpoints()
	return n, nil
}

// Close closes what is shared; the groups must be closed before.
func (n *Node) Close() error {
	close(n.stop)
	<-n.stopped
	if err := n.votes.close(); err != nil {
		return fmt.Errorf("close votes file: %w", err)
	}
	return nil
}

// Self is this server.
func (n *Node) Self() ServerID { return n.options.Self }

// DropVotes forgets a group's votes, the last step of its deletion.
func (n *Node) DropVotes(id GroupID) error { return n.votes.drop(id) }

// Group is the open group of the id; nil: there is none.
func (n *Node) Group(id GroupID) *Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[id]
}

func (n *Node) opened(g *Group) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.groups[g.options.ID] = g
}

func (n *Node) closed(g *Group) {
	n.mu.Lock()
	if n.groups[g.options.ID] == g {
		delete(n.groups, g.options.ID)
	}
	n.mu.Unlock()
	n.pulls.end(g)
}

// ForgetLog makes it durable that a group's log, which is closed, is given up: it may be opened on an empty one, and joins then. What was promised in
// elections stays. Only whoever knows that the group has this server no longer as a member may call it.
func (n *Node) ForgetLog(id GroupID) error {
	return n.votes.update(id, func(v *vote) { v.bootstrapped, v.joins = false, true })
}

// requestCheckpoint puts g in the queue. g has made sure that it is not there.
func (n *Node) requestCheckpoint(g *Group) {
	n.mu.Lock()
	n.due = append(n.due, g)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// writeCheckpoints writes the checkpoints of all groups, one after the other: a checkpoint costs a few flushes, which must not
// hold up the goroutine that commits. A group that commits faster than this writes gets fewer, later ones.
func (n *Node) writeCheckpoints() {
	defer close(n.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case now := <-tick.C:
			n.pulls.sweep(now)
			continue
		case <-n.wake:
		}
		n.mu.Lock()
		due := n.due
		n.due = nil
		n.mu.Unlock()
		for _, g := range due {
			g.checkpointDue.Store(false)
			if err := g.Checkpoint(); err != nil && !errors.Is(err, ErrClosed) {
				n.options.Logger.Warn("cannot write checkpoint", "group", g.String(), "err", err)
			}
		}
	}
}
