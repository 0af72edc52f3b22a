package broker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// listener accepts Kafka connections and owns them until close returns.
type listener struct {
	b        *Broker
	ln       net.Listener
	budget   *budget
	limits   func() connLimits // which may change while it runs
	draining atomic.Bool

	mu        sync.Mutex
	conns     map[*conn]struct{}
	admission admission

	// The accepting goroutine's.
	refusals refusalLog
	pacer    pacer

	wg     sync.WaitGroup
	cancel context.CancelFunc
}

// acceptPause is how long accepting rests after an error that may pass, like too many open files.
const acceptPause = 50 * time.Millisecond

// serveListener starts serving ln, as many connections as limits allows.
func serveListener(b *Broker, ln net.Listener, limits func() connLimits) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{
		b:         b,
		ln:        ln,
		budget:    newBudget(b.cfg.MaxInFlightBytes),
		limits:    limits,
		conns:     make(map[*conn]struct{}),
		admission: admission{byAddr: make(map[netip.Addr]int)},
		cancel:    cancel,
	}
	l.wg.Go(func() { l.accept(ctx) })
	return l
}

func (l *listener) accept(ctx context.Context) {
	for {
		nc, err := l.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.b.log.Warn("accept failed", "err", err)
			l.pause(ctx, acceptPause)
			continue
		}
		limits := l.limits()
		l.pause(ctx, l.pacer.delay(time.Now(), limits.rate))
		c := l.admit(nc, limits)
		if c == nil {
			nc.Close()
			continue
		}
		l.wg.Go(func() {
			defer l.remove(c)
			c.serve(ctx)
		})
	}
}

// pause lets accepting rest; the end of the broker ends it.
func (l *listener) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-l.b.stopping:
	case <-ctx.Done():
	}
}

// admit registers a connection, unless there are too many or the listener is closing. One that is refused has taken no memory
// for it but the socket's.
func (l *listener) admit(nc net.Conn, limits connLimits) *conn {
	addr := addrOf(nc)
	l.mu.Lock()
	if l.draining.Load() {
		l.mu.Unlock()
		return nil
	}
	why, ok := l.admission.admit(addr, limits)
	if !ok {
		l.mu.Unlock()
		l.refused(addr, why)
		return nil
	}
	defer l.mu.Unlock()
	c := newConn(l, nc, addr)
	l.conns[c] = struct{}{}
	l.b.metrics.connections.Inc()
	return c
}

// refused tells of a connection that is not let in.
func (l *listener) refused(addr netip.Addr, why refusal) {
	l.b.metrics.refused.WithLabelValues(why.key).Inc()
	if n, log := l.refusals.note(time.Now()); log {
		l.b.log.Warn("connection refused: too many", "remote", addr, "limit", why.limit, "key", why.key, "refused", n)
	}
}

func (l *listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.admission.leave(c.addr)
	l.b.metrics.connections.Dec()
}

// drain stops accepting and reading; what was started is still answered.
func (l *listener) drain() {
	l.ln.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining.Store(true)
	for c := range l.conns {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // wakes the reader; a connection that is closed needs no waking
	}
}

// close drains, and cuts off what is not answered when ctx ends. It returns when all connections are gone.
func (l *listener) close(ctx context.Context) {
	l.drain()
	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		l.cut()
		<-done
	}
	l.cancel()
}

// cut ends every connection now.
func (l *listener) cut() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.nc.Close()
	}
}
