package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment/batch"
)

func TestAppendCommits(t *testing.T) {
	f := newFixture(t)
	a := f.mustOffer(t, header(-1, -1, -1, 3))
	b := f.mustOffer(t, header(-1, -1, -1, 1))
	if m, err := f.Marks(-1); err != nil || m.HighWatermark != 0 {
		t.Fatalf("marks before the commit: %+v, %v", m, err)
	}
	f.group.commit(2, false)
	wantBase(t, a, 0)
	wantBase(t, b, 3)
	if m, err := f.Marks(1); err != nil || m != (Marks{0, 4, 4, 1}) {
		t.Fatalf("marks %+v, %v", m, err)
	}
	if f.window.count != 0 || f.window.bytes != 0 || len(f.window.flying) != 0 {
		t.Fatalf("window is not empty: %+v", f.window)
	}
}

func TestAppendRepeats(t *testing.T) {
	f := newFixture(t)
	h := header(1, 0, 0, 2)
	first, repeat := f.mustOffer(t, h), f.mustOffer(t, h)
	next := f.mustOffer(t, header(1, 0, 2, 1))
	if n := f.group.proposals(); n != 2 {
		t.Fatalf("%d proposals", n)
	}
	if _, err := f.offer(t.Context(), header(1, 0, 4, 1), AcksAll); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Fatalf("gap: %v", err)
	}
	f.group.commit(2, false)
	wantBase(t, first, 0)
	wantBase(t, repeat, 0)
	wantBase(t, next, 2)
	wantBase(t, f.mustOffer(t, h), 0)
	if n := f.group.proposals(); n != 0 || f.window.count != 0 {
		t.Fatalf("%d proposals, %d in flight", n, f.window.count)
	}
}

func TestRepeatAnswersAppendTime(t *testing.T) {
	f := newFixture(t)
	h := header(1, 0, 0, 2)
	h.Attributes, h.MaxTimestamp = 1<<3, 4711
	first := f.mustOffer(t, h)
	f.group.commit(1, false)
	a, _ := settled(t, first)
	b, _ := settled(t, f.mustOffer(t, h))
	if a != (Appended{0, 4711, 0}) || a != b {
		t.Fatalf("first %+v, repeat %+v", a, b)
	}
}

func TestRepeatFailsWithTheFirst(t *testing.T) {
	f := newFixture(t)
	h := header(1, 0, 0, 2)
	first, repeat := f.mustOffer(t, h), f.mustOffer(t, h)
	f.group.fail(1, fmt.Errorf("write: %w", syscall.ENOSPC))
	for _, pd := range []*Pending{first, repeat} {
		if _, err := settled(t, pd); !errors.Is(err, ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("outcome %v", err)
		}
	}
	again := f.mustOffer(t, h) // it is surely not in the log, so it is new
	f.group.commit(1, false)
	wantBase(t, again, 0)
}

func TestProposalRefusedAtOnce(t *testing.T) {
	f := newFixture(t)
	f.group.refuse = ErrNotLeader
	if _, err := settled(t, f.mustOffer(t, header(1, 0, 0, 1))); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("outcome %v", err)
	}
	f.group.refuse = nil
	pd := f.mustOffer(t, header(1, 0, 0, 1))
	f.group.commit(1, false)
	wantBase(t, pd, 0)
}

func TestUnknownOutcomeEndsTheLeadership(t *testing.T) {
	f := newFixture(t)
	h := header(1, 0, 0, 2)
	lost := f.mustOffer(t, h)
	stored := f.group.under[0]
	stored.failed(ErrUnknownOutcome) // but it is in the log, and commits later
	if _, err := settled(t, lost); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("outcome %v", err)
	}
	if _, err := f.offer(t.Context(), h, AcksAll); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("repeat before the new leadership: %v", err)
	}
	f.group.depose()
	f.group.commit(1, true)
	f.group.lead(2)
	wantBase(t, f.mustOffer(t, h), 0)
	wantNoError(t, stored)
}

// wantNoError: a late second word on a settled append changes nothing, not even the leadership.
func wantNoError(t *testing.T, pr fakeProposal) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("panic: %v", r)
		}
	}()
	pr.failed(ErrUnknownOutcome)
}

