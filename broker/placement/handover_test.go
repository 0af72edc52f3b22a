package placement

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// lead makes a voter lead a partition.
func (w *world) lead(id ID, broker int32) { w.groups[id].leader = w.server(broker) }

// TestBalanceIsGentle: a broker that comes back gets its partitions back, but not before it has been quiet, and a few a second.
func TestBalanceIsGentle(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	var ids []ID
	for range 20 {
		ids = append(ids, ID{Topic: w.topic("t"+string(rune('a'+len(ids))), on(1, 2, 3)).ID})
		w.lead(ids[len(ids)-1], 2)
	}
	led := func() (n int) {
		for _, id := range ids {
			if w.groups[id].leader == "1-a" {
				n++
			}
		}
		return n
	}
	run := func(d time.Duration) {
		for range d / (100 * time.Millisecond) {
			w.look(2)
			w.pass(100 * time.Millisecond)
		}
	}
	w.alive[1] = false
	run(5 * time.Second)
	w.alive[1] = true
	run(quietTime - time.Second)
	if n := led(); n != 0 {
		t.Fatalf("%d were handed over before it had been quiet", n)
	}
	w.alive[1] = false // and all begins anew
	run(time.Second)
	w.alive[1] = true
	run(quietTime)
	if n := led(); n > 1 {
		t.Fatalf("%d were handed over before it had been quiet again", n)
	}
	run(time.Second)
	if n := led(); n < 3 || n > 6 {
		t.Fatalf("%d were handed over in a second", n)
	}
	run(5 * time.Second)
	if n := led(); n != len(ids) {
		t.Fatalf("only %d are where they should be", n)
	}
}

func TestBalanceLeavesAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(w *world, id ID)
	}{
		{"fenced", func(w *world, id ID) { w.fenced[Replica{"1-a", id}] = "crc"; w.groups[id].voters = w.servers(2, 3) }},
		{"behind", func(w *world, id ID) { w.groups[id].match["1-a"] = 0 }},
		{"no voter", func(w *world, id ID) { w.groups[id].voters = w.servers(2, 3); w.fail = errors.New("no") }},
		{"being moved", func(w *world, id ID) { w.reassign(id, 1, 2, 4); w.alive[4] = false }},
		{"switched off", func(w *world, _ ID) { w.keepers[2].options.NoBalance = true }},
	} {
		w := newWorld(t, brokers("", "", "", ""))
		id := ID{Topic: w.topic("t", on(1, 2, 3)).ID}
		w.lead(id, 2)
		c.spoil(w, id)
		for range 3 {
			w.now = w.now.Add(quietTime)
			w.keepers[2].balancer.quiet = quietTime
			w.look(2)
		}
		if m := w.groups[id]; m.leader != "2-a" {
			t.Errorf("%s: handed over to %s", c.name, m.leader)
		}
	}
}

// TestBalanceGivesUp: a partition that does not take to its preferred leader is left alone for a minute.
func TestBalanceGivesUp(t *testing.T) {
	b := balancer{quiet: quietTime}
	could := []handOver{{ID{Partition: 1}, "1-a"}, {ID{Partition: 2}, "1-a"}, {ID{Partition: 3}, "1-a"}}
	start := time.Unix(1e9, 0)
	tries := map[int32][]time.Duration{}
	for at := time.Duration(0); at < 2*time.Minute; at += 250 * time.Millisecond {
		for _, h := range b.due(start.Add(at), could) {
			tries[h.id.Partition] = append(tries[h.id.Partition], at)
		}
	}
	for p, at := range tries {
		if len(at) != 2 || at[1]-at[0] < balanceRetry {
			t.Errorf("partition %d is tried at %v", p, at)
		}
	}
	if len(tries) != 3 || !b.waits() {
		t.Errorf("tries %v", tries)
	}
	if b.due(start, nil); b.waits() {
		t.Error("waits for nothing")
	}
}

