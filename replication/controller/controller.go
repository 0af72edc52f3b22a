// Package controller keeps the cluster's metadata (topics with their ids, configurations, brokers, producer id blocks) as a
// Raft group of its own on raft-boltdb: commands in, an immutable image out.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The log is compacted once it is snapshotThreshold entries longer than the last snapshot; trailingLogs entries stay for
// members that are a little behind.
const (
	snapshotThreshold = 1024
	trailingLogs      = 256
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
	// founded by Open. It must be unset or a *transport.Group, or be like one.
	Transport raft.Transport
	// Forward brings a command to HandleCommand of another broker, and the answer back; nil: changes are made where the controller is only.
	Forward func(ctx context.Context, to raft.ServerID, body []byte) ([]byte, error)
	// Alive says whether a broker answers; nil: all do.
	Alive func(raft.ServerID) bool
	// ReplaceAfter is how long a voter is dead before a learner takes its place. 0: 60 s.
	ReplaceAfter time.Duration
}

// Controller is this broker's member of the controller group. Its methods are safe to call from several goroutines.
type Controller struct {
	raft  *raft.Raft
	fsm   *fsm
	store *storage

	mu      sync.Mutex // guards closing, and calls.Add against it
	closing bool
	calls   sync.WaitGroup // commands under way
}

// Open starts the group; without others configured this broker founds a cluster of its own. It returns once an image is there,
// which on a single broker takes milliseconds, and the broker itself is registered in it. ErrTimeout when ctx ends first.
func Open(ctx context.Context, o Options) (*Controller, error) {
	if ctx.Err() != nil {
		return nil, timeout(ctx)
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := foundAlone(o); err != nil {
		return nil, err
	}
	store, err := openStorage(o.Dir, newRaftLogger(log))
	if err != nil {
		return nil, err
	}
	owner, incarnation, err := store.owner()
	if err == nil && owner != o.Self.ID {
		err = fmt.Errorf("controller directory %s belongs to broker %d, this is broker %d", o.Dir, owner, o.Self.ID)
	}
	if err != nil {
		return nil, errors.Join(err, store.db.Close())
	}
	c, err := start(store, newAloneTransport(owner), log)
	if err != nil {
		return nil, err
	}
	self := o.Self
	self.Incarnation = incarnation
	if err := c.lead(ctx, self); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx))) // a lone voter stops at once
	}
	return c, nil
}

// foundAlone founds a cluster of one broker if the directory is empty.
func foundAlone(o Options) error {
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("controller directory: %w", err)
	}
	if there, err := exists(o.Dir); there || err != nil {
		return err
	}
	self, cluster := o.Self, o.ClusterID
	if self.Incarnation == "" {
		self.Incarnation = newUUID().String()
	}
	if cluster == "" {
		cluster = newUUID().String()
	}
	server := raft.Server{ID: serverID(self.ID, self.Incarnation), Address: serverAddress(self.ID)}
	return found(o.Dir, founding{
		server:  server,
		voters:  []raft.Server{server},
		history: []command{&foundCluster{ClusterID: cluster}, &registerBroker{Broker: self}},
	})
}

// start runs the Raft group on an opened directory and owns store from then on.
func start(store *storage, t raft.Transport, log *slog.Logger) (*Controller, error) {
	c := &Controller{fsm: newFSM(store.image, log), store: store}
	conf := raft.DefaultConfig() // one group a broker: the library's timers cost nothing
	conf.LocalID = store.server
	conf.Logger = newRaftLogger(log)
	conf.NoLegacyTelemetry = true
	conf.NoSnapshotRestoreOnStart = true // openStorage has read it
	conf.SnapshotThreshold = snapshotThreshold
	conf.TrailingLogs = trailingLogs
	var err error
	c.raft, err = raft.NewRaft(conf, c.fsm, store.db, stableStore{store.db}, store.snapshots, t)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start controller: %w", err), store.db.Close())
	}
	return c, nil
}

// lead makes a lone voter lead, waits until its whole log is applied, and registers self if it is not yet as it should be.
func (c *Controller) lead(ctx context.Context, self Broker) error {
	// Raft looks at its heartbeat timer at once when the timeout is shortened, and finds that no leader was heard of.
	conf := c.raft.ReloadableConfig()
	conf.HeartbeatTimeout -= time.Millisecond
	if err := c.raft.ReloadConfig(conf); err != nil {
		return fmt.Errorf("controller election: %w", err)
	}
	select {
	case <-c.raft.LeaderCh():
	case <-ctx.Done():
		return timeout(ctx)
	}
	for i := c.Image(); i.Version < c.store.lastCommand; i = c.Image() {
		select {
		case <-c.Changed(i):
		case <-c.fsm.stopped:
			return c.fsm.stopErr
		case <-ctx.Done():
			return timeout(ctx)
		}
	}
	if c.Image().Brokers[self.ID] == self {
		return nil
	}
	_, err := c.propose(ctx, &registerBroker{Broker: self})
	return err
}

// Image is the newest image; it is never nil.
func (c *Controller) Image() *Image { return c.fsm.images.image() }

// Changed returns a channel that is closed when an image newer than i is there.
func (c *Controller) Changed(i *Image) <-chan struct{} { return c.fsm.images.changed(i) }

// Leader is the broker id of the controller; -1: unknown.
func (c *Controller) Leader() int32 {
	addr, _ := c.raft.LeaderWithID()
	id, err := strconv.ParseInt(string(addr), 10, 32)
	if err != nil {
		return -1
	}
	return int32(id)
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
	done := make(chan error, 1)
	go func() {
		c.calls.Wait() // before the shutdown, after which Raft forgets to answer some of them
		err := c.raft.Shutdown().Error()
		done <- errors.Join(err, c.store.db.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return timeout(ctx)
	}
}