func TestOldFailureLeavesTheNewLeadership(t *testing.T) {
	f := newFixture(t)
	f.mustOffer(t, header(1, 0, 0, 1))
	f.group.depose()
	f.group.lead(2)
	pd := f.mustOffer(t, header(1, 0, 0, 1)) // it was truncated, so it is new
	f.group.fail(1, ErrUnknownOutcome)       // of term 1, told late
	f.group.commit(1, false)
	wantBase(t, pd, 0)
}

func TestFailureInTheMiddle(t *testing.T) {
	f := newFixture(t)
	a, b, c := f.mustOffer(t, header(-1, -1, -1, 1)), f.mustOffer(t, header(-1, -1, -1, 1)), f.mustOffer(t, header(-1, -1, -1, 1))
	middle := f.group.under[1]
	f.group.under = append(f.group.under[:1:1], f.group.under[2])
	middle.failed(ErrNotLeader)
	f.group.commit(2, false)
	wantBase(t, a, 0)
	wantBase(t, c, 1)
	if _, err := settled(t, b); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("outcome %v", err)
	}
}

func TestAppendRefused(t *testing.T) {
	f := newFixture(t)
	try := func() error {
		_, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksAll)
		return err
	}
	f.group.depose()
	if err := try(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("follower: %v", err)
	}
	f.group.lead(2)
	why := "a flipped bit"
	f.fenced.Store(&why)
	if err := try(); !errors.Is(err, ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
	f.fenced.Store(nil)
	if err := f.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := try(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	f.group.lead(3) // too late
	if err := try(); !errors.Is(err, ErrClosed) {
		t.Errorf("closed, then leading: %v", err)
	}
}

func TestAcksNoneAnswersAtOnce(t *testing.T) {
	f := newFixture(t)
	pd, err := f.offer(t.Context(), header(1, 0, 0, 1), AcksNone)
	if err != nil {
		t.Fatal(err)
	}
	wantBase(t, pd, -1)
	f.group.commit(1, false)
	wantBase(t, f.mustOffer(t, header(1, 0, 0, 1)), 0)
}

func TestWaitGivesUp(t *testing.T) {
	f := newFixture(t)
	pd := f.mustOffer(t, header(-1, -1, -1, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pd.Wait(ctx); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Fatalf("outcome %v", err)
	}
	f.group.commit(1, false)
	wantBase(t, pd, 0)
	if a, err := pd.Wait(ctx); err != nil || a.Base != 0 {
		t.Fatalf("settled, with an ended context: %+v, %v", a, err)
	}
}

// offerLater appends in a goroutine of its own and returns where the result will be; it waits until the append is queued.
func (f *fixture) offerLater(t *testing.T, ctx context.Context, h batch.Header) <-chan error {
	t.Helper()
	queued := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.window.queue)
	}
	before, result := queued(), make(chan error, 1)
	go func() {
		_, err := f.offer(ctx, h, AcksAll)
		result <- err
	}()
	eventually(t, "the append queues", func() bool { return queued() == before+1 })
	return result
}

func sized(bytes int32) batch.Header {
	h := header(-1, -1, -1, 1)
	h.Length = bytes - batch.LogOverhead
	return h
}

func TestInFlightCount(t *testing.T) {
	f := newFixture(t)
	for range replication.MaxInFlight {
		f.mustOffer(t, sized(100))
	}
	one, two := f.offerLater(t, t.Context(), sized(100)), f.offerLater(t, t.Context(), sized(100))
	f.group.commit(1, false)
	if err := <-one; err != nil { // first come, first served
		t.Fatal(err)
	}
	if n := f.group.proposals(); n != replication.MaxInFlight {
		t.Fatalf("%d in flight", n)
	}
	f.group.commit(1, false)
	if err := <-two; err != nil {
		t.Fatal(err)
	}
}

func TestInFlightBytes(t *testing.T) {
	f := newFixture(t)
	f.mustOffer(t, sized(maxInFlightBytes-100))
	large := f.offerLater(t, t.Context(), sized(maxInFlightBytes+1))
	ctx, cancel := context.WithCancel(t.Context())
	small := f.offerLater(t, ctx, sized(100)) // it would fit, but not past the other
	behind := f.offerLater(t, t.Context(), sized(200))
	cancel()
	if err := <-small; !errors.Is(err, context.Canceled) {
		t.Fatalf("given up: %v", err)
	}
	f.group.commit(1, false)
	if err := <-large; err != nil { // alone
		t.Fatal(err)
	}
	if n := f.group.proposals(); n != 1 {
		t.Fatalf("%d in flight", n)
	}
	f.group.commit(1, false)
	if err := <-behind; err != nil {
		t.Fatal(err)
	}
}

