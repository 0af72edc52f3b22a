package transport

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport/cutproxy"
)

// The detector pings evenly, finds a peer dead when its last answer is too old and not before, and wakes for that.
func TestDetector(t *testing.T) {
	const ms = time.Millisecond
	ps := newPacts(1)
	p := &peer{id: "2-b", pact: ps.of("2-b")}
	d := detector{every: 200 * ms, dead: 1000 * ms, watched: map[raft.ServerID]*watched{}}
	d.set(map[raft.ServerID]*peer{"2-b": p})
	for _, c := range []struct {
		now, heard time.Duration // heard: an answer comes then; 0: none
		ping       bool
		changed    string
		wake       time.Duration
	}{
		{10 * ms, 0, true, "", 200 * ms},
		{200 * ms, 0, true, "", 400 * ms},
		{210 * ms, 205 * ms, false, "alive", 400 * ms},
		{400 * ms, 0, true, "", 600 * ms},
		{650 * ms, 0, true, "", 800 * ms},        // a little late: the next is in time
		{1190 * ms, 0, true, "", 1205 * ms},      // very late: no two at once, and the peer's time is nearly over
		{1204 * ms, 0, false, "", 1205 * ms},     //
		{1205 * ms, 0, false, "dead", 1290 * ms}, //
		{5000 * ms, 4999 * ms, true, "alive", 5100 * ms},
	} {
		if c.heard != 0 {
			p.pact.heard.Store(int64(c.heard))
		}
		pings, changed, wake := d.step(c.now)
		said := ""
		for _, w := range changed {
			said = map[bool]string{true: "alive", false: "dead"}[w.alive]
		}
		if len(pings) == 1 != c.ping || said != c.changed || wake != c.wake {
			t.Errorf("at %v: %d pings, %q, looks again at %v; want %v, %q, %v", c.now, len(pings), said, wake, c.ping, c.changed, c.wake)
		}
	}
	if gone := d.set(nil); len(gone) != 1 || len(d.watched) > 0 {
		t.Errorf("%d are no longer watched, %d still are", len(gone), len(d.watched))
	}
}

// quick are options with which tests need not wait long.
func quick(o *Options) { o.PingEvery, o.DeadAfter = 20*time.Millisecond, 300*time.Millisecond }

// changes notes what OnPeer is told.
type changes struct {
	mu   sync.Mutex
	said []string
}

func (c *changes) note(id raft.ServerID, alive bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf("%s %v", id, alive))
}

func (c *changes) has(n int, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said) >= n && slices.Contains(c.said[n-1:], what)
}

func (c *changes) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said)
}

// A watched peer is alive while it answers, without anybody else wanting a connection; it is dead when the network loses everything, when
// nobody listens any more, and when it says itself that it is not well; and it comes back.
func TestWatch(t *testing.T) {
	b := newBrokers(t)
	var said changes
	var sick atomic.Bool
	tr := b.start("1-a", func(o *Options) {
		quick(o)
		o.OnPeer = said.note
	})
	b.start("2-b", func(o *Options) { o.Healthy = func() bool { return !sick.Load() } })
	wire := b.proxy("2-b")
	if tr.Alive("2-b") || !tr.LastAnswer("2-b").IsZero() || said.count() > 0 {
		t.Error("alive before it was watched")
	}
	tr.Watch([]raft.ServerID{"1-a", "2-b"})
	for _, fault := range []struct {
		name       string
		begin, end func()
	}{
		{"stalled", func() { wire.Set(cutproxy.Stall) }, func() { wire.Set(cutproxy.Open) }},
		{"cut", func() { wire.Set(cutproxy.Cut) }, func() { wire.Set(cutproxy.Open) }},
		{"sick", func() { sick.Store(true) }, func() { sick.Store(false) }},
	} {
		n := said.count()
		if n == 0 {
			n = 1
		}
		eventually(t, "alive before "+fault.name, func() bool { return tr.Alive("2-b") && said.has(n, "2-b true") })
		n = said.count()
		fault.begin()
		eventually(t, "dead by "+fault.name, func() bool { return !tr.Alive("2-b") && said.has(n+1, "2-b false") })
		if since := time.Since(tr.LastAnswer("2-b")); since < tr.o.DeadAfter {
			t.Errorf("dead %v after its last answer", since)
		}
		fault.end()
		eventually(t, "alive after "+fault.name, func() bool { return tr.Alive("2-b") && said.has(n+1, "2-b true") })
	}
	tr.Watch(nil)
	eventually(t, "no longer watched", func() bool { return !tr.Alive("2-b") })
}