func TestElect(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	topic := w.topic("t", on(1, 2, 3), on(1, 2, 3), on(2, 3, 1), on(3, 2, 1), on(1, 2, 3), on(1, 2, 3), on(1, 2, 3))
	id := func(n int32) ID { return ID{Topic: topic.ID, Partition: n} }
	w.lead(id(0), 2)
	w.lead(id(1), 3)
	w.lead(id(3), 2) // preferred is dead
	w.groups[id(4)].leader = ""
	w.lead(id(5), 2)
	w.groups[id(5)].match["1-a"] = 0
	w.lead(id(6), 3) // which the table says, and is dead
	w.alive[3] = false
	w.lead(id(1), 2)
	got := w.keepers[2].Elect(context.Background(), []ID{id(0), id(1), id(2), id(3), id(4), id(5), id(6), id(7)})
	for n, want := range []error{nil, nil, ErrNotNeeded, ErrNoPreferred, ErrNoLeader, ErrNoPreferred, ErrNoLeader, ErrUnknown} {
		if err := got[id(int32(n))]; !errors.Is(err, want) {
			t.Errorf("partition %d: %v, want %v", n, err, want)
		}
	}
	if w.groups[id(0)].leader != "1-a" || w.groups[id(1)].leader != "1-a" {
		t.Errorf("led by %s and %s", w.groups[id(0)].leader, w.groups[id(1)].leader)
	}

	// From a broker that leads none of them: the same, by call.
	w.lead(id(0), 2)
	w.groups[id(5)].match["1-a"] = 0
	got = w.keepers[1].Elect(context.Background(), []ID{id(0), id(5)})
	if err := got[id(0)]; err != nil || w.groups[id(0)].leader != "1-a" {
		t.Errorf("by call: %v, led by %s", err, w.groups[id(0)].leader)
	}
	if err := got[id(5)]; !errors.Is(err, ErrNoPreferred) {
		t.Errorf("by call: %v", err)
	}
	w.fail = errors.New("the disk is full")
	w.lead(id(0), 2)
	if err := w.keepers[1].Elect(context.Background(), []ID{id(0)})[id(0)]; err == nil || err.Error() != "the disk is full" {
		t.Errorf("by call: %v", err)
	}
}

func TestReplicasTell(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	topic := w.topic("t", on(1, 2), on(2))
	a, b := ID{Topic: topic.ID}, ID{Topic: topic.ID, Partition: 1}
	w.groups[a].learners = w.servers(3)
	w.groups[a].match["3-a"] = 4
	for _, broker := range []int32{1, 3} {
		got := w.keepers[broker].Replicas(context.Background(), []ID{a, b, {Partition: 9}})
		want := []Member{{Server: "1-a", Voter: true}, {Server: "2-a", Voter: true}, {Server: "3-a", Behind: 6, BehindMS: -1}}
		if !slices.Equal(got[a], want) || !slices.Equal(got[b], []Member{{Server: "2-a", Voter: true}}) || len(got) != 2 {
			t.Errorf("asked of broker %d: %+v", broker, got)
		}
	}
	w.alive[2] = false
	if got := w.keepers[3].Replicas(context.Background(), []ID{a, b}); got[b] != nil || len(got[a]) != 3 {
		t.Errorf("of a dead leader: %+v", got)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	var ids []ID
	for range 40 {
		ids = append(ids, ID{Topic: w.topic("t"+string(rune('a'+len(ids))), on(1, 2, 3)).ID})
	}
	alone := ID{Topic: w.topic("alone", on(1)).ID}
	preferred := ID{Topic: w.topic("preferred", on(3, 1, 2)).ID}
	w.lead(preferred, 1)
	w.leads = 1
	w.groups[ids[0]].match["2-a"] = 3
	if left := w.keepers[1].Drain(context.Background()); left != 0 {
		t.Errorf("%d left", left)
	}
	count := map[ServerID]int{}
	for _, id := range ids {
		count[w.groups[id].leader]++
	}
	if count["1-a"] != 0 || count["2-a"] < 15 || count["3-a"] < 15 {
		t.Errorf("led by %v", count)
	}
	if w.groups[ids[0]].leader != "3-a" || w.groups[preferred].leader != "3-a" || w.groups[alone].leader != "1-a" || w.leads != -1 {
		t.Errorf("led by %s, %s, %s, the controller by %d", w.groups[ids[0]].leader, w.groups[preferred].leader, w.groups[alone].leader, w.leads)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.keepers[1].Run(context.Background())
	}()
	<-done // a drained Keeper changes nothing more

	w.alive[3] = false
	w.groups[ids[1]].leader = "2-a"
	w.groups[ids[1]].match["1-a"] = 0
	for _, id := range append(ids, preferred) {
		if id != ids[1] {
			w.groups[id].leader = ""
		}
	}
	if left := w.keepers[2].Drain(context.Background()); left != 1 {
		t.Errorf("%d left, though nobody can take one", left)
	}
}

func TestResetIsObeyedOnlyToTheLeader(t *testing.T) {
	w := newWorld(t, brokers("", "", ""))
	id := ID{Topic: w.topic("t", on(1, 2)).ID}
	w.fenced[Replica{"3-a", id}] = "crc"
	call := func(from ServerID, reason string) error {
		_, err := w.keepers[3].HandleReset(context.Background(), from, encode(resetCall{nameOf(id), reason}))
		return err
	}
	if err := call("2-a", "crc"); !errors.Is(err, ErrNoLeader) {
		t.Errorf("from a follower: %v", err)
	}
	if err := call("1-a", "an earlier one"); !errors.Is(err, ErrNotFenced) {
		t.Errorf("of another fence: %v", err)
	}
	if err := call("1-a", "crc"); err != nil || len(w.fenced) != 0 {
		t.Errorf("%v, fenced %v", err, w.fenced)
	}
	if err := call("1-a", "crc"); !errors.Is(err, ErrNotFenced) {
		t.Errorf("again: %v", err)
	}
}
