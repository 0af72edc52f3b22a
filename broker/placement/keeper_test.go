package placement

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// rest lets all Keepers look until nothing has happened for two rounds.
func (w *world) rest() {
	w.t.Helper()
	quiet := 0
	for round := 0; quiet < 2; round++ {
		if round == 200 {
			w.t.Fatalf("the Keepers do not come to rest: %v", w.log[max(0, len(w.log)-20):])
		}
		before := len(w.log)
		w.elect()
		for _, broker := range slices.Sorted(maps.Keys(w.keepers)) {
			w.look(broker)
		}
		w.pass(100 * time.Millisecond)
		if quiet++; len(w.log) > before {
			quiet = 0
		}
	}
}

// expect compares what happened since the last time.
func (w *world) expect(steps ...string) {
	w.t.Helper()
	if got := strings.Join(w.log, ", "); got != strings.Join(steps, ", ") {
		w.t.Errorf("happened: %s\nexpected: %s", got, strings.Join(steps, ", "))
	}
	w.log = nil
}

func TestReplicasFollowTheImage(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to []int32
		steps    []string
	}{
		{"one moves", []int32{1, 2, 3}, []int32{1, 2, 4}, []string{"add 4-a", "promote 4-a", "remove 3-a", "complete [1 2 4]"}},
		{"more", []int32{1}, []int32{1, 2, 3}, []string{"add 2-a", "add 3-a", "promote 2-a", "promote 3-a", "complete [1 2 3]"}},
		{"fewer", []int32{1, 2, 3}, []int32{1}, []string{"remove 2-a", "remove 3-a", "complete [1]"}},
		{"all move", []int32{1, 2}, []int32{3, 4}, []string{
			"add 3-a", "add 4-a", "promote 3-a", "remove 2-a", "promote 4-a", "transfer to 3-a", "remove 1-a", "complete [3 4]"}},
		{"only the leader moves", []int32{1}, []int32{2}, []string{"add 2-a", "promote 2-a", "transfer to 2-a", "remove 1-a", "complete [2]"}},
		{"another order", []int32{1, 2}, []int32{2, 1}, []string{"complete [2 1]"}},
	} {
		w := newWorld(t, brokers("", "", "", ""))
		id := ID{Topic: w.topic("t", on(c.from...)).ID}
		w.rest()
		w.expect()
		w.reassign(id, c.to...)
		w.rest()
		t.Log(c.name)
		w.expect(c.steps...)
	}
}

func TestReplacedDisk(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	w.topic("t", on(1, 2, 3))
	w.replace(3, "b")
	w.rest()
	w.expect("remove 3-a", "add 3-b", "promote 3-b")
}

func TestFencedReplica(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2, 3)).ID}
	w.fenced[Replica{"3-a", id}] = "crc"
	w.rest()
	w.expect("remove 3-a", "reset 3-a", "add 3-a", "promote 3-a")

	// The leader's own: it leads no longer, and the next one sees to it.
	w.fenced[Replica{"1-a", id}] = "crc"
	w.rest()
	w.expect("remove 1-a", "reset 1-a", "add 1-a", "promote 1-a")
}

// TestFencedReplicaWaits: with another voter dead, the fenced one must stay, since two of three voters are needed.
func TestFencedReplicaWaits(t *testing.T) {
	w := newWorld(t, brokers("", "", "", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2, 3, 4, 5)).ID}
	w.alive[2], w.alive[3] = false, false
	w.rest()
	w.fenced[Replica{"4-a", id}] = "crc"
	w.rest()
	w.expect()
	w.alive[2] = true
	w.rest()
	w.expect("remove 4-a", "reset 4-a", "add 4-a", "promote 4-a")
}

func TestDeadVoterIsNoReasonToChange(t *testing.T) {
	w := newWorld(t, brokers("", "", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2, 3)).ID}
	w.alive[3] = false
	w.rest()
	w.expect()

	// It can be moved away from.
	w.reassign(id, 1, 2, 4)
	w.rest()
	w.expect("add 4-a", "promote 4-a", "remove 3-a", "complete [1 2 4]")
}

func TestMoveWaitsForTheDead(t *testing.T) {
	w := newWorld(t, brokers("", "", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2, 3)).ID}
	w.alive[4] = false
	w.reassign(id, 1, 2, 4)
	w.rest()
	w.expect()

	// Taken back half way: what had come leaves, what had left comes back.
	w.alive[4] = true
	w.look(1)
	w.expect("add 4-a")
	w.reassign(id, 1, 2, 3)
	w.rest()
	w.expect("remove 4-a", "complete [1 2 3]")
}

