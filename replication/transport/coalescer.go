package transport

import (
	"sync"
	"time"
)

// coalescer gathers what can wait a little, over all groups: appends without entries on their way to a peer, or the answers to them. The
// first to come in starts a timer, and when that fires all go out as one frame.
type coalescer struct {
	c     *conn
	delay time.Duration
	timer *time.Timer

	mu      sync.Mutex
	armed   bool
	stopped bool
	heads   []byte
	answers []answer
	due     []*stream // want a look when the timer fires, each once
}

// answersDelay is how much shorter answers wait than what they answer: those of one frame come at about the same time.
const answersDelay = 4

func newCoalescer(c *conn) *coalescer {
	b := &coalescer{c: c, delay: c.t.o.Coalesce}
	if c.link == nil {
		b.delay /= answersDelay
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(b.delay, b.flush)
	b.timer.Stop()
	return b
}

// arm is called with mu held.
func (b *coalescer) arm() {
	if !b.armed && !b.stopped {
		b.armed = true
		b.timer.Reset(b.delay)
	}
}

// beat sends an append without entries, before long. w may be nil.
func (b *coalescer) beat(h head, w waiter) error {
	if w != nil {
		var err error
		if h.seq, err = b.c.register(w); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heads = h.encode(b.heads)
	if len(b.heads) >= maxBeats*headLen {
		b.send()
	}
	b.arm()
	return nil
}

func (b *coalescer) answer(a answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers = append(b.answers, a)
	b.arm()
}

// mark has s looked at when the timer fires next.
func (b *coalescer) mark(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.due = append(b.due, s)
	b.arm()
}

func (b *coalescer) flush() {
	b.mu.Lock()
	b.armed = false
	due := b.due
	b.due = nil
	b.mu.Unlock()
	for _, s := range due {
		s.look(b)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.send()
}

// send is called with mu held.
func (b *coalescer) send() {
	if heads := b.heads; len(heads) > 0 {
		b.c.out.add(func(to []byte) []byte { return append(appendFrameHead(to, kindBeats, len(heads)), heads...) }, nil)
	}
	if len(b.answers) > 0 {
		b.c.out.answers(b.answers...)
	}
	b.heads, b.answers = b.heads[:0], b.answers[:0]
}

func (b *coalescer) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	b.timer.Stop()
	b.due = nil
}
