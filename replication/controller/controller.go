// Package controller keeps the cluster's metadata (topics with their ids, configurations, brokers, producer id blocks) as a
// Raft group of its own on raft-boltdb: commands in, an immutable image out.
//
// Every broker is a member: some vote, the others learn. A change is made where the group's leader is, the controller; the others forward
// it (propose.go, forward.go). The controller keeps the group's configuration to what the registered brokers need (voters.go says what the next
// change is, keeper.go makes it). Who may begin a group, and how one joins it, is in open.go and join.go.
package controller

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// The log is compacted once it is snapshotThreshold entries longer than the last snapshot; trailingLogs entries stay for
// members that are a little behind.
const (
	snapshotThreshold = 1024
	trailingLogs      = 256
)

// The group's elections are called by the broker, which notices within a second that another is dead. The library's own are for when that fails:
// late enough to leave the broker the first word, soon enough that the cluster's metadata is not stuck for long. One group with heartbeats every
// 300 to 600 ms costs nothing.
const (
	electionTimeout = 3 * time.Second
	commitTimeout   = time.Second // the transport tells followers of commits sooner
)

// Errors that callers decide on.
var (
	ErrTopicExists   = errors.New("topic exists already")
	ErrUnknownTopic  = errors.New("no such topic")
	ErrNotController = errors.New("this broker is not the controller")
	ErrTimeout       = errors.New("the controller did not answer in time")
	ErrPartitions    = errors.New("partition count can only grow")
)

// Options of Open.
type Options struct {
	Dir string // raft.db and the snapshots lie here
	// Self is registered as given, but for Incarnation: the one that the directory was founded with stays. "": made up.
	Self      Broker
	ClusterID string       // of a cluster that this broker founds alone; "": made up
	Logger    *slog.Logger // nil: discards

	// Transport is the controller group's part of the transport between brokers. nil: the broker is alone, and an empty directory is
	// founded by Open.
	Transport raft.Transport
	// Forward brings a body to HandleCommand of another broker, and the answer back; nil: changes are made where the controller is only.
	Forward func(ctx context.Context, to raft.ServerID, body []byte) ([]byte, error)
	// Alive says whether a broker answers; nil: all do.
	Alive func(raft.ServerID) bool
	// ReplaceAfter is how long a voter is dead before a learner takes its place. 0: 60 s.
	ReplaceAfter time.Duration

	electionTimeout time.Duration // of the library; 0: electionTimeout
}

func (o *Options) complete() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Alive == nil {
		o.Alive = func(raft.ServerID) bool { return true }
	}
	if o.ReplaceAfter == 0 {
		o.ReplaceAfter = time.Minute
	}
	if o.electionTimeout == 0 {
		o.electionTimeout = electionTimeout
	}
}

// alone says that there is nobody to forward to, nor will be.
func (o *Options) alone() bool { return o.Transport == nil }

// Controller is this broker's member of the controller group. Its methods are safe to call from several goroutines.
type Controller struct {
	o     Options
	raft  *raft.Raft
	fsm   *fsm
	store *storage
	net   *network

	wake   chan struct{} // has the keeper look
	served atomic.Uint64 // the newest term in which this broker leads and has applied all that came before; see Status
	caught caughtUp

	mu      sync.Mutex // guards closing and calls.Add against it, and roles
	closing bool
	roles   chan struct{}  // closed at the next change of who leads, then replaced
	closed  chan struct{}  // closed by Close
	calls   sync.WaitGroup // commands under way, and what runs in the background
}

// raftConfig is the library's own where the broker is alone, but for the log: a lone voter is told to lead.
func raftConfig(o *Options, net *network) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = net.self
	conf.Logger = newRaftLogger(o.Logger)
	conf.NoLegacyTelemetry = true
	conf.NoSnapshotRestoreOnStart = true // openStorage has read it
	conf.SnapshotThreshold = snapshotThreshold
	conf.TrailingLogs = trailingLogs
	if !o.alone() {
		conf.HeartbeatTimeout, conf.ElectionTimeout = o.electionTimeout, o.electionTimeout
		conf.LeaderLeaseTimeout = o.electionTimeout * 2 / 3 // without a majority a leader steps down, and fails what is under way
		if !net.basic {
			conf.CommitTimeout = commitTimeout
		}
	}
	return conf
}

// Image is the newest image; it is never nil.
func (c *Controller) Image() *Image { return c.fsm.images.image() }

// Changed returns a channel that is closed when an image newer than i is there.
func (c *Controller) Changed(i *Image) <-chan struct{} { return c.fsm.images.changed(i) }

// leader is the server that leads the group as far as is known; "": nobody.
func (c *Controller) leader() raft.ServerID {
	_, id := c.raft.LeaderWithID()
	return id
}

// Leader is the broker id of the controller; -1: unknown.
func (c *Controller) Leader() int32 {
	id, _, err := splitServerID(c.leader())
	if err != nil {
		return -1
	}
	return id
}

// Leads says whether this broker is the controller.
func (c *Controller) Leads() bool { return c.raft.State() == raft.Leader }

// rolesChanged is closed at the next change of who leads. It is to be had before looking at who does.
func (c *Controller) rolesChanged() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roles
}

// observe tells of changes of who leads until the controller is closed.
func (c *Controller) observe(changes <-chan raft.Observation) {
	for {
		select {
		case <-changes:
		case <-c.closed:
			return
		}
		c.mu.Lock()
		close(c.roles)
		c.roles = make(chan struct{})
		c.mu.Unlock()
		c.poke()
	}
}

// poke has the keeper look.
func (c *Controller) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run starts what goes on in the background.
func (c *Controller) run() {
	// An observation that finds no room is not missed: the one that is there has everything looked at.
	changes := make(chan raft.Observation, 1)
	c.raft.RegisterObserver(raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	}))
	c.calls.Go(func() { c.observe(changes) })
	c.calls.Go(c.keep)
}

// Close waits for the commands under way and stops the group. When ctx ends first, ErrTimeout: the directory may still be in use.
func (c *Controller) Close(ctx context.Context) error {
	c.mu.Lock()
	closed := c.closing
	c.closing = true
	c.mu.Unlock()
	if closed {
		return nil
	}
	close(c.closed)
	done := make(chan error, 1)
	go func() {
		c.calls.Wait() // before the shutdown, after which Raft forgets to answer some of them
		down := c.raft.Shutdown()
		_ = c.net.Close() // the library waits for what is under way to its peers, and closes the transport only then
		err := down.Error()
		done <- errors.Join(err, c.store.db.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return timeout(ctx)
	}
}
