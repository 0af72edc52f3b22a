package flush

import (
	"errors"
	"testing"
	"time"
)

func TestStall(t *testing.T) {
	told := make(chan error, 9)
	ticks := make(chan time.Time)
	fl := start(Options{FS: &fakeFS{}, OnFailure: func(err error) { told <- err }}, nil, func() {})
	fl.startWatch(ticks, func() {})
	tick := func(n int) {
		for range n {
			ticks <- time.Time{}
		}
	}
	for range 3 * stallTicks { // many operations, none of them long
		w := fl.Begin()
		tick(stallTicks - 1)
		fl.End(w)
	}
	tick(2 * stallTicks)
	slow := &fakeFile{gate: make(chan struct{})}
	synced := make(chan error)
	go func() { synced <- fl.SyncNow(slow) }()
	eventually(t, "the sync begins", func() bool { return slow.syncs.Load() == 1 })
	tick(stallTicks - 1)
	if len(told) > 0 {
		t.Fatalf("told too early: %v", <-told)
	}
	tick(3 * stallTicks)
	if err := <-told; !errors.Is(err, ErrStalled) || len(told) > 0 {
		t.Fatalf("told %v and %d more", err, len(told))
	}
	close(slow.gate)
	if err := errors.Join(<-synced, closeFlusher(t, fl)); err != nil {
		t.Fatal(err)
	}
}
