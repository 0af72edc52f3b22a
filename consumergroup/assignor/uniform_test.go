package assignor

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// No chain of moves leads from a member to one that has two or more less.
func TestUniformIsBalanced(t *testing.T) {
	eachRandom(t, 1000, func(t *testing.T, r *rand.Rand, in Input) {
		for range 4 {
			got := Uniform{}.Assign(in)
			owners(t, in, got)
			checkBalance(t, in, got)
			in = changed(r, after(in, got))
		}
	})
}

func checkBalance(t *testing.T, in Input, a Assignment) {
	t.Helper()
	n := len(in.Members)
	reaches := make([][]bool, n) // the transitive closure of: owns a partition of a topic that the other one reads
	for i, from := range in.Members {
		reaches[i] = make([]bool, n)
		for j, to := range in.Members {
			for _, topic := range to.Topics {
				reaches[i][j] = reaches[i][j] || len(a[from.ID][topic]) > 0
			}
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				reaches[i][j] = reaches[i][j] || reaches[i][k] && reaches[k][j]
			}
		}
	}
	for i, from := range in.Members {
		for j, to := range in.Members {
			if most, least := count(a[from.ID]), count(a[to.ID]); reaches[i][j] && most-least > 1 {
				t.Fatalf("%s has %d partitions and could give to %s, who has %d", from.ID, most, to.ID, least)
			}
		}
	}
}

// Where all read the same, no partition moves that balance does not ask for.
func TestUniformMovesNoMoreThanItMust(t *testing.T) {
	moved := 0
	eachRandom(t, 1000, func(t *testing.T, r *rand.Rand, in Input) {
		in = changed(r, after(in, Uniform{}.Assign(in)))
		for i := range in.Members {
			in.Members[i].Topics = in.Members[0].Topics
		}
		got := Uniform{}.Assign(in)
		total, had, kept := 0, make([]int, len(in.Members)), 0
		for i, m := range in.Members {
			total += count(got[m.ID])
			for _, topic := range m.Topics {
				had[i] += len(m.Owned[topic])
				for _, p := range m.Owned[topic] {
					if slices.Contains(got[m.ID][topic], p) {
						kept++
					}
				}
			}
		}
		quota, more := total/len(had), total%len(had)
		most := 0
		for _, n := range had {
			if most += min(n, quota); n > quota && more > 0 {
				more--
				most++
			}
			moved += n
		}
		moved -= kept
		if kept != most {
			t.Errorf("%d partitions stay, %d could", kept, most)
		}
	})
	if moved == 0 {
		t.Error("nothing moved in any group")
	}
}

// A member that leaves gives its partitions to the others, who keep all they had.
func TestUniformLeave(t *testing.T) {
	eachRandom(t, 500, func(t *testing.T, r *rand.Rand, in Input) {
		for i := range in.Members {
			in.Members[i].Topics = in.Members[0].Topics
		}
		before := Uniform{}.Assign(in)
		left := after(in, before)
		left.Members = slices.Delete(left.Members, 0, 1)
		got := Uniform{}.Assign(left)
		for _, m := range left.Members {
			for topic, partitions := range m.Owned {
				for _, p := range partitions {
					if !slices.Contains(got[m.ID][topic], p) {
						t.Fatalf("%s lost partition %d of %x", m.ID, p, topic)
					}
				}
			}
		}
	})
}

// One move over a third member: b, who is between two topics, takes of the one and gives of the other. No topic by itself is out of balance.
func TestUniformMovesOverOthers(t *testing.T) {
	left, right := id(0), id(1)
	in := Input{Partitions: map[[16]byte]int{left: 10, right: 20}, Members: []Member{
		{ID: "a", Topics: [][16]byte{left}, Owned: map[[16]byte][]int32{left: interval(0, 9)}},
		{ID: "b", Topics: [][16]byte{left, right}, Owned: map[[16]byte][]int32{left: {9}, right: interval(0, 9)}},
		{ID: "c", Topics: [][16]byte{right}, Owned: map[[16]byte][]int32{right: interval(9, 20)}},
	}}
	want := Assignment{
		"a": {left: interval(0, 10)},
		"b": {right: append(interval(0, 9), 19)},
		"c": {right: interval(9, 19)},
	}
	if got := (Uniform{}).Assign(in); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}
