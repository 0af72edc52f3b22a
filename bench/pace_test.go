package bench

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// The lanes together send exactly rate records a second, each at its own time.
func TestIntendedTimes(t *testing.T) {
	const second = int64(time.Second)
	for _, rate := range []int64{1, 3, 7, 999, 1_000_000_000} {
		seen := make(map[int64]int)
		for lane := range int64(3) {
			p := pacer{rate: rate, lane: lane, of: 3, window: window{start: 5}}
			for n := int64(0); n < 100 && p.intended(n) < 5+second; n++ {
				seen[p.intended(n)]++
			}
		}
		if rate <= 300 && int64(len(seen)) != rate {
			t.Errorf("rate %d: %d times in the first second", rate, len(seen))
		}
	}
	p := pacer{rate: 1_500_000, of: 1} // a week: no overflow
	if got := p.intended(1_500_000 * 604_800); got != 604_800*second {
		t.Errorf("after a week: %d", got)
	}
}

// A pacer hands out every record of its time, none before it is due, however long the sender takes.
func TestPacer(t *testing.T) {
	c := newClock()
	p := pacer{clock: c, rate: 50_000, of: 1, window: window{start: c.now(), to: c.now() + int64(100*time.Millisecond)}}
	total := 0
	for {
		first, count, late := p.next(t.Context())
		if count == 0 {
			break
		}
		if first != int64(total) || late < 0 || p.intended(first+int64(count)-1) > c.now() {
			t.Fatalf("records %d to %d, %d ns late: handed out too early or out of turn", first, first+int64(count), late)
		}
		total += count
		if rand.IntN(50) == 0 {
			sleepUntil(t.Context(), c, c.now()+int64(2*time.Millisecond)) // a slow sender
		}
	}
	if want := int((p.window.to - p.window.start) * p.rate / int64(time.Second)); total < want || total > want+1 {
		t.Errorf("%d records, want %d", total, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slow := pacer{clock: c, rate: 1, of: 1, window: window{start: c.now() + int64(time.Hour), to: 1 << 62}}
	if _, count, _ := slow.next(ctx); count != 0 {
		t.Errorf("%d records after the context's end", count)
	}
}

func TestUnpaced(t *testing.T) {
	c := newClock()
	p := pacer{clock: c, of: 1, window: window{start: c.now(), to: 1 << 62}}
	if _, count, _ := p.next(t.Context()); count != paceTurn || p.intended(0) > c.now() {
		t.Errorf("%d records", count)
	}
	p.window.to = 0
	if _, count, _ := p.next(t.Context()); count != 0 {
		t.Errorf("%d records after the end", count)
	}
	late := pacer{clock: c, of: 1}
	if _, count, _ := late.next(t.Context()); count != paceTurn {
		t.Errorf("%d records of a lane that started after the end", count)
	}
}