func TestChangeGoesOnUnderTheNextLeader(t *testing.T) {
	w := newWorld(t, brokers("", "", "", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2, 3)).ID}
	w.reassign(id, 4, 5, 3)
	for range 2 {
		w.look(1)
		w.pass(time.Millisecond)
	}
	w.expect("add 4-a", "add 5-a")
	w.alive[1] = false
	w.rest()
	w.expect("promote 4-a", "remove 1-a", "promote 5-a", "transfer to 4-a", "remove 2-a", "complete [4 5 3]")
}

func TestFailedChangesWaitLonger(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2)).ID}
	w.reassign(id, 1, 3)
	w.fail = errors.New("no")
	k := w.keepers[1]
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		w.look(1)
		if got := k.trouble[id].until.Sub(w.now); got != want*time.Second {
			t.Fatalf("waits %v, want %d s", got, want)
		}
		w.now = w.now.Add(want*time.Second - 1)
		until := k.trouble[id].until
		if w.look(1); k.trouble[id].until != until {
			t.Fatal("tried before its time")
		}
		w.now = w.now.Add(1)
	}
	w.fail = nil
	w.rest()
	w.expect("add 3-a", "promote 3-a", "remove 2-a", "complete [1 3]")
}

// TestLearnersComeInTurn: a broker that joins is not made the learner of thousands of groups at once.
func TestLearnersComeInTurn(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	for i := range 2 * MaxLearners {
		w.topic(fmt.Sprint("t", i), on(1, 2))
	}
	for id := range w.groups {
		w.reassign(id, 1, 3)
	}
	for range 10 {
		w.look(1) // nobody catches up meanwhile
	}
	learners := 0
	for _, m := range w.groups {
		learners += len(m.learners)
	}
	if learners != MaxLearners {
		t.Errorf("%d learners, want %d", learners, MaxLearners)
	}
	w.rest()
	for id, m := range w.groups {
		if !slices.Equal(m.voters, []ServerID{"1-a", "3-a"}) {
			t.Fatalf("%s: %v", id, m.voters)
		}
	}
}

// TestRandomLife moves a partition about while brokers die and come back, disks are replaced and damaged and leaders change, with
// never more lost than the voters stand. The world checks each change; in the end everything is where it was wanted last.
func TestRandomLife(t *testing.T) {
	lives, first := 100, uint64(0)
	if text := os.Getenv("QUIRE_PLACEMENT_LIVES"); text != "" { // how many, and with which seed to begin: "20000 0"
		if _, err := fmt.Sscan(text, &lives, &first); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d lives from seed %d on", lives, first)
	}
	for seed := first; seed < first+uint64(lives); seed++ {
		if randomLife(t, rand.New(rand.NewPCG(7, seed))); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomLife(t *testing.T, r *rand.Rand) {
	nodes := brokers("", "", "", "", "", "")
	w := newWorld(t, nodes)
	pick := func() []int32 {
		var ids []int32
		for _, i := range r.Perm(len(nodes))[:1+r.IntN(4)] {
			ids = append(ids, nodes[i].ID)
		}
		return ids
	}
	id := ID{Topic: w.topic("t", on(pick()...)).ID}
	m := w.groups[id]
	incarnation := 'a'
	for range 150 {
		b := nodes[r.IntN(len(nodes))].ID
		switch r.IntN(12) {
		case 0:
			w.reassign(id, pick()...)
		case 1, 2:
			w.alive[b] = !w.alive[b]
		case 3, 4: // lost for good: only what the others can make up for
			if !w.spare(id, w.server(b)) {
				break
			}
			if incarnation++; r.IntN(2) == 0 {
				w.replace(b, string(incarnation))
			} else if slices.Contains(m.voters, w.server(b)) || slices.Contains(m.learners, w.server(b)) {
				w.fenced[Replica{w.server(b), id}] = string(incarnation)
			}
		case 5:
			m.leader = ""
		default:
			w.elect()
			for broker := range w.keepers {
				w.look(broker)
			}
			w.pass(time.Duration(r.IntN(2000)) * time.Millisecond)
		}
	}
	for b := range w.alive {
		w.alive[b] = true
	}
	w.now = w.now.Add(retryMax)
	w.rest()
	w.elect()
	p := w.partition(id)
	if reassigning(&p) || len(m.learners) > 0 || len(w.fenced) > 0 || !sameSet(m.voters, w.servers(p.Replicas...)) {
		t.Errorf("wanted %+v, there are voters %v, learners %v, fenced %v; %v", p, m.voters, m.learners, w.fenced, w.log)
	}
}

// spare says whether a majority of the group is sound without s, and has the whole log.
func (w *world) spare(id ID, s ServerID) bool {
	n := 0
	m := w.groups[id]
	for _, v := range m.voters {
		if v != s && w.sound(v, id) && m.match[v] == m.end {
			n++
		}
	}
	return n > len(m.voters)/2
}

func sameSet(a, b []ServerID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
