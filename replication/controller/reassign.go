package controller

import (
	"errors"
	"fmt"
	"slices"
)

// Errors of reassignments and of what names brokers.
var (
	ErrUnknownBroker    = errors.New("broker is not registered")
	ErrUnknownPartition = errors.New("no such partition")
	ErrHasReplicas      = errors.New("broker still has replicas")
	ErrReplicas         = errors.New("replicas that cannot be")
	ErrNoReassignment   = errors.New("no reassignment is under way")
	ErrOtherTarget      = errors.New("the reassignment has another target by now")
)

// Reassignment says where a partition's replicas are to be.
type Reassignment struct {
	Topic     TopicID `json:"id"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"` // the preferred leader first; nil: back to what was there before the reassignment under way
}

// reassignPartitions begins, replaces or takes back reassignments, each for itself.
type reassignPartitions struct {
	Moves []Reassignment `json:"moves"`
}

// completeReassignment says that the partition's Raft group is what Target wants.
type completeReassignment struct {
	ID        TopicID `json:"id"`
	Partition int32   `json:"partition"`
	Target    []int32 `json:"target"` // which the sender saw
}

func (*reassignPartitions) kind() commandType   { return typeReassignPartitions }
func (*completeReassignment) kind() commandType { return typeCompleteReassignment }

func (c *reassignPartitions) apply(e *editor) result {
	r := result{each: make([]error, len(c.Moves))}
	for i := range c.Moves {
		r.each[i] = e.reassign(&c.Moves[i])
	}
	return r
}

func (e *editor) reassign(m *Reassignment) error {
	t, p, err := e.partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	target := m.Replicas
	if target == nil {
		if p.Target == nil {
			return ErrNoReassignment
		}
		target = p.Before
	}
	if err := e.checkReplicas(target); err != nil {
		return err
	}
	e.putPartition(t, m.Partition, p.moved(target))
	return nil
}

// moved is p with another target. Whoever may be in the partition's Raft group stays among the replicas until the reassignment is
// complete, whatever was begun and given up before.
func (p *Partition) moved(target []int32) Partition {
	before := p.Before
	if p.Target == nil {
		before = p.Replicas
	}
	next := Partition{Adding: without(target, before), Removing: without(p.Replicas, target), Founders: p.Founders}
	next.Replicas = slices.Concat(target, next.Removing)
	if len(next.Adding) > 0 || len(next.Removing) > 0 {
		next.Target, next.Before = slices.Clone(target), before
	}
	return next
}

func (c *completeReassignment) apply(e *editor) result {
	t, p, err := e.partition(c.ID, c.Partition)
	switch {
	case err != nil:
		return result{err: err}
	case p.Target == nil && slices.Equal(p.Replicas, c.Target): // it was completed before
		return result{}
	case p.Target == nil || !slices.Equal(p.Target, c.Target):
		return result{err: ErrOtherTarget}
	}
	e.putPartition(t, c.Partition, Partition{Replicas: p.Target})
	return result{}
}

// partition finds a partition of the image in the making.
func (e *editor) partition(id TopicID, n int32) (*Topic, *Partition, error) {
	t := e.image.TopicsByID[id]
	switch {
	case t == nil:
		return nil, nil, ErrUnknownTopic
	case n < 0 || int(n) >= len(t.Partitions):
		return nil, nil, fmt.Errorf("%w: %s has %d partitions, the first is 0", ErrUnknownPartition, t.Name, len(t.Partitions))
	}
	return t, &t.Partitions[n], nil
}

// putPartition replaces one partition of t. A topic is copied once for a whole batch of commands.
func (e *editor) putPartition(t *Topic, n int32, p Partition) {
	if !e.moved[t] {
		next := *t
		next.Partitions = slices.Clone(t.Partitions)
		t = &next
		e.putTopic(t)
		if e.moved == nil {
			e.moved = map[*Topic]bool{}
		}
		e.moved[t] = true
	}
	t.Partitions[n] = p
}

// checkReplicas refuses what no partition can have.
func (e *editor) checkReplicas(replicas []int32) error {
	if len(replicas) == 0 {
		return fmt.Errorf("%w: there are none", ErrReplicas)
	}
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return fmt.Errorf("%w: broker %d twice", ErrReplicas, id)
		}
		if _, known := e.image.Brokers[id]; !known {
			return fmt.Errorf("%w: broker %d: %w", ErrReplicas, id, ErrUnknownBroker)
		}
	}
	return nil
}

// founded are partitions as they begin: on the brokers as they are registered now.
func (e *editor) founded(parts []Partition) ([]Partition, error) {
	next := make([]Partition, len(parts))
	for i := range parts {
		if err := e.checkReplicas(parts[i].Replicas); err != nil {
			return nil, fmt.Errorf("partition %d of those: %w", i, err)
		}
		next[i] = Partition{Replicas: parts[i].Replicas, Founders: founders(parts[i].Replicas, e.image.Brokers)}
	}
	return next, nil
}

func founders(replicas []int32, brokers map[int32]Broker) []string {
	ids := make([]string, len(replicas))
	for i, id := range replicas {
		ids[i] = string(serverID(id, brokers[id].Incarnation))
	}
	return ids
}

// without is a without what is in b, in a's order; nil when nothing is left.
func without[T comparable](a, b []T) []T {
	var left []T
	for _, id := range a {
		if !slices.Contains(b, id) {
			left = append(left, id)
		}
	}
	return left
}
