package replication

import (
	"testing"
	"time"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// The log grows by 10 entries a second, as a busy one does: a follower that is 25 entries behind was level 2 to 3 s ago.
func TestLag(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	var l lag
	if at := l.level(100); !at.IsZero() {
		t.Fatalf("level at %v before anything is known", at)
	}
	for i := range 1000 { // an append every 100 ms
		l.appending(segment.Index(i), begin.Add(time.Duration(i)*100*time.Millisecond))
	}
	now := begin.Add(100 * time.Second)
	for _, c := range []struct {
		match segment.Index
		lag   time.Duration // rounded up to a whole step
	}{{1000, time.Second}, {990, time.Second}, {989, 2 * time.Second}, {975, 3 * time.Second}, {600, 40 * time.Second}} {
		if got := now.Sub(l.level(c.match)); got != c.lag {
			t.Errorf("entry %d was the last %v ago, want %v", c.match, got, c.lag)
		}
	}
	if at := l.level(599); !at.IsZero() {
		t.Errorf("level at %v, longer ago than is kept", at)
	}
	if len(l.times) != lagSteps {
		t.Errorf("%d notes are kept, want %d", len(l.times), lagSteps)
	}
	// After a quiet time the first append tells at which moment everything was still there.
	later := now.Add(time.Hour)
	l.appending(1000, later)
	if at := l.level(1000); at != later {
		t.Errorf("level at %v, want %v", at, later)
	}
	l.forget()
	if at := l.level(1000); !at.IsZero() {
		t.Errorf("level at %v in a new leadership", at)
	}
}

// Point 14: who has died is in sync for 30 s after its last word at most, also where nothing was appended since, and appends tell no
// newer time of it.
func TestInSync(t *testing.T) {
	c := newCluster(t).start()
	c.agree(c.produce(3))
	lead := c.leader()
	in := func(now time.Time) int { return len(lead.group.InSync(now)) }
	eventually(t, "all in sync", func() bool { return in(time.Now()) == 3 })
	away := c.others(lead)[0]
	away.stop()
	last := time.Now()
	c.produce(3)
	if n := in(last); n != 3 {
		t.Fatalf("%d in sync when one has just died", n)
	}
	eventually(t, "fresh word of the other", func() bool { _, at := lead.group.Match(c.others(lead)[1].id); return at.After(last) })
	if n := in(last.Add(inSyncTime)); n != 2 {
		t.Fatalf("%d in sync 30 s later, want 2", n)
	}
	index, _ := lead.group.Match(away.id)
	if end := lead.group.Status().LastIndex; index == 0 || index >= end {
		t.Fatalf("the dead one is known to have entry %d of %d", index, end)
	}
	lead.node.options.Alive = func(id ServerID) bool { return id != away.id }
	if n := in(last); n != 2 {
		t.Fatalf("%d in sync when one is known to be dead", n)
	}
	for _, s := range c.others(lead) {
		if s != away && len(s.group.InSync(time.Now())) > 0 {
			t.Fatal("a follower knows who is in sync")
		}
	}
}

// Point 8: a leader tells what it has stored, with its offset, without waiting for anybody; and which entries so many voters have.
func TestStoredAndConfirmed(t *testing.T) {
	c := newCluster(t).start()
	c.agree(c.produce(2))
	lead := c.leader()
	before := lead.group.Status().LastIndex
	eventually(t, "all have all", func() bool { return lead.group.Confirmed(3) == before })
	for _, s := range c.others(lead) {
		c.net.isolate(true, s.id)
	}
	stored := make(chan segment.Offset, 10)
	failed := make(chan error, 10)
	for _, b := range c.batches(5) {
		lead.group.Propose(b, func(h batch.Header) { stored <- h.BaseOffset }, func(err error) { failed <- err })
	}
	for i := range 5 {
		if at := <-stored; at != segment.Offset(4+2*i) {
			t.Fatalf("batch %d is stored at offset %d", i, at)
		}
	}
	for voters, want := range map[int]segment.Index{0: 0, 1: before + 5, 2: before, 3: before, 4: 0} {
		if i := lead.group.Confirmed(voters); i != want && lead.machine.leading() {
			t.Errorf("%d voters have entry %d, want %d", voters, i, want)
		}
	}
	for range 5 {
		if err := <-failed; err != ErrUnknownOutcome {
			t.Fatalf("without a majority: %v", err)
		}
	}
	if len(stored) > 0 {
		t.Fatal("told twice")
	}
}
