package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is one client connection: the goroutine that serves it reads, decodes and starts requests, a second one finishes and
// writes them. Responses leave in request order because there is one queue between the two; where nothing is in flight, what can be
// answered at once is answered by the reader.
type conn struct {
	l      *listener
	nc     net.Conn
	remote string
	addr   netip.Addr // which it counts for

	// The reader's.
	br       *bufio.Reader
	clientID string // of the last request: it hardly ever changes
	muted    bool   // nothing is read for muteTime
	writing  sync.WaitGroup

	queue    chan pending // made with the writer, when the first request is there: a slow peer has neither
	inFlight atomic.Int32 // requests whose responses are not on their way yet

	w responseWriter // the writer's, and the reader's while nothing is in flight
}

// pending is a request between the reader and the writer.
type pending struct {
	finish      finish
	ready       func() bool // see request
	correlation int32
	flexible    bool // the response header has a tag section
	route       *route
	held        int64 // bytes of the budget, released when the response is written
	uncharged   bool  // see request
	began       time.Time
}

var errDraining = errors.New("broker is closing")

func newConn(l *listener, nc net.Conn, addr netip.Addr) *conn {
	return &conn{
		l:      l,
		nc:     nc,
		remote: nc.RemoteAddr().String(),
		addr:   addr,
		br:     bufio.NewReaderSize(nc, readBufferBytes),
		w:      responseWriter{nc: nc, sent: l.b.metrics.bytesOut},
	}
}

// serve reads requests until the connection ends, and returns when everything started is finished.
func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	err := c.read(ctx)
	if !c.l.draining.Load() {
		cancel() // nobody waits for the answers
	}
	if c.queue != nil {
		close(c.queue)
	}
	c.writing.Wait()
	cancel()
	c.nc.Close()
	if !errors.Is(err, io.EOF) {
		c.l.b.log.Debug("connection closed", "remote", c.remote, "client_id", c.clientID, "reason", err)
	}
}

func (c *conn) read(ctx context.Context) error {
	for {
		size, produce, err := c.awaitFrame()
		if err != nil {
			return err
		}
		if err := c.request(ctx, size, produce); err != nil {
			return err
		}
		if c.muted {
			c.rest(ctx)
		}
	}
}

// rest leaves the connection alone for muteTime.
func (c *conn) rest(ctx context.Context) {
	c.muted = false
	timer := time.NewTimer(muteTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.l.b.stopping:
	case <-ctx.Done():
	}
}

// awaitLength waits for the length of the next frame: without a limit while requests are under way, else up to the idle timeout.
func (c *conn) awaitLength() ([]byte, error) {
	for {
		if err := c.allowRead(4, c.l.b.cfg.IdleTimeout); err != nil {
			return nil, err
		}
		prefix, err := c.br.Peek(4)
		waiting := errors.Is(err, os.ErrDeadlineExceeded) && c.inFlight.Load() > 0 && c.br.Buffered() == 0
		switch {
		case err == nil:
			return prefix, nil
		case c.l.draining.Load():
			return nil, errDraining
		case !waiting:
			return nil, err
		}
	}
}

// awaitFrame waits for the next frame's beginning, up to its header.
func (c *conn) awaitFrame() (size int, produce bool, err error) {
	prefix, err := c.awaitLength()
	if err != nil {
		return 0, false, err
	}
	if size, err = frameSize(prefix, c.l.b.cfg.MaxRequestBytes); err != nil {
		return 0, false, err
	}
	if err := c.allowRead(4+size, frameGrace); err != nil {
		return 0, false, err
	}
	if prefix, err = c.br.Peek(4 + minFrameBytes); err != nil {
		return 0, false, fmt.Errorf("read frame: %w", err)
	}
	produce, err = checkSize(size, prefix[4:], c.l.b.cfg.MaxRequestBytes)
	return size, produce, err
}

// allowRead lets reads take d from now, and none at all once the listener drains: drain sets its mark before it sets
// deadlines, so one of the two is always seen. Where n bytes are buffered already the deadline stays as it is.
func (c *conn) allowRead(n int, d time.Duration) error {
	if c.br.Buffered() < n {
		if err := c.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
			return err
		}
	}
	if c.l.draining.Load() {
		return errDraining
	}
	return nil
}

// request reads one frame, starts what it asks for and queues the rest for the writer.
func (c *conn) request(ctx context.Context, size int, produce bool) error {
	f, err := readFrame(ctx, source{c.br, c.arrive}, c.l.budget, size, produce)
	if err != nil {
		return fmt.Errorf("read frame of %d bytes: %w", size, err)
	}
	c.l.b.metrics.bytesIn.Add(float64(4 + size))
	p, err := c.start(ctx, &f)
	f.done(c.br)
	if err != nil {
		c.l.budget.release(f.held)
		return err
	}
	if !produce {
		keep := min(f.held, int64(size)*heldFactor)
		if p.uncharged {
			keep = 0
		}
		c.l.budget.release(f.held - keep)
		f.held = keep
	}
	p.held = f.held
	if p.finish != nil && p.ready != nil && c.inFlight.Load() == 0 && c.br.Buffered() == 0 && p.ready() {
		return c.answerNow(ctx, &p)
	}
	if c.queue == nil {
		c.queue = make(chan pending, maxPipelined)
		c.writing.Go(func() { c.write(ctx) })
	}
	c.inFlight.Add(1)
	c.queue <- p // the writer takes everything, also after the connection has failed
	return nil
}

