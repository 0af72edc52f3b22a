package flush

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrStalled: a write or sync did not come back. The disk is as good as dead.
var ErrStalled = errors.New("disk has stalled")

const (
	stallTicks = 10 // an operation that outlives so many ticks has stalled
	stallTick  = time.Second
)

// stalls notices operations that do not come back, without a clock or an allocation for each: they are counted by the tick in
// which they began. Ticks that were missed, because the machine slept, count as one.
type stalls struct {
	now   atomic.Int32
	under [stallTicks + 1]atomic.Int64 // operations under way, by the tick they began in
}

// Watched is an operation under way.
type Watched int32

// Begin says that a write begins that may hang; End that it is over. In mode Fsync, OnFailure is told of one that takes longer
// than 10 s.
func (fl *Flusher) Begin() Watched { return fl.stalls.begin() }

// End ends what Begin began.
func (fl *Flusher) End(w Watched) { fl.stalls.end(w) }

func (s *stalls) begin() Watched {
	w := s.now.Load()
	s.under[w].Add(1)
	return Watched(w)
}

func (s *stalls) end(w Watched) { s.under[w].Add(-1) }

// tick moves on, and reports whether an operation is under way since stallTicks ticks.
func (s *stalls) tick() bool {
	next := (s.now.Load() + 1) % int32(len(s.under))
	stalled := s.under[next].Load() > 0
	s.now.Store(next)
	return stalled
}

// startWatch starts watching for stalls, at ticks of stallTick.
func (fl *Flusher) startWatch(ticks <-chan time.Time, stop func()) {
	fl.watched = make(chan struct{})
	go fl.watch(ticks, stop)
}

// watch tells OnFailure of a stall, until the flusher's goroutine has ended. It runs in mode Fsync only: elsewhere any amount may
// be dirty when a sync begins, and a slow one says little.
func (fl *Flusher) watch(ticks <-chan time.Time, stop func()) {
	defer close(fl.watched)
	defer stop()
	for {
		select {
		case <-fl.done:
			return
		case <-ticks:
			if fl.stalls.tick() {
				fl.tell(fmt.Errorf("%w: a write or sync is not done after %s", ErrStalled, stallTicks*stallTick))
			}
		}
	}
}
