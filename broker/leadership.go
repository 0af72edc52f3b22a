package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/quirelog/quire/broker/cluster"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

// lead is who leads a partition, as far as this broker knows.
type lead struct {
	broker, epoch int32   // -1: unknown
	inSync        []int32 // shared: not to be changed; nil where nobody leads
}

// leadOf asks the table that the brokers push to each other; what is led here is known without it, also where its log is damaged and can
// only be read.
func (b *Broker) leadOf(id partition.ID) lead {
	l := lead{broker: -1, epoch: -1}
	if found, ok := b.members.Leaders.Lookup(id); ok {
		l = lead{broker: found.Broker, epoch: found.Epoch, inSync: found.InSync}
	}
	if p := b.partitions.ByID(id); p != nil && l.broker < 0 {
		if leader, epoch := p.Leader(); leader == b.self {
			l.broker, l.epoch = b.cfg.NodeID, epoch
		}
	}
	return l
}

// leaderElsewhere is the leader that a client needs to know of after err (KIP-951); -1 where there is nothing to say.
func (b *Broker) leaderElsewhere(id partition.ID, err error) (leader, epoch int32) {
	switch {
	case errors.Is(err, partition.ErrNotLeader), errors.Is(err, errNotLeaderHere), errors.Is(err, partition.ErrClosed):
	case errors.Is(err, partition.ErrFencedLeaderEpoch):
		l := b.leadOf(id)
		return l.broker, l.epoch
	default:
		return -1, -1
	}
	if l := b.leadOf(id); l.broker != b.cfg.NodeID {
		return l.broker, l.epoch
	}
	return -1, -1
}

// alive says whether a registered broker has answered lately; this one has.
func (b *Broker) alive(image *controller.Image, id int32) bool {
	br, registered := image.Brokers[id]
	return registered && b.aliveServer(serverID(br))
}

func (b *Broker) aliveServer(id replication.ServerID) bool {
	return id == b.self || b.transport.Alive(id)
}

// controllerID is the broker that clients take for the controller; -1: none that they could reach.
func (b *Broker) controllerID(image *controller.Image) int32 {
	if id := b.controller.Leader(); b.alive(image, id) {
		return id
	}
	return -1
}

// aliveBrokers lists the brokers that clients may be sent to, by id.
func (b *Broker) aliveBrokers(image *controller.Image) []controller.Broker {
	return slices.DeleteFunc(sortedBrokers(image), func(br controller.Broker) bool { return !b.aliveServer(serverID(br)) })
}

// partitionState is what metadata says of one partition.
type partitionState struct {
	leader, epoch             int32 // -1: unknown
	replicas, inSync, offline []int32
	err                       error // errLeaderless
}

// partitionState tells a replica whose log is damaged as offline and not in sync, also where it leads: then it is the only one, and what lies
// below the damage can be read from it.
func (b *Broker) partitionState(v *view, t topicView, n int32) partitionState {
	id := partition.ID{Topic: t.ID, Partition: n}
	l := b.leadOf(id)
	s := partitionState{leader: l.broker, epoch: l.epoch, replicas: t.Partitions[n].Replicas, inSync: []int32{}}
	for _, r := range s.replicas {
		switch {
		case b.offline(v, id, r):
			s.offline = append(s.offline, r)
		case l.inSync == nil || slices.Contains(l.inSync, r): // who is in sync is not known without a leader
			s.inSync = append(s.inSync, r)
		}
	}
	if s.leader < 0 {
		s.err = errLeaderless
	}
	return s
}

// offline says whether a broker's replica serves nothing: the broker is gone, or the replica is fenced.
func (b *Broker) offline(v *view, id partition.ID, broker int32) bool {
	if broker == b.cfg.NodeID {
		p := b.partitions.ByID(id)
		return p != nil && p.Damaged() || p == nil && b.reconciler.failure(id) != nil
	}
	return !b.alive(v.Image, broker) || b.members.Leaders.Fenced()[fencedReplica(v, id, broker)] != ""
}

// awaitLeaders returns when the partitions of t have leaders, or says why some have none. t is of the controller's image. A topic that is gone
// meanwhile is nothing to wait for.
func (b *Broker) awaitLeaders(ctx context.Context, t *controller.Topic) error {
	return b.awaitSome(ctx, t, func(*controller.Partition) bool { return true })
}

// awaitOwn is awaitLeaders for the partitions of which this broker has the only replica: nobody else makes them lead.
func (b *Broker) awaitOwn(ctx context.Context, image *controller.Image) error {
	for _, t := range image.Topics {
		err := b.awaitSome(ctx, t, func(p *controller.Partition) bool { return len(p.Replicas) == 1 && p.Replicas[0] == b.cfg.NodeID })
		if ctx.Err() != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) awaitSome(ctx context.Context, t *controller.Topic, which func(*controller.Partition) bool) error {
	if err := b.reconciler.await(ctx, b.controller.Image()); err != nil {
		return fmt.Errorf("topic %s: %w", t.Name, err)
	}
	var errs []error // one that fails is no reason to come before the others lead
	for n := range t.Partitions {
		if !which(&t.Partitions[n]) {
			continue
		}
		if err := b.awaitLeader(ctx, partition.ID{Topic: t.ID, Partition: int32(n)}, t.Partitions[n].Replicas); err != nil {
			errs = append(errs, fmt.Errorf("topic %s partition %d: %w", t.Name, n, err))
		}
	}
	return errors.Join(errs...)
}

func (b *Broker) awaitLeader(ctx context.Context, id partition.ID, replicas []int32) error {
	w := partition.NewWaiter()
	if p := b.partitions.ByID(id); p != nil {
		p.WatchLeading(w)
		defer p.UnwatchLeading(w)
	}
	alone := len(replicas) == 1 && replicas[0] == b.cfg.NodeID
	for {
		changed, image := b.members.Leaders.Changed(), b.controller.Image()
		p := b.partitions.ByID(id)
		switch {
		case p == nil && alone:
			return b.reconciler.failure(id)
		case p != nil && alone && p.Damaged(), image.TopicsByID[id.Topic] == nil:
			return nil // it never will: what is asked of it says so
		}
		if p != nil {
			if _, err := p.Marks(-1); err == nil {
				return nil
			}
		}
		if _, led := b.members.Leaders.Lookup(id); led {
			return nil
		}
		select {
		case <-w.C():
		case <-changed:
		case <-b.controller.Changed(image):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fencedReplica names a broker's replica as the table of leaders does.
func fencedReplica(v *view, id partition.ID, broker int32) cluster.Replica {
	return cluster.Replica{Server: serverID(v.Brokers[broker]), Partition: id}
}

// fencedReplicas are the replicas here that are not to be opened, or could not be, with the reason.
func (b *Broker) fencedReplicas() map[partition.ID]string {
	fenced := map[partition.ID]string{}
	for _, f := range b.partitions.Fenced() {
		fenced[f.ID] = f.Reason
	}
	return fenced
}
