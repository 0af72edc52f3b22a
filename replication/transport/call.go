package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Limits of calls.
const (
	maxCall      = 8 << 20  // bytes of a body or an answer
	controlCall  = 64 << 10 // of a body beside which pings and heartbeats still get through in time
	callsMethod  = 16       // of one method that this broker has under way to one peer: further ones wait for their turn
	callsPeer    = 64       // of one peer that are served here: further ones are refused
	callsAll     = 256      // of all peers
	bulkWaiting  = 16 << 20 // bytes that wait to be written to a bulk connection before more are put there
	smallPiece   = 4 << 10  // what is larger is written from where it lies
	callHead     = 4 + 1 + 4
	controlReply = maxSmall - replyHead
)

// calls are the handlers, and what they are at.
type calls struct {
	mu       sync.Mutex
	handlers [lastMethod + 1]Handler
	all      int
	serving  map[raft.ServerID]int
}

// begin counts a call that a peer makes; false: there are too many.
func (s *calls) begin(from raft.ServerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= callsAll || s.serving[from] >= callsPeer {
		return false
	}
	s.all++
	s.serving[from]++
	return true
}

func (s *calls) end(from raft.ServerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.serving[from]--; s.serving[from] == 0 {
		delete(s.serving, from)
	}
}

func (s *calls) handler(m Method) Handler {
	if m > lastMethod {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handlers[m]
}

// Handle sets the handler of a method, at any time.
func (t *Transport) Handle(m Method, h Handler) {
	t.calls.mu.Lock()
	defer t.calls.mu.Unlock()
	t.calls.handlers[m] = h
}

// purposeOf is the kind of connection that a call takes: nothing that is large delays pings.
func purposeOf(m Method, body []byte) purpose {
	if m == MethodManifest || m == MethodRead || len(body) > controlCall {
		return bulk
	}
	return control
}

// Call asks a broker and waits for its answer; asking oneself calls the handler. A body has up to 8 MiB; so has an answer to it, or to
// MethodManifest and MethodRead, where the body has more than 64 KiB; else an answer has up to 1 MiB. Up to 16 calls of a method are under
// way to a broker, further ones wait. A ctx without a deadline gets that of Options.Timeout, and the handler is told the deadline.
//
// Errors: *RemoteError of the handler, ErrNoMethod and ErrBusy (not served), ErrUnreachable (not sent), ErrBroken (it may have been served),
// ErrClosed, or that of ctx.
func (t *Transport) Call(ctx context.Context, to raft.ServerID, m Method, body []byte) ([]byte, error) {
	if m == 0 || m > lastMethod || len(body) > maxCall {
		return nil, fmt.Errorf("call of method %d with %d bytes: there are %d methods, and the limit is %d bytes", m, len(body), lastMethod, maxCall)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.o.Timeout)
		defer cancel()
	}
	var answer []byte
	var err error
	if to == t.o.Self {
		answer, err = t.callSelf(ctx, m, body)
	} else {
		answer, err = t.callPeer(ctx, t.peer(to), m, body)
	}
	if err != nil {
		return nil, fmt.Errorf("%v of broker %s: %w", m, to, err)
	}
	return answer, nil
}

func (t *Transport) callSelf(ctx context.Context, m Method, body []byte) ([]byte, error) {
	h := t.calls.handler(m)
	if h == nil {
		return nil, ErrNoMethod
	}
	answer, err := h(ctx, t.o.Self, body)
	if err != nil {
		return nil, &RemoteError{err.Error()}
	}
	return answer, nil
}

func (t *Transport) callPeer(ctx context.Context, p *peer, m Method, body []byte) ([]byte, error) {
	select {
	case p.turns[m] <- struct{}{}:
		defer func() { <-p.turns[m] }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := p.link(purposeOf(m, body)).try(ctx)
	if err != nil {
		return nil, err
	}
	if c.purpose == bulk && !c.out.await(bulkWaiting, c.broken, ctx.Done()) {
		return nil, errors.Join(ErrUnreachable, ctx.Err())
	}
	a := make(answered, 1)
	seq, err := c.register(a)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	deadline, _ := ctx.Deadline()
	c.out.addPiece(func(b []byte) []byte { return encodeCall(b, seq, m, time.Until(deadline), len(body)) }, body)
	select {
	case o := <-a:
		return o.body, o.callError()
	case <-ctx.Done():
		c.settle(seq, outcome{}) // a late answer finds nobody; a has room for this
		return nil, ctx.Err()
	}
}

// callError is what the outcome of a call means to its caller.
func (o *outcome) callError() error {
	switch {
	case o.err != nil:
		return o.err
	case o.code == codeOK:
		return nil
	case o.code == codeNoMethod:
		return ErrNoMethod
	case o.code == codeBusy:
		return ErrBusy
	}
	return &RemoteError{string(o.body)}
}

// encodeCall encodes a call but for its body, which has length bytes and follows.
func encodeCall(b []byte, seq uint32, m Method, wait time.Duration, length int) []byte {
	b = appendFrameHead(b, kindCall, callHead+length)
	b = append(binary.BigEndian.AppendUint32(b, seq), byte(m))
	return binary.BigEndian.AppendUint32(b, uint32(max(0, min(wait.Milliseconds(), maxWait.Milliseconds()))))
}

// maxWait is how long a handler may take at most.
const maxWait = time.Hour

// call is a call as it comes in.
type call struct {
	seq    uint32
	method Method
	wait   time.Duration // of its caller
	body   []byte
}

func decodeCall(b []byte) (call, error) {
	if len(b) < callHead {
		return call{}, fmt.Errorf("%w: call of %d bytes", errFrame, len(b))
	}
	wait := time.Duration(binary.BigEndian.Uint32(b[5:])) * time.Millisecond
	if wait > maxWait {
		return call{}, fmt.Errorf("%w: call that waits for %v", errFrame, wait)
	}
	return call{seq: binary.BigEndian.Uint32(b), method: Method(b[4]), wait: wait, body: b[callHead:]}, nil
}

// called has a call served on a goroutine of its own. The reader waits for nothing.
func (c *conn) called(b []byte) error {
	r, err := decodeCall(b)
	if err != nil {
		return err
	}
	h := c.t.calls.handler(r.method)
	switch {
	case h == nil:
		c.reply(r.seq, codeNoMethod, nil)
	case !c.t.calls.begin(c.peer):
		c.reply(r.seq, codeBusy, nil)
	case !c.t.start(func() { c.serveCall(&r, h) }):
		c.t.calls.end(c.peer)
	}
	return nil
}

func (c *conn) serveCall(r *call, h Handler) {
	defer c.t.calls.end(c.peer)
	ctx, cancel := context.WithTimeout(c.t.ctx, r.wait)
	defer cancel()
	stop := context.AfterFunc(c.life, cancel)
	defer stop()
	body, err := h(ctx, c.peer, r.body)
	limit := controlReply
	if c.purpose == bulk {
		limit = maxCall
	}
	if err == nil && len(body) > limit {
		err = fmt.Errorf("an answer of %d bytes, the limit is %d", len(body), limit)
	}
	switch {
	case err != nil:
		why := err.Error()
		c.reply(r.seq, codeFailed, []byte(why[:min(len(why), maxReason)]))
	case c.purpose != bulk || c.out.await(bulkWaiting, c.broken, ctx.Done()):
		c.reply(r.seq, codeOK, body)
	}
}

func (c *conn) reply(seq uint32, code byte, body []byte) {
	c.out.addPiece(func(b []byte) []byte { return encodeReplyHead(b, seq, code, len(body)) }, body)
}
