package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test in time of its own.
func inBubble(t *testing.T, n int, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t, n)) })
}

func all(n int, b int32) []int32 { return slices.Repeat([]int32{b}, n) }

func TestNewsSpread(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		one, two := group(1), group(2)
		pass(time.Second)
		r.open(one, Status{Term: 5}, serverID(2))
		r.within(20*time.Millisecond, "lead told", func() bool { return slices.Equal(r.leaders(one), all(3, 2)) })
		if l, _ := r.brokers[0].c.Leaders.Lookup(one); l.Epoch != 5 || !slices.Equal(l.InSync, []int32{1, 2, 3}) {
			t.Fatalf("%+v", l)
		}
		if _, ok := r.brokers[0].c.Leaders.Lookup(two); ok {
			t.Fatal("a leader of nothing")
		}
		changed := r.brokers[0].c.Leaders.Changed()
		r.brokers[1].set(one, func(g *fakeGroup) { g.inSync = r.ids()[:2] })
		r.within(20*time.Millisecond, "in sync told", func() bool {
			l, _ := r.brokers[0].c.Leaders.Lookup(one)
			return slices.Equal(l.InSync, []int32{1, 2})
		})
		select {
		case <-changed:
		default:
			t.Fatal("nobody was told of a change")
		}
	})
}

// The dead are in sync no more at once, and who comes level, of which nobody tells, is soon.
func TestInSync(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5}, serverID(2))
		pass(time.Second)
		inSync := func(want ...int32) func() bool {
			return func() bool {
				l, _ := r.brokers[0].c.Leaders.Lookup(id)
				return slices.Equal(l.InSync, want)
			}
		}
		r.kill(2, 10*time.Millisecond)
		r.within(20*time.Millisecond, "the dead is not in sync", inSync(1, 2))
		r.isolate(false, serverID(3))
		r.brokers[1].mu.Lock()
		r.brokers[1].groups[id].inSync = r.ids()[:2]
		r.brokers[1].mu.Unlock()
		r.tell(true, serverID(3))
		pass(time.Second)
		r.brokers[1].mu.Lock()
		r.brokers[1].groups[id].inSync = r.ids()
		r.brokers[1].mu.Unlock()
		r.within(lagEvery+20*time.Millisecond, "it is again", inSync(1, 2, 3))
	})
}

// Of two who claim a group the one of the higher term has it; if that is dead nobody has.
func TestHighestTermWins(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5}, serverID(2))
		r.brokers[2].set(id, func(g *fakeGroup) { g.s.State, g.s.Serves, g.s.Term = Leader, true, 6 })
		r.within(20*time.Millisecond, "the higher term", func() bool { return slices.Equal(r.leaders(id), all(3, 3)) })
		for _, b := range r.brokers[:2] {
			b.onPeer(serverID(3), false)
			if n := b.leader(id); n != -1 {
				t.Fatalf("%s has %d for the leader of a group whose leader is dead", b.id, n)
			}
		}
	})
}

// A leader that does not serve yet is none to clients, and one to the elector.
func TestLeaderThatDoesNotServe(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5}, serverID(2))
		r.brokers[1].set(id, func(g *fakeGroup) { g.s.Serves = false })
		r.within(20*time.Millisecond, "told", func() bool { return slices.Equal(r.leaders(id), all(3, -1)) })
		pass(10 * time.Second)
		for _, b := range r.brokers {
			if n := b.group(id).called; n > 0 {
				t.Fatalf("%s was called to an election that nobody needs", b.id)
			}
		}
	})
}

// What was missed is told when a broker is back, and what it had told is believed only while it lives.
func TestIsolatedBrokerIsToldEverything(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		for i := range 10 {
			r.open(group(i), Status{Term: 5}, serverID(2))
		}
		pass(time.Second)
		r.isolate(true, serverID(1))
		r.brokers[1].set(group(3), func(g *fakeGroup) { g.s.Term = 9 })
		pass(30 * time.Millisecond)
		r.tell(false, serverID(1))
		if n := r.brokers[0].leader(group(3)); n != -1 {
			t.Fatalf("a broker that is cut off has %d for the leader", n)
		}
		pass(time.Minute)
		r.isolate(false, serverID(1))
		r.tell(true, serverID(1))
		r.within(tellAtLast, "told everything", func() bool {
			l, ok := r.brokers[0].c.Leaders.Lookup(group(3))
			return ok && l.Epoch == 9
		})
	})
}

// A message that was not taken is sent again, though nobody has seen that broker die.
func TestLostMessageIsSentAgain(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		pass(time.Second)
		r.isolate(true, serverID(1))
		r.open(id, Status{Term: 5}, serverID(2))
		pass(tellTime - time.Millisecond)
		r.isolate(false, serverID(1))
		r.within(tellAgain+50*time.Millisecond, "told again", func() bool { return r.brokers[0].leader(id) == 2 })
	})
}

