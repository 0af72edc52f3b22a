package controller

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// moving is an image with brokers 1 to 5 and a partition on the replicas.
func moving(replicas ...int32) *Image {
	i := &Image{}
	entries := []entry{{1, &createTopic{Topic: Topic{Name: "t", ID: idA, Partitions: []Partition{{Replicas: replicas}}}}}}
	for id := int32(5); id > 0; id-- {
		entries = slices.Insert(entries, 0, entry{1, &registerBroker{Broker: Broker{ID: id, Incarnation: "x"}}})
	}
	i, _ = applyEntries(i, entries)
	return i
}

// move applies a reassignment to partition 0 of t.
func move(i *Image, target ...int32) (*Image, error) {
	i, r := applyEntries(i, []entry{{i.Version + 1, &reassignPartitions{Moves: []Reassignment{{idA, 0, target}}}}})
	return i, r[0].each[0]
}

func complete(i *Image, target ...int32) (*Image, error) {
	i, r := applyEntries(i, []entry{{i.Version + 1, &completeReassignment{ID: idA, Target: target}}})
	return i, r[0].err
}

func TestReassignments(t *testing.T) {
	type ids = []int32
	three := []string{"1-x", "2-x", "3-x"}
	for _, tc := range []struct {
		name  string
		moves []ids // nil: taken back
		want  Partition
	}{
		{"one replaced", []ids{{1, 2, 4}}, Partition{ids{1, 2, 4, 3}, ids{4}, ids{3}, ids{1, 2, 4}, ids{1, 2, 3}, three}},
		{"more", []ids{{1, 2, 3, 4}}, Partition{ids{1, 2, 3, 4}, ids{4}, nil, ids{1, 2, 3, 4}, ids{1, 2, 3}, three}},
		{"fewer", []ids{{2}}, Partition{ids{2, 1, 3}, nil, ids{1, 3}, ids{2}, ids{1, 2, 3}, three}},
		{"another order", []ids{{3, 1, 2}}, Partition{Replicas: ids{3, 1, 2}, Founders: three}},
		{"nothing", []ids{{1, 2, 3}}, Partition{Replicas: ids{1, 2, 3}, Founders: three}},
		{"another target", []ids{{1, 2, 4}, {1, 2, 5}}, Partition{ids{1, 2, 5, 4, 3}, ids{5}, ids{4, 3}, ids{1, 2, 5}, ids{1, 2, 3}, three}},
		{"taken back", []ids{{4, 2, 5}, nil}, Partition{ids{1, 2, 3, 4, 5}, nil, ids{4, 5}, ids{1, 2, 3}, ids{1, 2, 3}, three}},
		{"taken back twice", []ids{{4, 2, 5}, nil, nil}, Partition{ids{1, 2, 3, 4, 5}, nil, ids{4, 5}, ids{1, 2, 3}, ids{1, 2, 3}, three}},
		{"fewer, taken back", []ids{{2}, nil}, Partition{Replicas: ids{1, 2, 3}, Founders: three}},
		{"once more", []ids{{1, 2, 4}, {1, 2, 4}}, Partition{ids{1, 2, 4, 3}, ids{4}, ids{3}, ids{1, 2, 4}, ids{1, 2, 3}, three}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := moving(1, 2, 3)
			for _, m := range tc.moves {
				var err error
				if i, err = move(i, m...); err != nil {
					t.Fatal(err)
				}
			}
			if got := i.Topics["t"].Partitions[0]; !reflect.DeepEqual(got, tc.want) || i.TopicsByID[idA] != i.Topics["t"] {
				t.Fatalf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestReassignmentsThatCannotBe(t *testing.T) {
	i := moving(1, 2, 3)
	before, err := encodeSnapshot(i)
	must(t, err)
	_, results := applyEntries(i, []entry{{9, &reassignPartitions{Moves: []Reassignment{
		{idA, 0, nil}, {idA, 0, []int32{}}, {idA, 0, []int32{1, 1}}, {idA, 0, []int32{1, 9}}, {idA, 1, []int32{1}},
		{idA, -1, []int32{1}}, {idB, 0, []int32{1}},
	}}}})
	want := []error{ErrNoReassignment, ErrReplicas, ErrReplicas, ErrUnknownBroker, ErrUnknownPartition, ErrUnknownPartition, ErrUnknownTopic}
	for n, err := range results[0].each {
		if !errors.Is(err, want[n]) {
			t.Errorf("move %d: %v, want %v", n, err, want[n])
		}
	}
	if after, err := encodeSnapshot(i); err != nil || string(after) != string(before) {
		t.Errorf("now %s, %v", after, err)
	}
}

func TestCompletedReassignment(t *testing.T) {
	i, err := move(moving(1, 2, 3), 1, 2, 4)
	must(t, err)
	for _, stale := range [][]int32{{1, 2, 3}, {1, 4, 2}, {1, 2}, nil} {
		if _, err := complete(i, stale...); !errors.Is(err, ErrOtherTarget) {
			t.Errorf("completed to %v: %v", stale, err)
		}
	}
	// Nobody begins the group anew, not even a founder that comes back after its replica was deleted.
	want := Partition{Replicas: []int32{1, 2, 4}}
	for range 2 { // the second time nothing changes
		if i, err = complete(i, 1, 2, 4); err != nil || !reflect.DeepEqual(i.Topics["t"].Partitions[0], want) {
			t.Fatalf("%+v, %v", i.Topics["t"].Partitions[0], err)
		}
	}
	if _, err := complete(i, 1, 2, 3); !errors.Is(err, ErrOtherTarget) {
		t.Error(err)
	}
}

// TestReplicasHoldWhoMayVote makes random moves, takes them back and completes some, while a keeper brings the partition's group from
// any to any: whoever may be in the group is a replica, or his broker would delete what has a vote.
func TestReplicasHoldWhoMayVote(t *testing.T) {
	i := moving(1, 2, 3)
	group := map[int32]bool{1: true, 2: true, 3: true}
	for n := range 3000 {
		p := i.Topics["t"].Partitions[0]
		next := i
		var err error
		switch wanted := p.Target; rand.IntN(4) {
		case 0:
			next, err = move(i)
		case 1:
			order := rand.Perm(5)[:1+rand.IntN(4)]
			var target []int32
			for _, id := range order {
				target = append(target, int32(id+1))
			}
			next, err = move(i, target...)
		default:
			if wanted == nil {
				wanted = p.Replicas
			}
			if rand.IntN(3) > 0 { // a step towards it
				if add := without(wanted, keys(group)); len(add) > 0 {
					group[add[0]] = true
				} else if drop := without(keys(group), wanted); len(drop) > 0 {
					delete(group, drop[0])
				}
			} else if len(without(wanted, keys(group)))+len(without(keys(group), wanted)) == 0 {
				next, err = complete(i, wanted...)
			}
		}
		if err != nil && !errors.Is(err, ErrNoReassignment) {
			t.Fatal(err)
		}
		i = next
		if p := i.Topics["t"].Partitions[0]; len(without(keys(group), p.Replicas)) > 0 {
			t.Fatalf("step %d: group %v, partition %+v", n, keys(group), p)
		}
	}
}

func keys(m map[int32]bool) []int32 {
	var ids []int32
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func TestUnregister(t *testing.T) {
	i, err := move(moving(1, 2, 3), 1, 2, 4)
	must(t, err)
	for id, want := range map[int32]error{3: ErrHasReplicas, 4: ErrHasReplicas, 5: nil, 6: ErrUnknownBroker} {
		after, r := applyEntries(i, []entry{{20, &unregisterBroker{ID: id}}})
		if !errors.Is(r[0].err, want) {
			t.Errorf("broker %d: %v, want %v", id, r[0].err, want)
		}
		if _, known := after.Brokers[id]; known != (want == ErrHasReplicas) {
			t.Errorf("broker %d is registered: %v", id, known)
		}
	}
}

func TestFoundersAreWhoIsRegisteredThen(t *testing.T) {
	i := moving(1, 2)
	i, r := applyEntries(i, []entry{
		{10, &registerBroker{Broker: Broker{ID: 2, Incarnation: "new"}}},
		{11, &addPartitions{ID: idA, From: 1, Add: []Partition{{Replicas: []int32{2, 3}, Founders: []string{"made up"}}}}},
		{12, &addPartitions{ID: idA, From: 2, Add: []Partition{{Replicas: []int32{7}}}}},
		{13, &createTopic{Topic: Topic{Name: "u", ID: idB, Partitions: []Partition{{Replicas: []int32{2, 2}}}}}},
	})
	if !errors.Is(r[2].err, ErrUnknownBroker) || !errors.Is(r[3].err, ErrReplicas) || len(i.Topics) != 1 {
		t.Fatalf("%v, %v", r[2].err, r[3].err)
	}
	want := []Partition{
		{Replicas: []int32{1, 2}, Founders: []string{"1-x", "2-x"}},
		{Replicas: []int32{2, 3}, Founders: []string{"2-new", "3-x"}},
	}
	if got := i.Topics["t"].Partitions; !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v", got)
	}
}
