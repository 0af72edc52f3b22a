package broker

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// budget bounds the memory that requests hold over all connections, in bytes. Whoever does not fit waits in line, so a large
// request is not starved by small ones.
//
// A frame that is still arriving waits for a stranger, so what it may hold meanwhile is apart: proving has the first part of
// every frame that does not fit into a read buffer, and large frames take turns. The order is proving, large, whole; who
// holds a later one never waits for an earlier one, so waiters cannot block each other.
type budget struct {
	whole   *semaphore.Weighted
	proving *semaphore.Weighted
	large   *semaphore.Weighted // half of whole, held by frames above eagerFrameBytes until they have arrived
	max     int64               // of whole
	used    atomic.Int64        // of whole and proving
	waiters atomic.Int32
}

// provingShare is how much proving has beside whole, as a divisor of it.
const provingShare = 4

func newBudget(maxBytes int64) *budget {
	return &budget{whole: semaphore.NewWeighted(maxBytes), proving: semaphore.NewWeighted(maxBytes / provingShare),
		large: semaphore.NewWeighted(maxBytes / 2), max: maxBytes}
}

// acquire takes n bytes, or all there is when n is more, and returns what it took.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.max)
	if err := b.wait(ctx, b.whole, n); err != nil {
		return 0, err
	}
	b.used.Add(n)
	return n, nil
}

// tryAcquire takes n bytes at once if half of all stays free.
func (b *budget) tryAcquire(n int64) bool {
	if b.used.Load()+n > b.max/2 || !b.whole.TryAcquire(n) {
		return false
	}
	b.used.Add(n)
	return true
}

func (b *budget) release(n int64) {
	if n > 0 {
		b.used.Add(-n)
		b.whole.Release(n)
	}
}

// prove takes n bytes for the first part of a frame.
func (b *budget) prove(ctx context.Context, n int) (done func(), err error) {
	took := min(int64(n), b.max/provingShare)
	if err := b.wait(ctx, b.proving, took); err != nil {
		return nil, err
	}
	b.used.Add(took)
	return func() {
		b.used.Add(-took)
		b.proving.Release(took)
	}, nil
}

// turn waits for the turn of a frame of n bytes, if it is a large one.
func (b *budget) turn(ctx context.Context, n int) (done func(), err error) {
	if n <= eagerFrameBytes {
		return func() {}, nil
	}
	took := min(int64(n), b.max/2)
	if err := b.wait(ctx, b.large, took); err != nil {
		return nil, err
	}
	return func() { b.large.Release(took) }, nil
}

func (b *budget) wait(ctx context.Context, s *semaphore.Weighted, n int64) error {
	if s.TryAcquire(n) {
		return nil
	}
	b.waiters.Add(1)
	defer b.waiters.Add(-1)
	return s.Acquire(ctx, n)
}

// crowded says whether somebody waits.
func (b *budget) crowded() bool { return b.waiters.Load() > 0 }
