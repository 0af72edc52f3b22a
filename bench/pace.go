package bench

import (
	"context"
	"time"
)

// clock counts ns since it was made, by the monotonic clock, and knows what time it was then.
type clock struct{ base time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() int64 { return int64(time.Since(c.base)) }

// epoch is the clock's zero in ns since the epoch.
func (c clock) epoch() int64 { return c.base.UnixNano() }

// window is when a load starts, from when on it is measured, and when it ends, by the run's clock.
type window struct{ start, from, to int64 }

func (c clock) window(l Load) window {
	start := c.now()
	from := start + int64(l.WarmUp)
	return window{start, from, from + int64(l.Duration)}
}

const (
	// paceTurn is the largest number of records sent between two looks at the clock.
	paceTurn = 64
	// paceGrain is the shortest sleep: what falls due meanwhile is sent up to so late, and a fast pace costs 10,000 wake-ups a second.
	paceGrain = 100 * time.Microsecond
	// paceFine is how long before the time the sleep becomes one that cannot be interrupted, and is exact.
	paceFine = 5 * time.Millisecond
)

// pacer says when the records of one of several producers are to be sent. The pace never depends on how the sending goes (open loop):
// who falls behind is told of more and more records that are due.
type pacer struct {
	clock      clock
	window     window
	rate       int64 // records a second of all lanes; 0: all is always due
	lane, of   int64
	n          int64 // records handed out
	unpacedNow int64
}

// intended is when the n-th record of the lane is to be sent.
func (p *pacer) intended(n int64) int64 {
	if p.rate == 0 {
		return p.unpacedNow
	}
	k := n*p.of + p.lane
	return p.window.start + k/p.rate*int64(time.Second) + k%p.rate*int64(time.Second)/p.rate
}

// next waits until records are due. They are those from first on, count of them, and late says how late the first one is; count is 0
// when the load is over.
func (p *pacer) next(ctx context.Context) (first int64, count int, late int64) {
	first = p.n
	for ctx.Err() == nil {
		now := p.clock.now()
		if p.rate == 0 {
			p.unpacedNow, count = now, paceTurn
			if now >= p.window.to && first > 0 { // one turn at least: a topic that is filled holds something, however slow the machine
				count = 0
			}
			break
		}
		t := p.intended(first)
		if t >= p.window.to {
			break
		}
		if now < t {
			sleepUntil(ctx, p.clock, max(t, now+int64(paceGrain)))
			continue
		}
		for late = now - t; count < paceTurn && t <= now && t < p.window.to; t = p.intended(first + int64(count)) {
			count++
		}
		break
	}
	p.n += int64(count)
	return first, count, late
}

func sleepUntil(ctx context.Context, c clock, t int64) {
	if coarse := time.Duration(t-c.now()) - paceFine; coarse > 0 {
		timer := time.NewTimer(coarse)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
	}
	if d := time.Duration(t - c.now()); d > 0 {
		sleep(d)
	}
}
