package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hashicorp/raft"
)

// Open starts the group's member in a directory that Found or Enroll has made, and returns when it runs; see Ready.
//
// Without Options.Transport this broker is alone, and an empty directory is founded. Then it returns once an image is there in which the broker
// is registered, which takes milliseconds; ErrTimeout when ctx ends first.
func Open(ctx context.Context, o Options) (*Controller, error) {
	if ctx.Err() != nil {
		return nil, timeout(ctx)
	}
	o.complete()
	if o.alone() {
		if err := foundAlone(o); err != nil {
			return nil, err
		}
	}
	store, err := openStorage(o.Dir, newRaftLogger(o.Logger))
	if err != nil {
		return nil, err
	}
	owner, incarnation, err := splitServerID(store.server)
	if err == nil && owner != o.Self.ID {
		err = fmt.Errorf("controller directory %s belongs to broker %d, this is broker %d", o.Dir, owner, o.Self.ID)
	}
	if err != nil {
		return nil, errors.Join(err, store.db.Close())
	}
	o.Self.Incarnation = incarnation
	c, err := start(store, o)
	if err != nil || !o.alone() {
		return c, err
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx))) // a lone voter stops at once
	}
	return c, nil
}

// Exists tells whether dir was founded or enrolled.
func Exists(dir string) (bool, error) { return exists(dir) }

// Found makes the directory of the broker that founds a new cluster; only one of its first brokers may. founders are all of them, self included,
// with their incarnations. They are the group's voters: all, or all but the last where their number is even, since an even one withstands no more
// failures, and at most five. The others enroll.
func Found(dir, clusterID string, founders []Broker, self Broker) error {
	if !slices.ContainsFunc(founders, func(b Broker) bool { return b.ID == self.ID && b.Incarnation == self.Incarnation }) {
		return fmt.Errorf("found controller: broker %d is none of the founders", self.ID)
	}
	founders = slices.Clone(founders)
	slices.SortFunc(founders, func(a, b Broker) int {
		switch {
		case a.ID == b.ID:
			return 0
		case a.ID == self.ID:
			return -1
		case b.ID == self.ID:
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	f := founding{server: serverOf(self), history: []command{&foundCluster{ClusterID: clusterID}}}
	for i, b := range founders {
		if err := b.check(); err != nil {
			return fmt.Errorf("found controller: %w", err)
		}
		if i > 0 && founders[i-1].ID == b.ID {
			return fmt.Errorf("found controller: broker %d twice", b.ID)
		}
		s := serverOf(b)
		if i >= oddVoters(len(founders)) {
			s.Suffrage = raft.Nonvoter
		}
		f.servers = append(f.servers, s)
		f.history = append(f.history, &registerBroker{Broker: b})
	}
	return f.create(dir)
}

// Enroll makes the directory of a member that waits to be told of the group.
func Enroll(dir string, self Broker) error {
	if err := self.check(); err != nil {
		return fmt.Errorf("enroll: %w", err)
	}
	return founding{server: serverOf(self)}.create(dir)
}

// oddVoters is how many of n brokers found the group as voters.
func oddVoters(n int) int { return min(n-1+n%2, maxVoters) }

// create makes the directory.
func (f founding) create(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("controller directory: %w", err)
	}
	there, err := exists(dir)
	if err == nil && there {
		err = fmt.Errorf("controller directory %s is in use already", dir)
	}
	if err != nil {
		return err
	}
	return found(dir, f)
}

// foundAlone founds a cluster of one broker if the directory is empty.
func foundAlone(o Options) error {
	if there, err := exists(o.Dir); there || err != nil {
		return err
	}
	self, cluster := o.Self, cmp.Or(o.ClusterID, newUUID().String())
	self.Incarnation = cmp.Or(self.Incarnation, newUUID().String())
	return Found(o.Dir, cluster, []Broker{self}, self)
}

// start runs the Raft group on an opened directory and owns store from then on.
func start(store *storage, o Options) (*Controller, error) {
	c := &Controller{
		o: o, store: store, net: newNetwork(o.Transport, store.server), wake: make(chan struct{}, 1), roles: make(chan struct{}),
		closed: make(chan struct{}),
	}
	c.fsm = newFSM(store, c.net, o.Logger)
	logs := logStore{store.db, &store.known}
	var err error
	c.raft, err = raft.NewRaft(raftConfig(&c.o, c.net), c.fsm, logs, stableStore{store.db}, store.snapshots, c.net)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start controller: %w", err), store.db.Close())
	}
	c.run()
	if c.first() {
		err = c.stand()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close(context.Background()))
	}
	return c, nil
}

// first says that this member has the first word about who leads: nobody else votes, or it has just founded the group.
func (c *Controller) first() bool {
	s := c.Status()
	if len(s.Voters) == 1 {
		return s.Voters[0] == c.store.server
	}
	return s.Fresh && s.LastIndex > 0 && s.State != Learner
}
