package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peer is another broker, as one to send to.
type peer struct {
	id    raft.ServerID
	links [purposes]link // by purpose, from control on
}

func (p *peer) link(to purpose) *link { return &p.links[to-control] }

// A broker that cannot be reached is dialled again after this, twice as long each time.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = time.Second
)

// link is the connection to a peer for a purpose, as long as somebody wants it. While it is wanted and there is none, one goroutine dials.
type link struct {
	t       *Transport
	to      raft.ServerID
	purpose purpose

	mu       sync.Mutex
	c        *conn         // nil: there is none, or it is broken
	changed  chan struct{} // closed when there is another
	dialling bool
	waiting  int
	failures int // in a row
	err      error
}

// current is the connection if there is one.
func (l *link) current() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c
}

// get waits for the connection, until done or timeout.
func (l *link) get(done <-chan struct{}, timeout time.Duration) (*conn, error) {
	if c := l.current(); c != nil {
		return c, nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		c, changed := l.want()
		if c != nil {
			return c, nil
		}
		var err error
		select {
		case <-changed:
		case <-done:
			err = ErrClosed
		case <-l.t.ctx.Done():
			err = ErrClosed
		case <-timer.C:
			err = fmt.Errorf("no connection to %s within %v", l.to, timeout)
		}
		l.mu.Lock()
		l.waiting--
		if err != nil && l.err != nil {
			err = fmt.Errorf("%w: %w", err, l.err)
		}
		l.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// want returns the connection, or sees to it that somebody dials, and counts the caller as waiting.
func (l *link) want() (*conn, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c != nil {
		return l.c, nil
	}
	l.waiting++
	if !l.dialling && l.t.start(l.dial) {
		l.dialling = true
	}
	return nil, l.changed
}

// dial dials until it is connected or nobody waits. Then it serves the connection.
func (l *link) dial() {
	for l.pause() {
		c, err := l.t.connect(l)
		if !l.dialled(c, err) {
			continue
		}
		if c == nil {
			return
		}
		if err := c.run(); l.t.ctx.Err() == nil {
			l.t.o.Logger.Warn("lost the connection to a broker", "broker", l.to, "err", err)
		}
		return
	}
}

// pause waits before the next attempt; false: the transport has been closed.
func (l *link) pause() bool {
	l.mu.Lock()
	failures := l.failures
	l.mu.Unlock()
	if failures == 0 {
		return l.t.ctx.Err() == nil
	}
	d := min(firstBackoff<<min(failures-1, 10), lastBackoff)
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.t.ctx.Done():
		return false
	}
}

// dialled notes how an attempt ended, and says whether it was the last.
func (l *link) dialled(c *conn, err error) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	if err != nil {
		l.failures++
		if l.failures == 1 {
			l.t.o.Logger.Warn("cannot connect to a broker, trying again", "broker", l.to, "err", err)
		}
		l.dialling = l.waiting > 0
		return !l.dialling
	}
	l.failures, l.dialling = 0, false
	select {
	case <-c.broken: // already
	default:
		l.c = c // if it breaks from now on, lost comes after this
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

// lost forgets a broken connection.
func (l *link) lost(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c == c {
		l.c = nil
	}
}

// connect dials, and does the handshake.
func (t *Transport) connect(l *link) (*conn, error) {
	addr, err := t.o.Resolve(l.to)
	if err != nil {
		return nil, fmt.Errorf("address of %s: %w", l.to, err)
	}
	d := net.Dialer{Timeout: t.o.greeting}
	nc, err := d.DialContext(t.ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(t.ctx, func() { _ = nc.Close() })
	defer stop()
	greeted, err := t.greet(t.ctx, nc, l.to, l.purpose)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake with %s at %s: %w", l.to, addr, err), nc.Close())
	}
	return newConn(t, greeted, l.to, l.purpose, l), nil
}