// answerNow finishes a request on the reader: the writer need not be woken.
func (c *conn) answerNow(ctx context.Context, p *pending) error {
	err := c.respond(ctx, p, false)
	if err == nil {
		err = c.w.flush()
	}
	p.route.metrics.observe(time.Since(p.began))
	c.l.budget.release(p.held)
	if err != nil {
		return fmt.Errorf("respond to %s: %w", p.route.key.Name(), err)
	}
	return nil
}

var errSlow = errors.New("the frame arrives too slowly, and others wait for memory")

// arrive reads p, more of a frame of size bytes. See frameRate and crowdedFrameTime for how long it may take.
func (c *conn) arrive(p []byte, size int) error {
	last := time.Now().Add(frameGrace + time.Duration(len(p))*time.Second/frameRate)
	enough := max(frameRate, size/int(crowdedFrameTime/time.Second)) * int(arrivalStep/time.Second)
	for {
		if err := c.allowRead(len(p), min(arrivalStep, time.Until(last))); err != nil {
			return err
		}
		n, err := io.ReadFull(c.br, p)
		switch {
		case err == nil:
			return nil
		case c.l.draining.Load():
			return errDraining
		case !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(last):
			return err
		case n < enough && c.l.budget.crowded():
			return errSlow
		}
		p = p[n:]
	}
}

// start decodes a frame and runs the handler's first half.
func (c *conn) start(ctx context.Context, f *frame) (pending, error) {
	h := parseHeader(f.bytes)
	p := pending{correlation: h.correlation, began: time.Now()}
	p.route = c.l.b.dispatch.find(h.key)
	if p.route == nil {
		return p, fmt.Errorf("request key %d is not supported", h.key)
	}
	isApiVersions := p.route.key == kmsg.ApiVersions
	if h.version < p.route.min || h.version > p.route.max {
		if isApiVersions {
			p.finish = unsupportedApiVersions(p.route.api)
			return p, nil
		}
		return p, fmt.Errorf("%s version %d is not supported", p.route.key.Name(), h.version)
	}
	msg := p.route.key.Request()
	msg.SetVersion(h.version)
	id, err := decode(msg, f.bytes[minFrameBytes:])
	if err != nil {
		return p, fmt.Errorf("decode %s version %d: %w", p.route.key.Name(), h.version, err)
	}
	if string(id) != c.clientID {
		c.clientID = string(id)
	}
	p.flexible = msg.IsFlexible() && !isApiVersions
	r := &request{msg: msg, clientID: c.clientID, conn: c}
	p.finish = p.route.start(ctx, c.l.b, r)
	p.uncharged = r.uncharged
	p.ready = r.ready
	return p, nil
}

// write finishes requests in order until the queue is closed. Responses leave together while the next one is there without waiting.
// After a failure it goes on finishing, so that what requests hold is given back, but writes no more.
func (c *conn) write(ctx context.Context) {
	failed, written := false, int32(0)
	check := func(p *pending, err error) {
		if err != nil && !failed {
			failed = true
			c.nc.Close() // ends the reader, which ends ctx
			c.l.b.log.Debug("response failed", "remote", c.remote, "request", p.route.key.Name(), "reason", err)
		}
	}
	for p, open := <-c.queue; open; {
		if p.finish != nil {
			if !failed && (p.ready == nil || !p.ready()) {
				check(&p, c.w.flush())
			}
			check(&p, c.respond(ctx, &p, failed))
		}
		p.route.metrics.observe(time.Since(p.began))
		c.l.budget.release(p.held)
		written++
		last := p
		select {
		case p, open = <-c.queue:
			continue
		default:
		}
		if !failed {
			check(&last, c.w.flush())
		}
		c.inFlight.Add(-written) // from here on the reader may write
		written = 0
		p, open = <-c.queue
	}
	if !failed {
		_ = c.w.flush() // the connection ends: nobody else is to be told
	}
}

func (c *conn) respond(ctx context.Context, p *pending, failed bool) error {
	r := p.finish(ctx)
	defer r.close()
	switch {
	case failed || ctx.Err() != nil: // nobody is there to read it
		return nil
	case r.err != nil:
		return errors.Join(r.err, c.w.flush()) // earlier ones are answered
	}
	return c.w.response(p.correlation, p.flexible, &r)
}