func TestGivingUpLetsTheNextIn(t *testing.T) {
	f := newFixture(t)
	f.mustOffer(t, sized(maxInFlightBytes-100))
	ctx, cancel := context.WithCancel(t.Context())
	large, small := f.offerLater(t, ctx, sized(1000)), f.offerLater(t, t.Context(), sized(100))
	cancel()
	if err := <-large; !errors.Is(err, context.Canceled) {
		t.Fatalf("given up: %v", err)
	}
	if err := <-small; err != nil {
		t.Fatal(err)
	}
}

func TestQueueIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*fixture)
		want error
	}{
		{"deposed", func(f *fixture) { f.group.depose() }, ErrNotLeader},
		{"unknown outcome", func(f *fixture) { f.group.fail(1, ErrUnknownOutcome) }, ErrNotLeader},
		{"closed", func(f *fixture) { _ = f.close(context.Background()) }, ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			f.mustOffer(t, sized(maxInFlightBytes))
			queued := f.offerLater(t, t.Context(), sized(100))
			c.do(f)
			if err := <-queued; !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	f := newFixture(t)
	f.disk.free = 1<<20 - 1
	try := func() error {
		_, err := f.offer(t.Context(), header(-1, -1, -1, 1), AcksAll)
		return err
	}
	if err := try(); !errors.Is(err, ErrDiskFull) {
		t.Fatalf("below the limit: %v", err)
	}
	if _, _, err := f.Read(0, 100, -1); err != nil {
		t.Fatalf("reading: %v", err)
	}
	f.disk.free = 1 << 20
	if err := try(); !errors.Is(err, ErrDiskFull) || f.disk.asked != 1 {
		t.Fatalf("within the second: %v, asked %d times", err, f.disk.asked)
	}
	f.clock.advance(time.Second)
	if err := try(); err != nil {
		t.Fatalf("at the limit: %v", err)
	}
	f.disk.err = fmt.Errorf("cannot say")
	f.clock.advance(time.Second)
	if err := try(); err != nil || f.disk.asked != 3 {
		t.Fatalf("unknown: %v, asked %d times", err, f.disk.asked)
	}
}

// TestAppendSideBySide has many producers append through a small window while the group commits.
func TestAppendSideBySide(t *testing.T) {
	f := newFixture(t)
	stop, committed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(committed)
		for {
			if n := f.group.proposals(); n > 0 {
				f.group.commit(min(n, 3), false)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var wg sync.WaitGroup
	for id := range int64(8) {
		wg.Go(func() {
			last := Offset(-1)
			for seq := range int32(50) {
				pd, err := f.offer(context.Background(), sizedSequence(id, seq), AcksAll)
				if err != nil {
					t.Errorf("producer %d, sequence %d: %v", id, seq, err)
					return
				}
				if a, err := pd.Wait(context.Background()); err != nil || a.Base <= last {
					t.Errorf("producer %d, sequence %d: offset %d after %d, %v", id, seq, a.Base, last, err)
				} else {
					last = a.Base
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	<-committed
	if f.applied.end != 400 {
		t.Fatalf("end %d", f.applied.end)
	}
}

func sizedSequence(id int64, seq int32) batch.Header {
	h := header(id, 0, seq, 1)
	h.Length = 2 << 20 // four fit
	return h
}

// TestDiskShortageIsLoggedTwice logs when a shortage begins and when it ends, however often the disk is looked at.
func TestDiskShortageIsLoggedTwice(t *testing.T) {
	var out bytes.Buffer
	disk := &freeFS{free: 1 << 20}
	g := &diskGuard{fs: disk, minFree: 1 << 20, logger: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Unix(1, 0)
	for _, free := range []uint64{1 << 20, 1, 2, 3, 1 << 20, 1 << 21} {
		disk.free = free
		now = now.Add(diskCheckEvery)
		if err := g.check(now); errors.Is(err, ErrDiskFull) != (free < 1<<20) {
			t.Errorf("%d bytes free: %v", free, err)
		}
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "free_bytes=1 ") || !strings.Contains(lines[1], "room again") {
		t.Errorf("logged %q", lines)
	}
}
