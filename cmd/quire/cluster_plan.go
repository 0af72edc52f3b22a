package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/replication/controller"
)

// spot names a partition.
type spot struct {
	topic     string
	partition int32
}

func (p spot) String() string { return partitionName(p.topic, p.partition) }

// moveView is one partition in the answer of what moves replicas.
type moveView struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	From      []int32 `json:"from"`
	To        []int32 `json:"to"`
	State     string  `json:"state"` // planned, moving or moved
}

func (m moveView) spot() spot { return spot{m.Topic, m.Partition} }

// States of a move.
const (
	movePlanned = "planned"
	moveUnder   = "moving"
	moveDone    = "moved"
)

// layout is where the cluster's replicas are and are going to be, as broker/placement plans with it.
type layout struct {
	clusterState
	image *controller.Image
	nodes []placement.Node
}

func newLayout(s clusterState, under kadm.ListPartitionReassignmentsResponses) *layout {
	l := &layout{clusterState: s, image: &controller.Image{Topics: map[string]*controller.Topic{}, Brokers: map[int32]controller.Broker{}}}
	for _, b := range s.brokers {
		l.image.Brokers[b.ID] = controller.Broker{ID: b.ID, Rack: b.Rack}
		l.nodes = append(l.nodes, placement.Node{ID: b.ID, Rack: b.Rack, Down: !b.Alive})
	}
	for name, t := range s.Topics {
		it := &controller.Topic{Name: name, ID: controller.TopicID(t.ID)}
		for n, p := range t.Partitions.Sorted() { // numbered from 0 on without a gap
			part := controller.Partition{Replicas: p.Replicas}
			if r, ok := under[name][int32(n)]; ok {
				part.Replicas, part.Adding, part.Removing = r.Replicas, r.AddingReplicas, r.RemovingReplicas
				part.Target = without(r.Replicas, r.RemovingReplicas...)
				part.Before = without(r.Replicas, r.AddingReplicas...)
			}
			it.Partitions = append(it.Partitions, part)
		}
		l.image.Topics[name] = it
	}
	return l
}

func without(ids []int32, gone ...int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return slices.Contains(gone, id) })
}

// partition is what the layout has of a spot.
func (l *layout) partition(p spot) *controller.Partition {
	return &l.image.Topics[p.topic].Partitions[p.partition]
}

// choose turns TOPIC and TOPIC/PARTITION arguments into partitions; none: all.
func (l *layout) choose(args []string) ([]spot, error) {
	var all []spot
	for _, name := range args {
		topic, number, one := strings.Cut(name, "/")
		t := l.image.Topics[topic]
		if t == nil {
			return nil, withHint(fmt.Errorf("topic %s: there is no such topic", topic), "quire topic list")
		}
		n, err := strconv.Atoi(number)
		if one && (err != nil || n < 0 || n >= len(t.Partitions)) {
			return nil, fmt.Errorf("topic %s has no partition %s: its partitions are 0 to %d", topic, number, len(t.Partitions)-1)
		}
		for i := range t.Partitions {
			if !one || i == n {
				all = append(all, spot{topic, int32(i)})
			}
		}
	}
	if len(args) == 0 {
		return l.choose(sortedKeys(l.image.Topics))
	}
	return all, nil
}

// goal is where replicas are to be: exactly one of to, from and even is set.
type goal struct {
	to   []int32 // with from: who takes over; nil: the planner chooses
	from int32   // -1: none
	even bool
}

func (l *layout) check(g goal) error {
	for _, id := range append(slices.Clone(g.to), g.from) {
		if id >= 0 && l.broker(id) == nil {
			return fmt.Errorf("there is no broker %d", id)
		}
	}
	for i, id := range g.to {
		if slices.Contains(g.to[:i], id) {
			return fmt.Errorf("--to names broker %d more than once", id)
		}
		if !l.alive(id) {
			return fmt.Errorf("broker %d does not answer: it cannot take replicas", id)
		}
	}
	return nil
}

// plan lists the moves that bring the chosen partitions to the goal. What is under way there already is none of them.
func (l *layout) plan(chosen []spot, g goal) ([]moveView, error) {
	if err := l.check(g); err != nil {
		return nil, err
	}
	if g.even || g.from >= 0 && len(g.to) == 0 {
		return l.planned(chosen, g)
	}
	var moves []moveView
	for _, p := range chosen {
		now := placement.Wanted(l.partition(p))
		turn := 0
		if len(chosen) > 1 {
			turn = int(p.partition)
		}
		want, err := g.replicas(now, p, turn)
		if err != nil {
			return nil, err
		}
		moves = l.add(moves, p, want)
	}
	return moves, nil
}

// replicas are those that a partition is to have. Of the brokers in to the turn-th, counted around, is preferred.
func (g goal) replicas(now []int32, p spot, turn int) ([]int32, error) {
	if g.from < 0 {
		turn %= len(g.to)
		return append(slices.Clone(g.to[turn:]), g.to[:turn]...), nil
	}
	at := slices.Index(now, g.from)
	if at < 0 {
		return now, nil
	}
	if slices.Contains(now, g.to[0]) {
		return nil, fmt.Errorf("%s has a replica on broker %d already: name another broker with --to, or none", p, g.to[0])
	}
	want := slices.Clone(now)
	want[at] = g.to[0]
	return want, nil
}

func (l *layout) add(moves []moveView, p spot, want []int32) []moveView {
	part := l.partition(p)
	if slices.Equal(want, placement.Wanted(part)) {
		return moves
	}
	return append(moves, moveView{p.topic, p.partition, part.Replicas, want, movePlanned})
}

// planned is what broker/placement plans, as far as it is about the chosen partitions.
func (l *layout) planned(chosen []spot, g goal) ([]moveView, error) {
	var all []placement.Move
	if g.even {
		all = placement.PlanEven(l.image, l.nodes)
	} else {
		var err error
		if all, err = placement.PlanDrain(l.image, l.nodes, g.from); err != nil {
			if errors.Is(err, placement.ErrTooFewBrokers) {
				err = withHint(err, "add a broker, or lower the number of replicas: quire cluster move TOPIC --to BROKERS")
			}
			return nil, err
		}
	}
	names := map[controller.TopicID]string{}
	for name, t := range l.image.Topics {
		names[t.ID] = name
	}
	var moves []moveView
	for _, m := range all {
		if p := (spot{names[m.Topic], m.Partition}); slices.Contains(chosen, p) {
			moves = l.add(moves, p, m.Replicas)
		}
	}
	return moves, nil
}

// planLeaders gives partitions that prefer a broker, or are led by it, another preferred leader. alone are those with no other live replica.
func (l *layout) planLeaders(broker int32) (moves []moveView, alone []spot) {
	given := map[int32]int{}
	for _, p := range l.all() {
		now := placement.Wanted(l.partition(p))
		leads := l.Topics[p.topic].Partitions[p.partition].Leader == broker
		if len(now) == 0 || now[0] != broker && !leads {
			continue
		}
		heirs := slices.DeleteFunc(without(now, broker), func(id int32) bool { return !l.alive(id) })
		if len(heirs) == 0 {
			alone = append(alone, p)
			continue
		}
		if now[0] != broker { // another one is preferred already, and only has to be elected
			continue
		}
		heir := slices.MinFunc(heirs, func(a, b int32) int { return given[a] - given[b] })
		given[heir]++
		moves = l.add(moves, p, append(append([]int32{heir}, without(now, heir, broker)...), broker))
	}
	return moves, alone
}

// all are the partitions of all topics.
func (l *layout) all() []spot {
	all, _ := l.choose(nil) // fails only for a topic that is named and missing
	return all
}
