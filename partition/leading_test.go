package partition

import (
	"errors"
	"testing"

	"github.com/quirelog/quire/segment"
)

// Who watches leadership hears of every change of it, and of nothing else.
func TestWatchLeading(t *testing.T) {
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
	f.WatchLeading(w)
	f.write(t, 3)
	if woken() {
		t.Fatal("woken by records")
	}
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"deposed", f.group.depose},
		{"leading", func() { f.group.lead(2) }},
		{"unknown outcome", func() { f.mustOffer(t, header(-1, -1, -1, 1)); f.group.fail(1, ErrUnknownOutcome) }},
		{"leading again", func() { f.group.lead(2) }},
		{"failed", func() { f.mustOffer(t, header(-1, -1, -1, 1)); f.group.fail(1, segment.ErrFailed) }},
		{"closed", func() { _ = f.close(t.Context()) }},
	} {
		if c.do(); !woken() {
			t.Fatalf("%s: not woken", c.name)
		}
	}
	f.UnwatchLeading(w)
	if f.wakeAll(); woken() {
		t.Fatal("woken after UnwatchLeading")
	}
}

// An append that relies on what was read in one epoch is not made in another.
func TestAppendInAnEpoch(t *testing.T) {
	f := newFixture(t)
	f.group.lead(5)
	h := header(-1, -1, -1, 1)
	for _, c := range []struct {
		epoch CurrentEpoch
		want  error
	}{{5, nil}, {-1, nil}, {4, ErrFencedLeaderEpoch}, {6, ErrFencedLeaderEpoch}} {
		data := make([]byte, h.Size())
		f.group.headers[&data[0]] = h
		if _, err := f.AppendIn(t.Context(), data, h, AcksAll, c.epoch); !errors.Is(err, c.want) {
			t.Errorf("epoch %d: %v, want %v", c.epoch, err, c.want)
		}
	}
	if n := f.group.proposals(); n != 2 {
		t.Errorf("%d batches were proposed, want 2", n)
	}
	f.group.commit(2, false)
	if f.window.count != 0 {
		t.Errorf("%d batches hold room in the window", f.window.count)
	}
}
