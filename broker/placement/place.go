package placement

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/replication/controller"
)

// Node is a broker that may get replicas.
type Node struct {
	ID   int32
	Rack string // "": unknown, and then a rack of its own
	Down bool   // gets replicas only where there are not enough others, and is no partition's first choice then
}

// Nodes are the brokers of an image, by id. alive nil: all are.
func Nodes(image *controller.Image, alive func(ServerID) bool) []Node {
	nodes := make([]Node, 0, len(image.Brokers))
	for _, b := range image.Brokers {
		nodes = append(nodes, Node{ID: b.ID, Rack: b.Rack, Down: alive != nil && !alive(ServerOf(b))})
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes
}

// Load counts what each broker has, or is going to have where a reassignment is under way.
type Load struct {
	Replicas map[int32]int
	Leaders  map[int32]int // partitions that it is the preferred leader of
}

// NewLoad has counted nothing.
func NewLoad() *Load { return &Load{Replicas: map[int32]int{}, Leaders: map[int32]int{}} }

// LoadOf counts the whole cluster.
func LoadOf(image *controller.Image) *Load {
	l := NewLoad()
	for _, t := range image.Topics {
		l.Add(t.Partitions)
	}
	return l
}

// Add counts more partitions.
func (l *Load) Add(parts []controller.Partition) {
	for i := range parts {
		for at, id := range Wanted(&parts[i]) {
			l.count(id, at == 0)
		}
	}
}

func (l *Load) count(id int32, preferred bool) {
	l.Replicas[id]++
	if preferred {
		l.Leaders[id]++
	}
}

func (l *Load) clone() *Load {
	return &Load{Replicas: maps.Clone(l.Replicas), Leaders: maps.Clone(l.Leaders)}
}

// Place chooses brokers for n new partitions of a topic that has the partitions have already. Each partition's replicas are spread
// over as many racks as can be; the topic's leaders and replicas are even over the brokers, and where that leaves a choice those
// with the least load are taken. Equal input gives equal output. load is left as it is.
//
// ErrTooFewBrokers where there are fewer nodes than factor.
func Place(nodes []Node, load *Load, have []controller.Partition, n, factor int) ([]controller.Partition, error) {
	if factor > len(nodes) {
		return nil, fmt.Errorf("%w: %d replicas, %d brokers", ErrTooFewBrokers, factor, len(nodes))
	}
	c := newChooser(nodes, load, have)
	parts := make([]controller.Partition, n)
	for i := range parts {
		parts[i].Replicas = c.choose(nil, factor)
	}
	return parts, nil
}

// chooser picks brokers one after the other, counting what it has picked.
type chooser struct {
	nodes []Node
	all   *Load          // of the cluster
	topic *Load          // of the topic alone
	pairs map[pair]int   // of the topic: how often a broker stands behind a leader, the first places counting more
	racks map[string]int // replicas of the partition at hand in a rack
	taken map[int32]bool // brokers of the partition at hand
	rack  map[int32]string
}

type pair struct{ leader, follower int32 }

func newChooser(nodes []Node, load *Load, have []controller.Partition) *chooser {
	c := &chooser{nodes: nodes, all: load.clone(), topic: NewLoad(), pairs: map[pair]int{}, rack: map[int32]string{}}
	for _, n := range nodes {
		if c.rack[n.ID] = n.Rack; n.Rack == "" {
			c.rack[n.ID] = fmt.Sprint("broker ", n.ID)
		}
	}
	c.topic.Add(have)
	for i := range have {
		c.pair(Wanted(&have[i]))
	}
	return c
}

// choose fills replicas up to factor; those given stay, in their order. The first one is the preferred leader.
func (c *chooser) choose(replicas []int32, factor int) []int32 {
	replicas = slices.Clone(replicas)
	c.racks, c.taken = map[string]int{}, map[int32]bool{}
	for _, id := range replicas {
		c.take(id)
	}
	for len(replicas) < factor {
		order := c.byFollowing
		if len(replicas) == 0 {
			order = c.byLeading
		}
		best := slices.MinFunc(c.free(), func(a, b Node) int { return order(replicas, a, b) })
		c.all.count(best.ID, len(replicas) == 0)
		c.topic.count(best.ID, len(replicas) == 0)
		replicas = append(replicas, best.ID)
		c.take(best.ID)
	}
	c.pair(replicas)
	return replicas
}

func (c *chooser) take(id int32) {
	c.taken[id] = true
	c.racks[c.rack[id]]++
}

func (c *chooser) free() []Node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n Node) bool { return c.taken[n.ID] })
}

func (c *chooser) pair(replicas []int32) {
	for i := 1; i < len(replicas); i++ {
		c.pairs[pair{replicas[0], replicas[i]}] += len(replicas) - i
	}
}

func (c *chooser) byLeading(_ []int32, a, b Node) int {
	return cmp.Or(
		compareDown(a, b),
		cmp.Compare(c.topic.Leaders[a.ID], c.topic.Leaders[b.ID]),
		cmp.Compare(c.all.Leaders[a.ID], c.all.Leaders[b.ID]),
		cmp.Compare(c.topic.Replicas[a.ID], c.topic.Replicas[b.ID]),
		cmp.Compare(c.all.Replicas[a.ID], c.all.Replicas[b.ID]),
		cmp.Compare(a.ID, b.ID),
	)
}

// byFollowing prefers racks that the partition has least of. Among equals it takes whoever follows this leader least often, so that a
// dead broker's partitions do not all fall to one other.
func (c *chooser) byFollowing(replicas []int32, a, b Node) int {
	leader := replicas[0]
	return cmp.Or(
		compareDown(a, b),
		cmp.Compare(c.racks[c.rack[a.ID]], c.racks[c.rack[b.ID]]),
		cmp.Compare(c.topic.Replicas[a.ID], c.topic.Replicas[b.ID]),
		cmp.Compare(c.all.Replicas[a.ID], c.all.Replicas[b.ID]),
		cmp.Compare(c.pairs[pair{leader, a.ID}], c.pairs[pair{leader, b.ID}]),
		compareAfter(leader, a.ID, b.ID),
	)
}

func compareDown(a, b Node) int {
	switch {
	case a.Down == b.Down:
		return 0
	case a.Down:
		return 1
	}
	return -1
}

// compareAfter orders ids as they come round after leader.
func compareAfter(leader, a, b int32) int {
	if (a > leader) != (b > leader) {
		return cmp.Compare(b, a) // the one above leader first
	}
	return cmp.Compare(a, b)
}
