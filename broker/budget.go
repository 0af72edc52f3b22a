package broker

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// budget bounds the memory that requests hold over all connections, in bytes. Whoever does not fit waits in line, so a large
// request is not starved by small ones. A request takes its share once, before its memory is allocated, and never asks for
// more while it holds some: so waiters cannot block each other.
type budget struct {
	sem  *semaphore.Weighted
	max  int64
	used atomic.Int64 // for metrics
}

func newBudget(maxBytes int64) *budget {
	return &budget{sem: semaphore.NewWeighted(maxBytes), max: maxBytes}
}

// acquire takes n bytes, or all there is when n is more, and returns what it took.
func (b *budget) acquire(ctx context.Context, n int64) (int64, error) {
	n = min(n, b.max)
	if err := b.sem.Acquire(ctx, n); err != nil {
		return 0, err
	}
	b.used.Add(n)
	return n, nil
}

func (b *budget) release(n int64) {
	if n > 0 {
		b.used.Add(-n)
		b.sem.Release(n)
	}
}