// A process that was restarted has no leads, and what its last life told is forgotten, also where nobody has seen it dead.
func TestRestartedBrokerLeadsNothing(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5}, serverID(2))
		pass(time.Second)
		for _, b := range r.brokers {
			b.set(id, func(g *fakeGroup) { g.deaf = true })
		}
		r.restart(1)
		r.within(20*time.Millisecond, "nobody leads", func() bool { return slices.Equal(r.leaders(id), all(3, -1)) })
	})
}

func TestFencedReplicasAreTold(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		replica := Replica{serverID(3), id}
		b := r.brokers[2]
		fence := func(why string) {
			b.mu.Lock()
			if b.fenced[id] = why; why == "" {
				delete(b.fenced, id)
			}
			b.mu.Unlock()
			b.c.Touch(id)
		}
		fence("its log is damaged" + strings.Repeat(".", 1000))
		r.within(20*time.Millisecond, "fence told", func() bool {
			return strings.HasPrefix(r.brokers[0].c.Leaders.Fenced()[replica], "its log is damaged") && len(b.c.Leaders.Fenced()) == 1
		})
		fence("")
		r.within(20*time.Millisecond, "fence taken back", func() bool { return len(r.brokers[0].c.Leaders.Fenced()) == 0 })
	})
}

// Only members tell, of themselves; one that leaves the cluster takes with it what it told.
func TestOnlyMembersTell(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5}, serverID(2))
		pass(time.Second)
		one := r.brokers[0].c
		m := message{full: true, boot: 1, seq: 1, reports: []report{{id: id, leads: true, serves: true, term: 99}}}
		for _, from := range []ServerID{"2-other", "9-x", serverID(1)} {
			if _, err := one.Leaders.HandleGossip(t.Context(), from, m.encode()); err == nil {
				t.Errorf("%s was believed", from)
			}
		}
		if l, _ := one.Leaders.Lookup(id); l.Broker != 2 {
			t.Fatalf("%+v", l)
		}
		one.SetMembers([]ServerID{serverID(1), serverID(3)})
		if _, ok := one.Leaders.Lookup(id); ok {
			t.Fatal("who is no member leads")
		}
	})
}

// A message that came late, or twice, changes nothing; after one that was lost everything is sent again.
func TestOrderOfMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t}
		r.brokers = []*broker{{rig: r, id: serverID(1), groups: map[ID]*fakeGroup{}}}
		b := r.brokers[0]
		l := New(Options{Self: b.id, Groups: (*brokerGroups)(b), Peers: (*brokerPeers)(b)}).Leaders
		l.setMembers([]ServerID{serverID(1), serverID(2)})
		id := group(1)
		send := func(full bool, boot, seq, term uint64) string {
			m := message{full: full, boot: boot, seq: seq, reports: []report{{id: id, leads: true, serves: true, term: term}}}
			reply, err := l.HandleGossip(t.Context(), serverID(2), m.encode())
			lead, _ := l.Lookup(id)
			return fmt.Sprint(reply, err, " epoch ", lead.Epoch)
		}
		for i, c := range []struct {
			full            bool
			boot, seq, term uint64
			want            string
		}{
			{false, 7, 1, 10, "[1] <nil> epoch 0"}, // nothing to follow
			{true, 7, 2, 11, "[0] <nil> epoch 11"},
			{false, 7, 3, 12, "[0] <nil> epoch 12"},
			{false, 7, 3, 13, "[0] <nil> epoch 12"}, // twice
			{true, 7, 1, 13, "[0] <nil> epoch 12"},  // late
			{false, 7, 5, 13, "[1] <nil> epoch 12"}, // one was lost
			{true, 7, 6, 14, "[0] <nil> epoch 14"},
			{false, 8, 7, 15, "[1] <nil> epoch 14"}, // another process
			{true, 8, 1, 13, "[0] <nil> epoch 13"},
		} {
			if got := send(c.full, c.boot, c.seq, c.term); got != c.want {
				t.Errorf("message %d: %s, want %s", i, got, c.want)
			}
		}
	})
}

// Brokers that have nothing new to tell are silent but for everything now and then.
func TestQuietGossip(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		for i := range 100 {
			r.open(group(i), Status{Term: 5}, serverID(1+i%3))
		}
		pass(time.Second)
		count := func() (n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, c := range r.gossip {
				n += c
			}
			return n
		}
		before := count()
		pass(time.Minute)
		if n := count() - before; n < 30 || n > 6*7 {
			t.Fatalf("%d messages between 3 brokers in a minute", n)
		}
	})
}
