package transport

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

var (
	// ErrBroken: the connection broke while something was under way, which may have been done or not.
	ErrBroken = errors.New("connection is broken")
	// ErrBusy: the other broker has refused for what is waiting there already.
	ErrBusy = errors.New("too much is waiting there")

	errSilent   = errors.New("the other broker has been silent")
	errNotOpen  = errors.New("the group is not open there")
	errFailed   = errors.New("the other broker failed")
	errRejected = errors.New("the follower rejected it")
)

// outcome is what a waiter is told.
type outcome struct {
	answer
	body []byte // of a reply
	err  error  // nothing was answered
}

// failure says why Raft's request has not been answered with a success; it is not called on one.
func (o *outcome) failure() error {
	switch {
	case o.err != nil:
		return o.err
	case o.code == codeNotHere:
		return errNotOpen
	case o.code == codeBusy:
		return ErrBusy
	case o.code == codeFailed:
		return fmt.Errorf("%w: %s", errFailed, o.body)
	}
	return errRejected
}

// waiter waits for the answer to something that was sent. It is told once, on the goroutine of the connection's reader or of
// whoever has found it broken, and must not block.
type waiter interface{ done(o outcome) }

// silentPings is how many intervals of pings a connection may be silent before it is taken for broken.
const silentPings = 5

// writeTime is how long the other side may take to read what is written to it at once.
const writeTime = 10 * time.Second

// conn is a connection after its handshake. Requests go from the dialer to the acceptor and answers the other way, so two brokers
// that have something to say to each other have two of each purpose.
//
// What always holds: a waiter is in pending from before its frame is in the outbox until it is told; when the connection breaks, all of
// them are told so, and none gets in any more. The reader waits for nothing but the network. Two goroutines belong to a connection, run and
// write; run returns when both have ended.
type conn struct {
	t       *Transport
	peer    raft.ServerID
	pact    *pact // with the peer
	purpose purpose
	link    *link // of the dialer; nil: this is the acceptor's side
	net     net.Conn
	in      *bufio.Reader
	out     outbox
	beats   *coalescer      // of appends without entries, or of the answers to them
	broken  chan struct{}   // closed when it is
	life    context.Context // ends then: of the calls that are served
	end     context.CancelFunc
	heard   atomic.Int64 // when the last frame came, in nanoseconds after t.begun
	bytes   atomic.Int64 // of entries that were sent and not answered
	ping    *time.Timer

	mu      sync.Mutex
	seq     uint32
	pending map[uint32]waiter // nil: broken
	err     error             // why
}

func newConn(t *Transport, nc net.Conn, peer raft.ServerID, p purpose, l *link) *conn {
	c := &conn{
		t: t, peer: peer, pact: t.pacts.of(peer), purpose: p, link: l, net: nc, in: newReader(nc), out: newOutbox(),
		broken: make(chan struct{}), pending: map[uint32]waiter{},
	}
	c.life, c.end = context.WithCancel(t.ctx)
	c.beats = newCoalescer(c)
	c.heard.Store(int64(time.Since(t.begun)))
	c.mu.Lock()
	c.ping = time.AfterFunc(t.o.Ping, c.alive)
	c.mu.Unlock()
	return c
}

// alive breaks the connection when nothing has come for long, and else has the other side say something.
func (c *conn) alive() {
	if time.Since(c.t.begun)-time.Duration(c.heard.Load()) > silentPings*c.t.o.Ping {
		c.fail(fmt.Errorf("%w for %v", errSilent, silentPings*c.t.o.Ping))
		return
	}
	if c.link != nil {
		c.out.add(func(b []byte) []byte { return appendFrameHead(b, kindPing, 0) }, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending != nil {
		c.ping.Reset(c.t.o.Ping)
	}
}

// register gives w a number to be answered by. An error says that the connection is broken; w is not told then.
func (c *conn) register(w waiter) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, c.err
	}
	for c.seq++; c.seq == 0 || c.pending[c.seq] != nil; c.seq++ {
	}
	c.pending[c.seq] = w
	return c.seq, nil
}

// settle tells whoever waits for the number, if anybody does.
func (c *conn) settle(seq uint32, o outcome) {
	c.mu.Lock()
	w := c.pending[seq]
	delete(c.pending, seq)
	c.mu.Unlock()
	if w != nil {
		w.done(o)
	}
}

// fail breaks the connection: what was under way fails at once.
func (c *conn) fail(err error) {
	c.mu.Lock()
	pending := c.pending
	if pending == nil {
		c.mu.Unlock()
		return
	}
	c.err = fmt.Errorf("%w: to %s: %w", ErrBroken, c.peer, err)
	c.pending = nil
	c.ping.Stop()
	c.mu.Unlock()
	close(c.broken)
	c.end()
	_ = c.net.Close()
	c.beats.stop()
	if c.link != nil {
		c.link.lost(c)
	}
	for _, w := range pending {
		w.done(outcome{err: c.err})
	}
}

