package broker

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener accepts Kafka connections and owns them until close returns.
type listener struct {
	b        *Broker
	ln       net.Listener
	budget   *budget
	limit    func() int // of connections, which may change while it runs
	draining atomic.Bool

	mu    sync.Mutex
	conns map[*conn]struct{}

	wg     sync.WaitGroup
	cancel context.CancelFunc
}

// acceptPause is how long accepting rests after an error that may pass, like too many open files.
const acceptPause = 50 * time.Millisecond

// serveListener starts serving ln, up to limit connections at one time.
func serveListener(b *Broker, ln net.Listener, limit func() int) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{
		b:      b,
		ln:     ln,
		budget: newBudget(b.cfg.MaxInFlightBytes),
		limit:  limit,
		conns:  make(map[*conn]struct{}),
		cancel: cancel,
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
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		c := newConn(l, nc)
		if !l.add(c) {
			nc.Close()
			continue
		}
		l.wg.Go(func() {
			defer l.remove(c)
			c.serve(ctx)
		})
	}
}

// add registers a connection, unless there are too many or the listener is closing.
func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining.Load() {
		return false
	}
	if limit := l.limit(); len(l.conns) >= limit {
		l.b.metrics.refused.Inc()
		l.b.log.Debug("connection refused: too many", "remote", c.remote, "limit", limit)
		return false
	}
	l.conns[c] = struct{}{}
	l.b.metrics.connections.Inc()
	return true
}

func (l *listener) remove(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
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
