package placement

import "time"

// Leaderships go back to the preferred replicas gently: each only when it could have gone for quietTime without a break, one every
// balanceEvery from a broker, and a partition that did not take to it is left alone for balanceRetry.
const (
	quietTime    = 15 * time.Second
	balanceEvery = 250 * time.Millisecond
	balanceBurst = 2 // of those that came due since the last look
	balanceRetry = time.Minute
)

// balancer says which leaderships to hand over. It has no clock of its own.
type balancer struct {
	since map[ID]time.Time // when a partition began to be one that another should lead; in the future: left alone before
	last  time.Time        // the last hand-over
	quiet time.Duration
}

// handOver is a leadership and who should have it.
type handOver struct {
	id ID
	to ServerID
}

// due takes all that could be handed over now, and returns those whose turn it is.
func (b *balancer) due(now time.Time, could []handOver) []handOver {
	since := make(map[ID]time.Time, len(could))
	var ripe []handOver
	for _, h := range could {
		at, ok := b.since[h.id]
		if !ok {
			at = now
		}
		since[h.id] = at
		if now.Sub(at) >= b.quiet {
			ripe = append(ripe, h)
		}
	}
	b.since = since
	n := min(int(now.Sub(b.last)/balanceEvery), balanceBurst, len(ripe))
	if n <= 0 {
		return nil
	}
	b.last = now
	for _, h := range ripe[:n] { // where it fails, the next try comes late; where it does not, this server leads no longer
		since[h.id] = now.Add(balanceRetry)
	}
	return ripe[:n]
}

// waits says whether there is anything to come back for soon.
func (b *balancer) waits() bool { return len(b.since) > 0 }