// run serves the connection until it is broken, and says why.
func (c *conn) run() error {
	if !c.t.track(c) {
		c.fail(ErrClosed)
	}
	defer c.t.untrack(c)
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.fail(c.read())
	<-written
	return c.err
}

func (c *conn) write() {
	var sending outgoing
	var bufs net.Buffers
	for {
		select {
		case <-c.out.wake:
		case <-c.broken:
			return
		}
		sending = c.out.swap(sending)
		bufs = sending.gather(bufs[:0])
		err := c.net.SetWriteDeadline(time.Now().Add(writeTime))
		if err == nil {
			err = writeAll(c.net, bufs)
		}
		clear(bufs)
		if err != nil {
			c.fail(fmt.Errorf("write: %w", err))
			return
		}
	}
}

func (c *conn) read() error {
	for {
		kind, b, err := c.readFrame()
		if err != nil {
			return err
		}
		c.heard.Store(int64(time.Since(c.t.begun)))
		if c.link != nil {
			err = c.answered(kind, b)
		} else {
			err = c.asked(kind, b)
		}
		if err != nil {
			return err
		}
	}
}

// readFrame reads a frame into memory of its own, which is given once the length is found to be one that the kind may have.
func (c *conn) readFrame() (kind byte, b []byte, err error) {
	var h [frameHead]byte
	if _, err := io.ReadFull(c.in, h[:]); err != nil {
		return 0, nil, err
	}
	n, kind := int64(binary.BigEndian.Uint32(h[:]))-1, h[4]
	limit := c.limit(kind)
	if n < 0 || n > limit {
		return 0, nil, fmt.Errorf("%w: kind %d with %d bytes, limit %d", errFrame, kind, n, limit)
	}
	b = make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return 0, nil, fmt.Errorf("frame of %d bytes: %w", n, err)
	}
	return kind, b, nil
}

// limit is how many bytes the other side may send in a frame.
func (c *conn) limit(kind byte) int64 {
	acceptor := c.link == nil
	switch {
	case kind == kindAppend && c.purpose == data && acceptor, kind == kindRequest && c.purpose == bulk && acceptor:
		return int64(c.t.o.MaxFrame)
	case kind == kindCall && c.purpose == bulk && acceptor:
		return callHead + maxCall
	case kind == kindReply && c.purpose == bulk && !acceptor:
		return replyHead + maxCall
	}
	return maxSmall
}

// answered takes what the acceptor sends.
func (c *conn) answered(kind byte, b []byte) error {
	switch kind {
	case kindAnswers:
		return decodeAnswers(b, func(a answer) { c.settle(a.seq, outcome{answer: a}) })
	case kindReply:
		seq, code, body, err := decodeReply(b)
		if err == nil {
			c.settle(seq, outcome{answer: answer{seq: seq, code: code}, body: body})
		}
		return err
	case kindPulsed:
		return c.pulse(kind, b)
	case kindPong:
		return nil
	}
	return fmt.Errorf("%w: kind %d to the dialer", errFrame, kind)
}

// asked takes what the dialer sends.
func (c *conn) asked(kind byte, b []byte) error {
	switch kind {
	case kindAppend:
		h, entries, err := decodeAppend(b)
		for _, e := range entries {
			e.Extensions = b // see Group
		}
		if err == nil {
			c.t.take(&incoming{c: c, head: h, command: appendRequest(c.peer, &h, entries), bytes: len(b)})
		}
		return err
	case kindBeats:
		return decodeBeats(b, func(h head) {
			c.t.take(&incoming{c: c, head: h, command: appendRequest(c.peer, &h, nil), beat: true})
		})
	case kindRequest:
		r, err := decodeRequest(b)
		if err != nil {
			return err
		}
		command, data, err := decodeCommand(c.peer, &r)
		if err == nil {
			c.t.take(&incoming{
				c: c, head: head{group: r.group, seq: r.seq}, what: r.what, command: command, data: data, election: electionOf(c.peer, &r),
			})
		}
		return err
	case kindCall:
		return c.called(b)
	case kindPulse:
		return c.pulse(kind, b)
	case kindPing:
		c.out.add(func(b []byte) []byte { return appendFrameHead(b, kindPong, 0) }, nil)
		return nil
	}
	return fmt.Errorf("%w: kind %d to the acceptor", errFrame, kind)
}

func appendRequest(from raft.ServerID, h *head, entries []*raft.Log) *raft.AppendEntriesRequest {
	rh := rpcHeader(from)
	return &raft.AppendEntriesRequest{
		RPCHeader: rh, Leader: rh.Addr, Term: h.term, PrevLogEntry: h.prevIndex, PrevLogTerm: h.prevTerm, LeaderCommitIndex: h.commit,
		Entries: entries,
	}
}

// newReader has a small buffer: what is in it is copied, and the rest of a frame is read to its place.
func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 4<<10) }
