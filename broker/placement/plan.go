package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/replication/controller"
)

// internalFactor is how many replicas internal topics get by themselves where there are as many brokers.
const internalFactor = 3

// draft is a topic whose partitions are being placed anew.
type draft struct {
	*chooser
	topic    *controller.Topic
	replicas [][]int32 // by partition, as planned; nil: it is being moved already, and is left alone
}

// drafts are all topics, by name. They count together.
func drafts(image *controller.Image, nodes []Node) []*draft {
	all := LoadOf(image)
	var ds []*draft
	for _, name := range slices.Sorted(maps.Keys(image.Topics)) {
		t := image.Topics[name]
		d := &draft{chooser: newChooser(nodes, all, t.Partitions), topic: t, replicas: make([][]int32, len(t.Partitions))}
		d.nodes = slices.DeleteFunc(slices.Clone(nodes), func(n Node) bool { return n.Down })
		for n := range t.Partitions {
			if p := &t.Partitions[n]; !reassigning(p) {
				d.replicas[n] = p.Replicas
			}
		}
		ds = append(ds, d)
	}
	return ds
}

// place gives a partition other replicas; lead: and lets another one be preferred where that is more even.
func (d *draft) place(n int, replicas []int32, lead bool) {
	old := d.replicas[n]
	d.set(old, nil)
	if lead {
		replicas = d.lead(replicas)
	}
	d.set(nil, replicas)
	d.replicas[n] = replicas
}

// moves are what the drafts changed.
func moves(ds []*draft) []Move {
	var all []Move
	for _, d := range ds {
		for n, replicas := range d.replicas {
			if replicas != nil && !slices.Equal(replicas, Wanted(&d.topic.Partitions[n])) {
				all = append(all, Move{Topic: d.topic.ID, Partition: int32(n), Replicas: replicas})
			}
		}
	}
	return all
}

// PlanDrain moves every replica away from a broker. A partition that is being moved is planned anew, from where it is going. Nodes
// that are down get nothing. controller.ErrUnknownBroker; ErrTooFewBrokers where the live others are too few for a partition's
// replicas.
func PlanDrain(image *controller.Image, nodes []Node, broker int32) ([]Move, error) {
	if _, ok := image.Brokers[broker]; !ok {
		return nil, fmt.Errorf("%w: %d", controller.ErrUnknownBroker, broker)
	}
	ds := drafts(image, nodes)
	for _, d := range ds {
		d.nodes = slices.DeleteFunc(d.nodes, func(n Node) bool { return n.ID == broker })
		for n := range d.topic.Partitions {
			old := Wanted(&d.topic.Partitions[n])
			stay := slices.DeleteFunc(slices.Clone(old), func(id int32) bool { return id == broker })
			if len(stay) == len(old) {
				continue
			}
			if d.hold(stay); len(d.free()) == 0 {
				return nil, fmt.Errorf("%w: partition %d of topic %s has %d replicas, and there is no other live broker for the one on broker %d",
					ErrTooFewBrokers, n, d.topic.Name, len(old), broker)
			}
			d.replicas[n] = old
			d.place(n, d.choose(stay, len(old)), old[0] == broker)
		}
	}
	return moves(ds), nil
}

// PlanInternal raises internal topics to min(3, brokers) replicas. Partitions that are being moved are left alone, and those for
// which too few of the brokers are up.
func PlanInternal(image *controller.Image, nodes []Node, internal func(topic string) bool) []Move {
	factor := min(internalFactor, len(nodes))
	if !lacksReplicas(image, factor, internal) { // the usual answer, and asked for often
		return nil
	}
	ds := drafts(image, nodes)
	for _, d := range ds {
		for n, old := range d.replicas {
			if len(old) == 0 || len(old) >= factor || !internal(d.topic.Name) {
				continue
			}
			if d.hold(old); len(old)+len(d.free()) >= factor {
				d.place(n, d.choose(old, factor), true)
			}
		}
	}
	return moves(ds)
}

func lacksReplicas(image *controller.Image, factor int, internal func(topic string) bool) bool {
	for _, t := range image.Topics {
		if internal(t.Name) && slices.ContainsFunc(t.Partitions, func(p controller.Partition) bool { return len(p.Replicas) < factor }) {
			return true
		}
	}
	return false
}

// PlanEven moves replicas and preferred leaderships until the brokers that are up differ by as little as their racks allow.
// Partitions that are being moved are left alone. Of each partition one replica is moved at most: with much to even out, ask again
// when that is done.
func PlanEven(image *controller.Image, nodes []Node) []Move {
	ds := drafts(image, nodes)
	for _, mindTopic := range []bool{true, false} { // first what evens out the topics too
		for _, d := range ds {
			for n, old := range d.replicas {
				if len(old) > 0 && slices.Equal(old, d.topic.Partitions[n].Replicas) {
					d.lighten(n, mindTopic)
				}
			}
		}
	}
	for _, d := range ds {
		for n, replicas := range d.replicas {
			if len(replicas) > 0 {
				d.place(n, replicas, true)
			}
		}
	}
	return moves(ds)
}

// lighten moves one replica of a partition from a broker with more to one with less than that by more than one; mindTopic: only
// where the topic is the more even for it. The replica does not go to a rack that has more of the partition.
func (d *draft) lighten(n int, mindTopic bool) {
	old := d.replicas[n]
	from := slices.MaxFunc(old, func(a, b int32) int { return cmp.Compare(d.all.Replicas[a], d.all.Replicas[b]) })
	d.hold(old)
	free := slices.DeleteFunc(d.free(), func(to Node) bool {
		rack := d.rack[to.ID]
		return d.all.Replicas[from] <= d.all.Replicas[to.ID]+1 ||
			mindTopic && d.topicLoad.Replicas[from] <= d.topicLoad.Replicas[to.ID] ||
			rack != d.rack[from] && d.racks[rack] >= d.racks[d.rack[from]]
	})
	if len(free) == 0 {
		return
	}
	to := slices.MinFunc(free, func(a, b Node) int {
		return cmp.Or(
			cmp.Compare(d.all.Replicas[a.ID], d.all.Replicas[b.ID]),
			cmp.Compare(d.topicLoad.Replicas[a.ID], d.topicLoad.Replicas[b.ID]),
		)
	})
	replicas := slices.Clone(old)
	replicas[slices.Index(replicas, from)] = to.ID
	d.place(n, replicas, false)
}
