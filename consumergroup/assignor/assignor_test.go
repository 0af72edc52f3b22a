package assignor

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

// eachRandom runs check on random groups.
func eachRandom(t *testing.T, groups int, check func(t *testing.T, r *rand.Rand, in Input)) {
	t.Helper()
	r := fuzz.Rand(t)
	for n := range groups {
		if check(t, r, randomInput(r, 12, 6, 10)); t.Failed() {
			t.Fatalf("group %d", n)
		}
	}
}

// owners is who has each partition. It fails t unless each is owned by exactly one member, in order, that reads its topic.
func owners(t *testing.T, in Input, a Assignment) map[[16]byte][]string {
	t.Helper()
	reads := map[string][][16]byte{}
	all := map[[16]byte][]string{}
	for _, m := range in.Members {
		reads[m.ID] = m.Topics
		for _, topic := range m.Topics {
			all[topic] = make([]string, in.Partitions[topic])
		}
	}
	if len(a) != len(in.Members) {
		t.Fatalf("%d members of %d", len(a), len(in.Members))
	}
	for m, topics := range a {
		for topic, partitions := range topics {
			if !slices.Contains(reads[m], topic) || len(partitions) == 0 || !slices.IsSorted(partitions) {
				t.Fatalf("%s got %v of %x", m, partitions, topic)
			}
			for _, p := range partitions {
				if all[topic][p] != "" {
					t.Fatalf("partition %d of %x is owned by %s and %s", p, topic, all[topic][p], m)
				}
				all[topic][p] = m
			}
		}
	}
	for topic, members := range all {
		if p := slices.Index(members, ""); p >= 0 {
			t.Fatalf("partition %d of %x is owned by nobody", p, topic)
		}
	}
	return all
}

func count(a map[[16]byte][]int32) (n int) {
	for _, partitions := range a {
		n += len(partitions)
	}
	return n
}

func TestEveryPartitionHasAnOwner(t *testing.T) {
	for _, a := range All() {
		t.Run(a.Name(), func(t *testing.T) {
			eachRandom(t, 500, func(t *testing.T, r *rand.Rand, in Input) {
				for range 4 {
					got := a.Assign(in)
					owners(t, in, got)
					if again := a.Assign(shuffled(r, in)); !reflect.DeepEqual(got, again) {
						t.Fatalf("in another order: %v, then %v", got, again)
					}
					if again := a.Assign(after(in, got)); !reflect.DeepEqual(got, again) {
						t.Fatalf("assigned again: %v, then %v", got, again)
					}
					in = changed(r, after(in, got))
				}
			})
		})
	}
}

func TestNobodyAndNothing(t *testing.T) {
	for _, a := range All() {
		if got := a.Assign(Input{}); len(got) != 0 {
			t.Errorf("%s: %v", a.Name(), got)
		}
		in := Input{Members: []Member{{ID: "a", Topics: [][16]byte{id(1)}}, {ID: "b"}}}
		if got, want := a.Assign(in), (Assignment{"a": {}, "b": {}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", a.Name(), got)
		}
	}
}

func TestNames(t *testing.T) {
	var names []string
	for _, a := range All() {
		names = append(names, a.Name())
	}
	if want := []string{"uniform", "range"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
}

// Ranges as Kafka gives them: static members first, by instance id; the first ones get what is left over; topics are co-partitioned.
func TestRange(t *testing.T) {
	both := [][16]byte{id(0), id(1)}
	in := Input{Partitions: map[[16]byte]int{id(0): 7, id(1): 7, id(2): 1}, Members: []Member{
		{ID: "b", Topics: both}, {ID: "a", Topics: append(both, id(2))}, {ID: "c", InstanceID: "z", Topics: both}}}
	want := Assignment{
		"c": {id(0): {0, 1, 2}, id(1): {0, 1, 2}},
		"a": {id(0): {3, 4}, id(1): {3, 4}, id(2): {0}},
		"b": {id(0): {5, 6}, id(1): {5, 6}},
	}
	if got := (Range{}).Assign(in); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

// benchmarkGroup has 1,000 members and 10,000 partitions. With some > 0 each member reads so many topics of its own choice.
func benchmarkGroup(topics, some int) Input {
	const members, partitions = 1000, 10_000
	in, r := Input{Partitions: map[[16]byte]int{}}, rand.New(rand.NewPCG(1, 2))
	var all [][16]byte
	for t := range topics {
		all = append(all, id(t))
		in.Partitions[id(t)] = partitions / topics
	}
	for m := range members {
		m := Member{ID: fmt.Sprint("m", m), Topics: all}
		if some > 0 {
			m.Topics = nil
			for _, t := range r.Perm(topics)[:some] {
				m.Topics = append(m.Topics, all[t])
			}
		}
		in.Members = append(in.Members, m)
	}
	return in
}

func BenchmarkAssign(b *testing.B) {
	for name, in := range map[string]Input{"same": benchmarkGroup(100, 0), "same,1000topics": benchmarkGroup(1000, 0), "own": benchmarkGroup(1000, 50)} {
		part := in
		part.Members = in.Members[:len(in.Members)/10]
		left := after(in, Uniform{}.Assign(in))
		left.Members = left.Members[1:]
		for state, in := range map[string]Input{"new": in, "joined": after(in, Uniform{}.Assign(part)), "left": left} {
			for _, a := range All() {
				b.Run(a.Name()+"/"+name+"/"+state, func(b *testing.B) {
					for b.Loop() {
						a.Assign(in)
					}
				})
			}
		}
	}
}
