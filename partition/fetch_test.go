package partition

import (
	"errors"
	"testing"

	"github.com/quirelog/quire/segment"
)

func (f *fixture) write(t *testing.T, n int) {
	t.Helper()
	for range n {
		f.mustOffer(t, header(-1, -1, -1, 1))
	}
	f.group.commit(n, false)
}

func TestLeaderEpochIsChecked(t *testing.T) {
	f := newFixture(t)
	f.group.lead(5)
	f.write(t, 1)
	for _, c := range []struct {
		name  string
		epoch CurrentEpoch
		role  int64
		want  error
	}{
		{"leader, not said", -1, 5, nil},
		{"leader, current", 5, 5, nil},
		{"leader, older", 4, 5, ErrFencedLeaderEpoch},
		{"leader, newer", 6, 5, ErrUnknownLeaderEpoch},
		{"follower, not said", -1, roleFollower, ErrNotLeader},
		{"follower, current", 5, roleFollower, ErrNotLeader},
		{"follower, older", 4, roleFollower, ErrFencedLeaderEpoch},
		{"follower, newer", 6, roleFollower, ErrUnknownLeaderEpoch},
		{"damaged", -1, roleDamaged, ErrDamaged},
		{"closed", 5, roleClosed, ErrClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.role.Store(c.role)
			_, errMarks := f.Marks(c.epoch)
			_, _, errRead := f.Read(0, 1000, c.epoch)
			if !errors.Is(errMarks, c.want) || !errors.Is(errRead, c.want) || (errRead == nil) != (c.want == nil) {
				t.Fatalf("marks: %v, read: %v; want %v", errMarks, errRead, c.want)
			}
		})
	}
}

func TestReadBelowTheHighWatermark(t *testing.T) {
	f := newFixture(t)
	f.write(t, 3)
	f.group.log.start = 1
	h := header(-1, -1, -1, 1)
	h.BaseOffset = 3
	f.group.log.stored = append(f.group.log.stored, h) // stored, not committed
	size := header(-1, -1, -1, 1).Length + 12
	for _, c := range []struct {
		from Offset
		len  int32
		err  error
	}{{0, 0, ErrOffsetOutOfRange}, {1, 2 * size, nil}, {2, size, nil}, {3, 0, nil}, {4, 0, nil}, {5, 0, ErrOffsetOutOfRange}} {
		chunk, m, err := f.Read(c.from, 1<<20, -1)
		if !errors.Is(err, c.err) || chunk.Len != int(c.len) || m != (Marks{1, 3, 3, 1}) {
			t.Errorf("from %d: %d bytes, %+v, %v; want %d bytes, %v", c.from, chunk.Len, m, err, c.len, c.err)
		}
	}
	for from, want := range map[Offset]int64{1: 2 * int64(size), 3: 0, 9: 0} {
		if got := f.Available(from); got != want {
			t.Errorf("%d bytes from %d, want %d", got, from, want)
		}
	}
}

func TestWaiters(t *testing.T) {
	f := newFixture(t)
	w := NewWaiter()
	woken := func() bool {
		select {
		case <-w.C():
			return true
		default:
			return false
		}
	}
	f.write(t, 1)
	f.Watch(w)
	f.Watch(w)
	if woken() {
		t.Fatal("woken by what was there before")
	}
	f.mustOffer(t, header(-1, -1, -1, 1))
	if woken() {
		t.Fatal("woken by what is not committed")
	}
	f.group.commit(1, false)
	f.write(t, 1)
	if !woken() || woken() {
		t.Fatal("two commits are not one token")
	}
	for _, c := range []struct {
		name string
		do   func()
	}{{"deposed", f.group.depose}, {"leading", func() { f.group.lead(2) }}, {"closed", func() { _ = f.close(t.Context()) }}} {
		if c.do(); !woken() {
			t.Fatalf("%s: not woken", c.name)
		}
	}
	f.Unwatch(w)
	f.Unwatch(w)
	if f.watchers.wake(); woken() || f.watchers.n.Load() != 0 {
		t.Fatal("woken after Unwatch")
	}
}

func TestEpochEnd(t *testing.T) {
	epochs := []segment.EpochStart{{Epoch: 2, Start: 10}, {Epoch: 3, Start: 20}, {Epoch: 7, Start: 30}}
	for _, c := range []struct {
		ask, epoch int32
		end        Offset
	}{{-1, -1, -1}, {0, 0, 10}, {1, 1, 10}, {2, 2, 20}, {3, 3, 30}, {5, 3, 30}, {7, 7, 44}, {8, -1, -1}} {
		if epoch, end := epochEnd(epochs, c.ask, 44); epoch != c.epoch || end != c.end {
			t.Errorf("asked %d: (%d, %d), want (%d, %d)", c.ask, epoch, end, c.epoch, c.end)
		}
	}
	if epoch, end := epochEnd(nil, 0, 0); epoch != -1 || end != -1 {
		t.Errorf("empty log: (%d, %d)", epoch, end)
	}
}

func TestEpochsOfALeader(t *testing.T) {
	f := newFixture(t)
	want := func(ask, epoch int32, end Offset) {
		t.Helper()
		if e, o := f.EpochEnd(ask); e != epoch || o != end {
			t.Fatalf("asked %d: (%d, %d), want (%d, %d)", ask, e, o, epoch, end)
		}
	}
	want(1, 1, 0) // current, without a record
	f.write(t, 2)
	f.group.lead(4)
	want(4, 4, 2)
	want(1, 1, 2)
	want(3, 1, 2)
	want(5, -1, -1)
	f.write(t, 1)
	want(4, 4, 3)
	want(1, 1, 2)
	f.group.depose()
	want(4, 4, 3)
	f.group.log.start = 1
	for o, epoch := range map[Offset]int32{0: -1, 1: 1, 2: 4, 3: -1} {
		if got := f.EpochAt(o); got != epoch {
			t.Errorf("epoch %d at %d, want %d", got, o, epoch)
		}
	}
}
