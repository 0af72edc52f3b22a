package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quirelog/quire/broker/cluster"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// handOverTime is how long Close waits for others to take over what this broker leads.
const handOverTime = 3 * time.Second

// newMembership makes what the transport tells of its peers, before there is a transport.
func (b *Broker) newMembership() {
	b.members = cluster.New(cluster.Options{Self: b.self, Groups: electable{b}, Peers: calls{b}, Logger: b.log})
}

// startMembership lets others speak to this broker, has elections called, leaders told and replicas kept, and returns when the metadata has this broker.
func (b *Broker) startMembership(ctx context.Context) error {
	b.handleCalls()
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	b.followBrokers(nil, b.controller.Image())
	done.Go(func() { b.members.Run(running) })
	done.Go(func() { b.keeper.Run(running) })
	done.Go(func() { b.followImages(running) })
	done.Go(func() { b.followLeaders(running) })
	done.Go(func() { b.stayRegistered(running) })
	b.onClose("membership", func(context.Context) error {
		cancel()
		done.Wait()
		return nil
	})
	if err := b.controller.Ready(ctx); err != nil {
		return fmt.Errorf("wait for the cluster's metadata: %w", err)
	}
	if image := b.controller.Image(); len(image.Brokers) > 1 {
		b.log.Info("in the cluster", "cluster", b.clusterID, "node", b.cfg.NodeID, "brokers", len(image.Brokers))
	}
	return nil
}

// followImages follows who is registered.
func (b *Broker) followImages(ctx context.Context) {
	image := b.controller.Image()
	for {
		select {
		case <-b.controller.Changed(image):
		case <-ctx.Done():
			return
		}
		before := image
		image = b.controller.Image()
		b.followBrokers(before, image)
		b.touched.send()
	}
}

// followBrokers takes over the brokers of an image.
func (b *Broker) followBrokers(before, now *controller.Image) {
	b.peers.follow(before, now)
	registered := sortedBrokers(now)
	ids := make([]replication.ServerID, len(registered))
	for i := range registered {
		ids[i] = serverID(registered[i])
	}
	b.members.SetMembers(ids)
	b.watchPeers()
	if len(registered) == 0 {
		return
	}
	if err := b.peers.save(registered); err != nil {
		b.log.Warn("the address book is not kept", "err", err)
	}
}

// followLeaders tells the keeper of leaders and fences elsewhere.
func (b *Broker) followLeaders(ctx context.Context) {
	for {
		select {
		case <-b.members.Leaders.Changed():
			b.touched.send()
		case <-ctx.Done():
			return
		}
	}
}

// touch is told that a group here was opened or closed, or that its role, its members or its leader have changed.
func (b *Broker) touch(id partition.ID) {
	b.members.Touch(id)
	b.touched.send()
}

// peerChanged is told that a broker has come alive or died.
func (b *Broker) peerChanged(id replication.ServerID, alive bool) {
	b.members.OnPeer(id, alive)
	b.touched.send()
}

// deserted is told that a voter has gone over to a later term of a group: whoever leads it in an earlier one may answer nothing more.
func (b *Broker) deserted(id transport.GroupID, term uint64) {
	if !b.opened.Load() {
		return // no partition is open yet
	}
	if g := b.raftGroup(id); g != nil {
		g.Deserted(segment.Term(term))
	}
}

// drain hands over what this broker leads, so that clients need not wait until others notice that it is gone.
func (b *Broker) drain(ctx context.Context) error {
	if b.keepLeading.Load() || len(b.aliveBrokers(b.controller.Image())) < 2 { // there is nobody to take over
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	if left := b.keeper.Drain(ctx); left > 0 {
		b.log.Warn("leaderships could not be handed over: their partitions wait until others notice that this broker is gone", "groups", left)
	}
	return nil
}

// remote is the log of a partition on another broker, to be copied.
func (b *Broker) remote(leader replication.ServerID, id partition.ID) replication.Source {
	return replication.NewRemoteSource(id, func(ctx context.Context, m transport.Method, body []byte) ([]byte, error) {
		return b.transport.Call(ctx, leader, m, body)
	})
}
