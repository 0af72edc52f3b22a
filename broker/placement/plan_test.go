package placement

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quirelog/quire/replication/controller"
)

// newImage has the nodes as brokers, with incarnation a.
func newImage(nodes []Node) *controller.Image {
	image := &controller.Image{
		Topics: map[string]*controller.Topic{}, TopicsByID: map[controller.TopicID]*controller.Topic{}, Brokers: map[int32]controller.Broker{},
	}
	for _, n := range nodes {
		image.Brokers[n.ID] = controller.Broker{ID: n.ID, Rack: n.Rack, Incarnation: "a"}
	}
	return image
}

func addTopic(image *controller.Image, name string, parts ...controller.Partition) *controller.Topic {
	t := &controller.Topic{Name: name, ID: controller.TopicID{byte(len(image.Topics) + 1)}, Partitions: parts}
	image.Topics[name], image.TopicsByID[t.ID] = t, t
	return t
}

func on(replicas ...int32) controller.Partition { return controller.Partition{Replicas: replicas} }

// applied carries moves out at once.
func applied(image *controller.Image, moves []Move) {
	for _, m := range moves {
		image.TopicsByID[m.Topic].Partitions[m.Partition] = on(m.Replicas...)
	}
}

// randomCluster has topics of all sizes, placed while only the first few of the brokers were there.
func randomCluster(t *testing.T, r *rand.Rand, nodes []Node, first int) *controller.Image {
	image := newImage(nodes)
	for i := range 1 + r.IntN(12) {
		parts, err := Place(nodes[:first], LoadOf(image), nil, 1+r.IntN(30), 1+r.IntN(min(3, first)))
		if err != nil {
			t.Fatal(err)
		}
		addTopic(image, fmt.Sprint("t", i), parts...)
	}
	return image
}

func racksOf(nodes []Node, replicas []int32) int {
	seen := map[string]bool{}
	for _, id := range replicas {
		seen[nodes[id-1].Rack] = true
	}
	return len(seen)
}

func TestDrainPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		nodes := brokers("a", "b", "c", "a", "b", "c")
		image := randomCluster(t, r, nodes, 6)
		moves, err := PlanDrain(image, nodes, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range moves {
			old := image.TopicsByID[m.Topic].Partitions[m.Partition].Replicas
			kept := 0
			for _, id := range old {
				if slices.Contains(m.Replicas, id) {
					kept++
				}
			}
			if kept != len(old)-1 || len(m.Replicas) != len(old) || racksOf(nodes, m.Replicas) != racksOf(nodes, old) {
				t.Fatalf("from %v to %v", old, m.Replicas)
			}
			if old[0] != 2 && m.Replicas[0] != old[0] {
				t.Fatalf("from %v to %v: the preferred leader was to stay", old, m.Replicas)
			}
		}
		applied(image, moves)
		load := LoadOf(image)
		if load.Replicas[2] != 0 {
			t.Fatalf("broker 2 still has %d", load.Replicas[2])
		}
		if again, err := PlanDrain(image, nodes, 2); err != nil || len(again) != 0 {
			t.Fatalf("nothing is left, and yet %v, %v", again, err)
		}
	}
}

func TestDrainRefusals(t *testing.T) {
	nodes := brokers("", "", "")
	image := newImage(nodes)
	addTopic(image, "t", on(1, 2))
	if _, err := PlanDrain(image, nodes, 9); !errors.Is(err, controller.ErrUnknownBroker) {
		t.Errorf("broker 9: %v", err)
	}
	nodes[2].Down = true
	if _, err := PlanDrain(image, nodes, 1); !errors.Is(err, ErrTooFewBrokers) {
		t.Errorf("the only other broker is down: %v", err)
	}
	if moves, err := PlanDrain(image, nodes, 3); err != nil || moves != nil {
		t.Errorf("a broker without replicas: %v, %v", moves, err)
	}
}

// TestEvenPlan adds brokers to a cluster: in a few rounds they have their share, with no more moved than that, and racks stay as
// they were.
func TestEvenPlan(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		nodes := brokers("a", "b", "c", "a", "b", "c")
		image := randomCluster(t, r, nodes, 3)
		share := 0
		for _, n := range LoadOf(image).Replicas {
			share += n
		}
		share /= 6
		moved := 0
		for round := 0; ; round++ {
			moves := PlanEven(image, nodes)
			if len(moves) == 0 {
				break
			}
			if round == 10 {
				t.Fatalf("does not come to rest: %v", moves)
			}
			for _, m := range moves {
				old := image.TopicsByID[m.Topic].Partitions[m.Partition].Replicas
				if racksOf(nodes, m.Replicas) < racksOf(nodes, old) {
					t.Fatalf("from %v to %v: fewer racks", old, m.Replicas)
				}
				for _, id := range m.Replicas {
					if !slices.Contains(old, id) {
						moved++
					}
				}
			}
			applied(image, moves)
		}
		load := LoadOf(image)
		if dr, dl := uneven(nodes, load.Replicas), uneven(nodes, load.Leaders); dr > 2 || dl > 2 {
			t.Fatalf("replicas differ by %d, leaders by %d: %+v", dr, dl, load)
		}
		if moved > 3*(share+2) {
			t.Fatalf("%d replicas moved to three brokers that were to get %d each", moved, share)
		}
	}
}

func TestInternalPlan(t *testing.T) {
	internal := func(topic string) bool { return topic == "__i" }
	for _, c := range []struct {
		name string
		have []controller.Partition
		n    int
		want string
	}{
		{"alone", []controller.Partition{on(1)}, 1, ""},
		{"two", []controller.Partition{on(1), on(1)}, 2, "0:[2 1] 1:[1 2] "},
		{"three", []controller.Partition{on(1), on(1), on(1), on(1)}, 3, "0:[2 1 3] 1:[3 1 2] 2:[2 1 3] 3:[1 2 3] "},
		{"some have them", []controller.Partition{on(1, 2, 3), on(2, 3)}, 3, "1:[2 3 1] "},
		{"more brokers", []controller.Partition{on(1, 2, 3)}, 5, ""},
	} {
		nodes := brokers("", "", "", "", "")[:c.n]
		image := newImage(nodes)
		addTopic(image, "__i", c.have...)
		addTopic(image, "t", on(1))
		got := ""
		for _, m := range PlanInternal(image, nodes, internal) {
			got += fmt.Sprintf("%d:%v ", m.Partition, m.Replicas)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.n > 1 {
			nodes[c.n-1].Down = true
			if moves := PlanInternal(image, nodes, internal); c.n < 4 && len(c.have[0].Replicas) < 2 && moves != nil {
				t.Errorf("%s, with one down: %v", c.name, moves)
			}
		}
	}
}
