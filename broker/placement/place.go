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
		l.count(Wanted(&parts[i]), 1)
	}
}

func (l *Load) count(replicas []int32, n int) {
	for i, id := range replicas {
		l.Replicas[id] += n
		if i == 0 {
			l.Leaders[id] += n
		}
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
	c := newChooser(nodes, load.clone(), have)
	parts := make([]controller.Partition, n)
	for i := range parts {
		parts[i].Replicas = c.choose(nil, factor)
		c.set(nil, parts[i].Replicas)
	}
	return parts, nil
}

// chooser picks brokers for partitions of one topic. It counts only what it is told to with set.
type chooser struct {
	nodes     []Node       // may be chosen
	all       *Load        // of the cluster
	topicLoad *Load        // of the topic alone
	pairs     map[pair]int // of the topic: how often a broker stands behind a leader, the first places counting more
	rack      map[int32]string

	// Of the partition at hand.
	racks map[string]int // replicas in a rack
	taken map[int32]bool // brokers
}

type pair struct{ leader, follower int32 }

// newChooser counts on in all.
func newChooser(nodes []Node, all *Load, have []controller.Partition) *chooser {
	c := &chooser{nodes: nodes, all: all, topicLoad: NewLoad(), pairs: map[pair]int{}, rack: map[int32]string{}}
	for _, n := range nodes {
		if c.rack[n.ID] = n.Rack; n.Rack == "" {
			c.rack[n.ID] = fmt.Sprint("broker ", n.ID)
		}
	}
	c.topicLoad.Add(have)
	for i := range have {
		c.pair(Wanted(&have[i]), 1)
	}
	return c
}

// set counts that a partition's replicas are others.
func (c *chooser) set(old, replicas []int32) {
	for _, l := range []*Load{c.all, c.topicLoad} {
		l.count(old, -1)
		l.count(replicas, 1)
	}
	c.pair(old, -1)
	c.pair(replicas, 1)
}

// choose fills replicas up to factor; those given stay, in their order. There must be enough nodes.
func (c *chooser) choose(replicas []int32, factor int) []int32 {
	replicas = slices.Clone(replicas)
	c.hold(replicas)
	for len(replicas) < factor {
		order := c.byFollowing
		if len(replicas) == 0 {
			order = c.byLeading
		}
		best := slices.MinFunc(c.free(), func(a, b Node) int { return order(replicas, a, b) })
		replicas = append(replicas, best.ID)
		c.take(best.ID)
	}
	return replicas
}

// hold makes replicas the partition at hand.
func (c *chooser) hold(replicas []int32) {
	c.racks, c.taken = map[string]int{}, map[int32]bool{}
	for _, id := range replicas {
		c.take(id)
	}
}

// lead puts the one first that is the preferred leader of the fewest partitions; where that is no gain, replicas stay as they are.
// They must not be counted.
func (c *chooser) lead(replicas []int32) []int32 {
	best := slices.MinFunc(replicas, func(a, b int32) int { return cmp.Compare(c.all.Leaders[a], c.all.Leaders[b]) })
	if c.all.Leaders[best] == c.all.Leaders[replicas[0]] {
		return replicas
	}
	rest := slices.DeleteFunc(slices.Clone(replicas), func(id int32) bool { return id == best })
	return append([]int32{best}, rest...)
}

func (c *chooser) take(id int32) {
	c.taken[id] = true
	c.racks[c.rack[id]]++
}

// free are the nodes that the partition at hand has no replica on.
func (c *chooser) free() []Node {
	return slices.DeleteFunc(slices.Clone(c.nodes), func(n Node) bool { return c.taken[n.ID] })
}

func (c *chooser) pair(replicas []int32, n int) {
	for i := 1; i < len(replicas); i++ {
		c.pairs[pair{replicas[0], replicas[i]}] += n * (len(replicas) - i)
	}
}

func (c *chooser) byLeading(_ []int32, a, b Node) int {
	return cmp.Or(
		compareDown(a, b),
		cmp.Compare(c.topicLoad.Leaders[a.ID], c.topicLoad.Leaders[b.ID]),
		cmp.Compare(c.all.Leaders[a.ID], c.all.Leaders[b.ID]),
		cmp.Compare(c.topicLoad.Replicas[a.ID], c.topicLoad.Replicas[b.ID]),
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
		cmp.Compare(c.topicLoad.Replicas[a.ID], c.topicLoad.Replicas[b.ID]),
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
