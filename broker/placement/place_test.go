package placement

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quirelog/quire/replication/controller"
)

// brokers makes nodes 1, 2, ... with the racks given.
func brokers(racks ...string) []Node {
	nodes := make([]Node, len(racks))
	for i, r := range racks {
		nodes[i] = Node{ID: int32(i + 1), Rack: r}
	}
	return nodes
}

func lists(parts []controller.Partition) string {
	var all [][]int32
	for _, p := range parts {
		all = append(all, p.Replicas)
	}
	return fmt.Sprint(all)
}

func TestPlaceExamples(t *testing.T) {
	down := brokers("", "", "", "")
	down[1].Down = true
	for _, c := range []struct {
		name      string
		nodes     []Node
		have      string
		n, factor int
		want      string
	}{
		{"alone", brokers(""), "", 3, 1, "[[1] [1] [1]]"},
		{"in turn", brokers("", "", ""), "", 4, 1, "[[1] [2] [3] [1]]"},
		{"followers take turns", brokers("", "", ""), "", 6, 3, "[[1 2 3] [2 3 1] [3 1 2] [1 3 2] [2 1 3] [3 2 1]]"},
		{"racks first", brokers("a", "a", "b", "b"), "", 4, 2, "[[1 3] [2 4] [3 1] [4 2]]"},
		{"a rack each, where that goes", brokers("a", "a", "b"), "", 2, 3, "[[1 3 2] [2 3 1]]"},
		{"a dead one gets nothing", down, "", 3, 3, "[[1 3 4] [3 4 1] [4 1 3]]"},
		{"but where it has to", down, "", 1, 4, "[[1 3 4 2]]"},
	} {
		parts, err := Place(c.nodes, NewLoad(), nil, c.n, c.factor)
		if err != nil || lists(parts) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, lists(parts), err, c.want)
		}
	}
	if _, err := Place(brokers("", ""), NewLoad(), nil, 1, 3); !errors.Is(err, ErrTooFewBrokers) {
		t.Errorf("three replicas on two brokers: %v", err)
	}
}

// TestPlaceEven places topics of all sizes on clusters of all shapes: replicas lie on different brokers and on as many racks as
// there can be; where racks are alike, a topic's leaders and replicas are even to one; small topics even out over all.
func TestPlaceEven(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		racks, perRack := 1+r.IntN(4), 1+r.IntN(3)
		var names []string
		for i := range racks * perRack {
			names = append(names, fmt.Sprint("rack", i%racks))
		}
		nodes := brokers(names...)
		load := NewLoad()
		for range 1 + r.IntN(20) {
			n, factor := 1+r.IntN(40), 1+r.IntN(min(3, len(nodes)))
			parts, err := Place(nodes, load, nil, n, factor)
			if err != nil {
				t.Fatal(err)
			}
			load.Add(parts)
			checkSpread(t, nodes, parts, min(factor, racks))
			own := NewLoad()
			own.Add(parts)
			if d := uneven(nodes, own.Leaders); d > 1 {
				t.Fatalf("%v: %d partitions of %d replicas: leaders differ by %d: %s", names, n, factor, d, lists(parts))
			}
			if d := uneven(nodes, own.Replicas); d > 2 {
				t.Fatalf("%v: %d partitions of %d replicas: replicas differ by %d: %s", names, n, factor, d, lists(parts))
			}
		}
		if dl, dr := uneven(nodes, load.Leaders), uneven(nodes, load.Replicas); dl > 2 || dr > 4 {
			t.Fatalf("%v: leaders differ by %d, replicas by %d", names, dl, dr)
		}
	}
}

func checkSpread(t *testing.T, nodes []Node, parts []controller.Partition, racks int) {
	t.Helper()
	for _, p := range parts {
		seen := map[string]bool{}
		for i, id := range p.Replicas {
			if slices.Contains(p.Replicas[:i], id) {
				t.Fatalf("twice on one broker: %v", p.Replicas)
			}
			seen[nodes[id-1].Rack] = true
		}
		if len(seen) != racks {
			t.Fatalf("%v lies on %d racks, %d can be had", p.Replicas, len(seen), racks)
		}
	}
}

// uneven is by how much the brokers with most and least differ.
func uneven(nodes []Node, count map[int32]int) int {
	least, most := count[nodes[0].ID], count[nodes[0].ID]
	for _, n := range nodes {
		least, most = min(least, count[n.ID]), max(most, count[n.ID])
	}
	return most - least
}

// TestPlaceFollowsLeaders sees that the partitions of a dead leader have their next replicas on all the others.
func TestPlaceFollowsLeaders(t *testing.T) {
	nodes := brokers("", "", "", "", "")
	parts, err := Place(nodes, NewLoad(), nil, 100, 3)
	if err != nil {
		t.Fatal(err)
	}
	next, all := map[int32]int{}, map[int32]int{}
	for _, p := range parts {
		if p.Replicas[0] == 1 {
			next[p.Replicas[1]]++
			all[p.Replicas[1]]++
			all[p.Replicas[2]]++
		}
	}
	if uneven(nodes[1:], next) > 4 || uneven(nodes[1:], all) > 4 {
		t.Errorf("behind broker 1 stand, of 20, first %v, at all %v", next, all)
	}
}

func TestPlaceLeavesLoad(t *testing.T) {
	load := NewLoad()
	if _, err := Place(brokers("", ""), load, nil, 5, 2); err != nil || len(load.Replicas) != 0 || len(load.Leaders) != 0 {
		t.Errorf("%v, %+v", err, load)
	}
}
