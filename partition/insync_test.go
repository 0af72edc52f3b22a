package partition

import (
	"errors"
	"testing"

	"github.com/quirelog/quire/segment"
)

// stored tells the n oldest proposals that the leader has stored them, from offset base on.
func (g *fakeGroup) stored(n int, base Offset) {
	g.mu.Lock()
	under := g.under[:n]
	g.mu.Unlock()
	for _, pr := range under {
		g.mu.Lock()
		h := g.headers[&pr.data[0]]
		g.mu.Unlock()
		h.BaseOffset = base
		base = h.Next()
		if pr.stored != nil {
			pr.stored(h)
		}
	}
}

func (g *fakeGroup) confirm(upTo segment.Index) {
	g.mu.Lock()
	g.confirmed = upTo
	g.mu.Unlock()
	g.p.confirm()
}

// Point 8: acks=1 answers when the leader has stored the batch, acks=all when it is committed. What is answered early takes room until
// its outcome is known, and a failure then changes nothing of the answer.
func TestAcksLeaderAnswersWhenStored(t *testing.T) {
	f := newFixture(t)
	one, err := f.offer(t.Context(), header(-1, -1, -1, 2), AcksLeader)
	if err != nil {
		t.Fatal(err)
	}
	all := f.mustOffer(t, header(-1, -1, -1, 3))
	two, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksLeader)
	if err != nil {
		t.Fatal(err)
	}
	if one.Settled() {
		t.Fatal("answered before it is stored")
	}
	f.group.stored(3, 0)
	wantBase(t, one, 0)
	wantBase(t, two, 5)
	if all.Settled() {
		t.Fatal("acks=all is answered before the commit")
	}
	if m, _ := f.Marks(-1); m.HighWatermark != 0 || f.window.count != 3 {
		t.Fatalf("high watermark %d, %d batches in flight; nothing is committed", m.HighWatermark, f.window.count)
	}
	f.group.commit(2, false)
	wantBase(t, all, 2)
	f.group.fail(1, ErrUnknownOutcome)
	wantBase(t, two, 5)
	if f.window.count != 0 {
		t.Fatalf("%d batches hold room", f.window.count)
	}
	if _, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksAll); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("after an unknown outcome: %v", err)
	}
}

// Point 14: with min.insync.replicas above the majority an append with acks=all waits for more than the commit; its records can be read
// meanwhile. One with acks=1 does not wait.
func TestMinInsyncAboveTheMajority(t *testing.T) {
	f := newFixture(t)
	f.Reconfigure(Config{MinInsync: 3})
	f.group.voters = 3
	f.group.inSync.Store(3)
	var waiting []*Pending
	for range 3 {
		waiting = append(waiting, f.mustOffer(t, header(-1, -1, -1, 1)))
	}
	one, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksLeader)
	if err != nil {
		t.Fatal(err)
	}
	f.group.commit(4, false)
	wantBase(t, one, 3)
	if m, _ := f.Marks(-1); m.HighWatermark != 4 || waiting[0].Settled() || f.window.count != 0 {
		t.Fatalf("high watermark %d, answered is %v, %d in flight", m.HighWatermark, waiting[0].Settled(), f.window.count)
	}
	f.group.confirm(2)
	wantBase(t, waiting[0], 0)
	wantBase(t, waiting[1], 1)
	if waiting[2].Settled() {
		t.Fatal("answered before the third has it")
	}

	// The third dies: what comes is refused before it is written, and what waits is told.
	f.group.inSync.Store(2)
	if _, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksAll); !errors.Is(err, ErrTooFewReplicas) {
		t.Fatalf("with two of three: %v", err)
	}
	if _, err := settled(t, waiting[2]); !errors.Is(err, ErrTooFewAfterAppend) {
		t.Fatalf("what waited: %v", err)
	}
	if n := f.group.proposals(); n != 0 {
		t.Fatalf("%d batches were proposed", n)
	}
	if _, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksLeader); err != nil {
		t.Fatalf("acks=1 with two of three: %v", err)
	}

	// Up to the majority the commit says it, but too few in sync are refused.
	f.Reconfigure(Config{MinInsync: 2})
	pd := f.mustOffer(t, header(-1, -1, -1, 1))
	f.group.commit(2, false)
	wantBase(t, pd, 5)
	f.group.inSync.Store(1)
	if _, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksAll); !errors.Is(err, ErrTooFewReplicas) {
		t.Fatalf("with one of three: %v", err)
	}
}

// What waits for replicas in sync when the leadership ends is committed, but nobody can tell any more that enough have it.
func TestWaitingForReplicasEndsWithTheLeadership(t *testing.T) {
	for name, end := range map[string]func(*fixture){
		"deposed": func(f *fixture) { f.group.depose() },
		"closed":  func(f *fixture) { _ = f.close(t.Context()) },
	} {
		f := newFixture(t)
		f.Reconfigure(Config{MinInsync: 3})
		f.group.voters = 3
		f.group.inSync.Store(3)
		pd := f.mustOffer(t, header(7, 0, 0, 1))
		f.group.commit(1, false)
		end(f)
		if _, err := settled(t, pd); !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
