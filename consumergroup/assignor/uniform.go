package assignor

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// Uniform gives all members as equal a number of partitions as their subscriptions allow, and moves few to get there.
//
// What holds: no chain of moves (from a member to a subscriber of the partition's topic, and on from that one) leads from a member to one that
// has two or more less. So the counts are the best possible ones: the largest is the least that can be, then the second largest, and so on
// down; where all subscribe to the same, they differ by one at most. An assignment for which this holds is left as it is. A partition moves
// only if its member is gone or has left the topic, or as a link of such a chain; what nobody had goes to who has least.
type Uniform struct{}

// Name implements Assignor.
func (Uniform) Name() string { return "uniform" }

// Assign implements Assignor.
func (Uniform) Assign(in Input) Assignment {
	g := newGroup(&in)
	g.keep()
	g.fill()
	g.balance()
	return g.assignment()
}

const nobody = -1

// group is an assignment in the making. Members, classes and topics are numbers: their places in these slices.
type group struct {
	members []*Member
	owned   []holding // of each member
	class   []int32   // of each member
	classes []class
	topics  []topic
}

// place is a partition of a topic.
type place struct{ topic, partition int32 }

// holding is what a member owns. What it had before only ever becomes less.
type holding struct {
	n     int
	kept  []pile  // what it had before, by topic
	fresh []place // what it did not, in the order in which it came
}

// pile is partitions of one topic.
type pile struct {
	topic      int32
	partitions []int32
}

// class is the members with one and the same subscription.
type class struct {
	members []int32
	topics  []int32 // sorted
}

func (c *class) reads(topic int32) bool {
	_, found := slices.BinarySearch(c.topics, topic)
	return found
}

type topic struct {
	id      [16]byte
	classes []int32 // that are subscribed to it
	readers int     // members that are
	owner   []int32 // of each partition; nobody
	before  []int32 // who had it in the last assignment; nobody
}

// newGroup sorts members into classes, so that what is the same for many is worked out once.
func newGroup(in *Input) *group {
	g := &group{members: inOrder(in.Members), owned: make([]holding, len(in.Members)), class: make([]int32, len(in.Members))}
	numbers := make(map[[16]byte]int32, len(in.Partitions))
	for _, id := range slices.SortedFunc(maps.Keys(in.Partitions), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }) {
		numbers[id] = int32(len(g.topics))
		g.topics = append(g.topics, topic{id: id, owner: unowned(in.Partitions[id]), before: unowned(in.Partitions[id])})
	}
	known := map[string]int32{}
	for i, m := range g.members {
		if i > 0 && slices.Equal(m.Topics, g.members[i-1].Topics) {
			g.class[i] = g.class[i-1]
		} else {
			g.class[i] = g.classOf(m, numbers, known)
		}
		c := &g.classes[g.class[i]]
		c.members = append(c.members, int32(i))
	}
	for i := range g.classes {
		for _, t := range g.classes[i].topics {
			g.topics[t].classes = append(g.topics[t].classes, int32(i))
			g.topics[t].readers += len(g.classes[i].members)
		}
	}
	return g
}

func unowned(partitions int) []int32 {
	return slices.Repeat([]int32{nobody}, max(partitions, 0))
}

// classOf finds the class of m's subscription in known, or adds it.
func (g *group) classOf(m *Member, numbers map[[16]byte]int32, known map[string]int32) int32 {
	var c class
	for _, id := range m.Topics {
		if t, ok := numbers[id]; ok {
			c.topics = append(c.topics, t)
		}
	}
	slices.Sort(c.topics)
	key := make([]byte, 0, 4*len(c.topics))
	for _, t := range c.topics {
		key = append(key, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	}
	n, ok := known[string(key)]
	if !ok {
		n = int32(len(g.classes))
		known[string(key)] = n
		g.classes = append(g.classes, c)
	}
	return n
}

// keep leaves with every member what it had of topics that it still reads.
func (g *group) keep() {
	for i, m := range g.members {
		h := &g.owned[i]
		for _, t := range g.classes[g.class[i]].topics {
			at, kept := &g.topics[t], pile{topic: t}
			for _, p := range m.Owned[at.id] {
				if p >= 0 && int(p) < len(at.owner) && at.owner[p] == nobody {
					at.owner[p], at.before[p] = int32(i), int32(i)
					kept.partitions = append(kept.partitions, p)
				}
			}
			if len(kept.partitions) > 0 {
				h.kept = append(h.kept, kept)
				h.n += len(kept.partitions)
			}
		}
	}
}

// give makes p one of those that a member did not have before.
func (g *group) give(p place, to int32) {
	g.topics[p.topic].owner[p.partition] = to
	g.owned[to].fresh = append(g.owned[to].fresh, p)
	g.owned[to].n++
}

// fill gives what nobody has to the reader with the fewest partitions, the topics with few readers for many partitions first.
func (g *group) fill() {
	order := make([]int32, 0, len(g.topics))
	for t := range g.topics {
		if g.topics[t].readers > 0 && slices.Contains(g.topics[t].owner, nobody) {
			order = append(order, int32(t))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		ta, tb := &g.topics[a], &g.topics[b]
		return cmp.Or(cmp.Compare(len(tb.owner)*ta.readers, len(ta.owner)*tb.readers), cmp.Compare(ta.readers, tb.readers))
	})
	var readers []int32 // a heap of members, the one on top owns least
	var of []int32      // the classes that they are of
	for _, t := range order {
		if at := &g.topics[t]; !slices.Equal(at.classes, of) {
			of = at.classes
			readers = g.readers(of)
		}
		for p, owner := range g.topics[t].owner {
			if owner == nobody {
				g.give(place{t, int32(p)}, readers[0])
				g.sift(readers, 0)
			}
		}
	}
}

func (g *group) readers(classes []int32) []int32 {
	var members []int32
	for _, c := range classes {
		members = append(members, g.classes[c].members...)
	}
	for i := len(members) / 2; i >= 0; i-- {
		g.sift(members, i)
	}
	return members
}

// sift lets the member at i of a heap sink to where it belongs.
func (g *group) sift(members []int32, i int) {
	for {
		child := 2*i + 1
		if child >= len(members) {
			return
		}
		if child+1 < len(members) && g.less(members[child+1], members[child]) {
			child++
		}
		if !g.less(members[child], members[i]) {
			return
		}
		members[i], members[child] = members[child], members[i]
		i = child
	}
}

func (g *group) less(a, b int32) bool {
	return cmp.Or(cmp.Compare(g.owned[a].n, g.owned[b].n), cmp.Compare(a, b)) < 0
}

func (g *group) assignment() Assignment {
	out := make(Assignment, len(g.members))
	for _, m := range g.members {
		out[m.ID] = make(map[[16]byte][]int32)
	}
	for i := range g.topics {
		t := &g.topics[i]
		for p, owner := range t.owner {
			if owner != nobody {
				mine := out[g.members[owner].ID]
				mine[t.id] = append(mine[t.id], int32(p))
			}
		}
	}
	return out
}
