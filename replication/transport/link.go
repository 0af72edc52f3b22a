package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// peer is another broker, as one to send to.
type peer struct {
	id    raft.ServerID
	pact  *pact
	links [purposes]link                // by purpose, from control on
	turns [lastMethod + 1]chan struct{} // a place for each call under way, by method
}

func (p *peer) link(to purpose) *link { return &p.links[to-control] }

// A broker that cannot be reached is dialled again after this, twice as long each time.
const (
	firstBackoff = 20 * time.Millisecond
	lastBackoff  = time.Second
	keptBackoff  = 250 * time.Millisecond // the longest to a broker that is watched
	keptTime     = 2 * time.Second        // for an attempt then
)

// link is the connection to a peer for a purpose, as long as somebody wants it. While it is wanted and there is none, one goroutine dials.
type link struct {
	t       *Transport
	to      raft.ServerID
	purpose purpose

	mu       sync.Mutex
	c        *conn         // nil: there is none, or it is broken
	changed  chan struct{} // closed when there is another, or an attempt has failed
	dialling bool
	waiting  int
	kept     bool // even where nobody waits
	failures int  // in a row
	failed   int  // attempts in all
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
		c, changed, _ := l.want()
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
		if err = l.waited(err); err != nil {
			return nil, err
		}
	}
}

// try waits for the connection, or for an attempt to make one: when that fails, so does this.
func (l *link) try(ctx context.Context) (*conn, error) {
	for begun := -1; ; {
		c, changed, failed := l.want()
		if c != nil {
			return c, nil
		}
		if begun < 0 {
			begun = failed
		}
		var err error
		switch {
		case failed > begun:
			err = ErrUnreachable
		default:
			select {
			case <-changed:
			case <-ctx.Done():
				err = fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
			case <-l.t.ctx.Done():
				err = ErrClosed
			}
		}
		if err = l.waited(err); err != nil {
			return nil, err
		}
	}
}

// waited ends a wait that want has begun, and adds to err why there is no connection.
func (l *link) waited(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
	if err != nil && l.err != nil {
		err = fmt.Errorf("%w: %w", err, l.err)
	}
	return err
}

// want returns the connection, or sees to it that somebody dials, and counts the caller as waiting. failed is how many attempts have failed.
func (l *link) want() (c *conn, changed <-chan struct{}, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c != nil {
		return l.c, nil, 0
	}
	l.waiting++
	if !l.dialling && l.t.start(l.dial) {
		l.dialling = true
	}
	return nil, l.changed, l.failed
}

// keep says whether the connection is wanted even where nobody waits for it.
func (l *link) keep(kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = kept
	if kept && l.c == nil && !l.dialling && l.t.start(l.dial) {
		l.dialling = true
	}
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
			l.t.o.Logger.Debug("lost the connection to a broker", "broker", l.to, "err", err)
		}
		return
	}
}

// pause waits before the next attempt; false: the transport has been closed.
func (l *link) pause() bool {
	l.mu.Lock()
	failures, last := l.failures, lastBackoff
	if l.kept {
		last = keptBackoff
	}
	l.mu.Unlock()
	if failures == 0 {
		return l.t.ctx.Err() == nil
	}
	d := min(firstBackoff<<min(failures-1, 10), last)
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.t.ctx.Done():
		return false
	}
}

// patience is what an attempt may take.
func (l *link) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept {
		return min(keptTime, l.t.o.greeting)
	}
	return l.t.o.greeting
}

// dialled notes how an attempt ended, and says whether it was the last.
func (l *link) dialled(c *conn, err error) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	close(l.changed)
	l.changed = make(chan struct{})
	if err != nil {
		l.failures++
		l.failed++
		if l.failures == 1 {
			l.t.o.Logger.Log(l.t.ctx, levelOfDial(err), "cannot connect to a broker, trying again", "broker", l.to, "err", err)
		}
		l.dialling = l.waiting > 0 || l.kept
		return !l.dialling
	}
	l.failures, l.dialling = 0, false
	select {
	case <-c.broken: // already
	default:
		l.c = c // if it breaks from now on, lost comes after this
	}
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
	ctx, cancel := context.WithTimeout(t.ctx, l.patience())
	defer cancel()
	nc, err := t.o.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	greeted, _, err := t.greet(ctx, nc, l.to, l.purpose)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("handshake with %s at %s: %w", l.to, addr, err), nc.Close())
	}
	return newConn(t, greeted, l.to, l.purpose, l), nil
}
