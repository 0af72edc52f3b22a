package broker

import (
	"context"
	"errors"
	"time"

	"github.com/quirelog/quire/broker/cluster"
	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// electable are the Raft groups of this broker as the elector sees them: those of partitions, and the controller's.
type electable struct{ b *Broker }

var _ cluster.Groups = electable{}

// Get finds an open group.
func (e electable) Get(id cluster.ID) cluster.Group {
	if id == transport.ControllerGroup {
		return controllerGroup{e.b}
	}
	if g := e.b.raftGroup(id); g != nil {
		return electableGroup{g}
	}
	return nil
}

// Each goes over the open groups.
func (e electable) Each(f func(cluster.ID, cluster.Group) bool) {
	if !f(transport.ControllerGroup, controllerGroup{e.b}) {
		return
	}
	for _, p := range e.b.partitions.All() {
		if g := p.Group(); g != nil && !f(p.ID(), electableGroup{g}) {
			return
		}
	}
}

// Preferred is the first of a partition's replicas; of the controller's group anybody.
func (e electable) Preferred(id cluster.ID) int32 {
	t := e.b.controller.Image().TopicsByID[controller.TopicID(id.Topic)]
	if id == transport.ControllerGroup || t == nil || id.Partition < 0 || int(id.Partition) >= len(t.Partitions) {
		return -1
	}
	if wanted := placement.Wanted(&t.Partitions[id.Partition]); len(wanted) > 0 {
		return wanted[0]
	}
	return -1
}

// Fenced are the replicas here that are not to be opened.
func (e electable) Fenced() map[cluster.ID]string { return e.b.fencedReplicas() }

// raftGroup is the group of a partition that is open here; nil if there is none, or it is fenced.
func (b *Broker) raftGroup(id partition.ID) *replication.Group {
	if p := b.partitions.ByID(id); p != nil {
		return p.Group()
	}
	return nil
}

// electableGroup is a partition's group as the elector sees it.
type electableGroup struct{ *replication.Group }

func (g electableGroup) Status() cluster.Status {
	s := g.Group.Status()
	return cluster.Status{
		State: cluster.State(s.State), Serves: s.Serves, Leader: s.Leader, Term: uint64(s.Term), LastTerm: uint64(s.LastTerm),
		LastIndex: uint64(s.LastIndex), Voters: s.Voters, Fresh: s.Fresh,
	}
}

func (g electableGroup) CallElection(over uint64) { g.Group.CallElection(segment.Term(over)) }

// controllerGroup is the controller's group as the elector sees it.
type controllerGroup struct{ b *Broker }

func (g controllerGroup) Status() cluster.Status {
	s := g.b.controller.Status()
	return cluster.Status{
		State: cluster.State(s.State), Serves: s.Serves, Leader: s.Leader, Term: s.Term, LastTerm: s.LastTerm, LastIndex: s.LastIndex,
		Voters: s.Voters, Fresh: s.Fresh,
	}
}

// InSync is nobody: the controller's group has no producers to tell it to.
func (g controllerGroup) InSync(time.Time) []replication.ServerID { return nil }

func (g controllerGroup) CallElection(uint64) { g.b.controller.CallElection() }

// kept are the partition groups of this broker as the keeper sees them.
type kept struct{ b *Broker }

var _ placement.Groups = kept{}

// Get finds an open group.
func (k kept) Get(id placement.ID) placement.Group {
	if g := k.b.raftGroup(id); g != nil {
		return g
	}
	return nil
}

// Each goes over the open groups.
func (k kept) Each(f func(placement.ID, placement.Group) bool) {
	for _, p := range k.b.partitions.All() {
		if g := p.Group(); g != nil && !f(p.ID(), g) {
			return
		}
	}
}

// Changed is closed when something has changed.
func (k kept) Changed() <-chan struct{} { return k.b.touched.next() }

// Reset replaces a fenced replica by an empty one.
func (k kept) Reset(ctx context.Context, id placement.ID, reason string) error {
	err := k.b.partitions.Reset(ctx, id, reason)
	if errors.Is(err, partition.ErrNotFenced) {
		return placement.ErrNotFenced
	}
	return err
}
