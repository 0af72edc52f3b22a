package transport

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// behindTime is how long a pipeline may stay behind before Raft is made to fall back to single requests: a pipeline sends one batch
// for each time that it is woken, a follower that lags by more would get no nearer; single requests loop until it is level.
const behindTime = 20 * time.Millisecond

// pipeline is raft.AppendPipeline: a group's appends to one peer, on one connection. It has no goroutine: requests wait in the outbox of the
// connection, and its reader brings the answers.
//
// What always holds: futures come out in the order of their answers, each once. Once one has failed nothing more comes out, and
// AppendEntries returns errors: Raft sends everything from the last one that succeeded again.
type pipeline struct {
	s     *stream
	c     *conn
	ready chan raft.AppendFuture

	mu      sync.Mutex
	err     error // why it has ended
	flights int
	full    bool      // the newest request had as many entries as one can have: there may be more behind it
	quiet   time.Time // since when nothing is under way
}

func (g *Group) newPipeline(s *stream, c *conn) *pipeline {
	p := &pipeline{s: s, c: c, ready: make(chan raft.AppendFuture, windowRequests+windowRequests/8)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pipe, s.told = p, 0
	return p
}

// future is a request of a pipeline, sent as one frame or more.
type future struct {
	p       *pipeline
	request *raft.AppendEntriesRequest
	resp    *raft.AppendEntriesResponse
	begun   time.Time
	frames  int // not answered, and one while it is sent; guarded by p.mu
	err     error
	settled chan struct{}
}

func (f *future) Error() error {
	<-f.settled
	return f.err
}

func (f *future) Start() time.Time                      { return f.begun }
func (f *future) Request() *raft.AppendEntriesRequest   { return f.request }
func (f *future) Response() *raft.AppendEntriesResponse { return f.resp }

// AppendEntries sends a request, in as many frames as its size takes. It waits for room no longer than behindTime.
func (p *pipeline) AppendEntries(r *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	f := &future{p: p, request: r, resp: resp, begun: time.Now(), frames: 1, settled: make(chan struct{})}
	p.mu.Lock()
	err, idle := p.err, p.flights == 0
	if err == nil {
		p.flights++
		p.full = len(r.Entries) >= p.s.g.t.o.MaxEntries
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := p.send(f, idle); err != nil {
		err = fmt.Errorf("append to %s: %w", p.c.peer, err)
		p.end(err)
		return nil, err
	}
	p.landed(f, nil)
	return f, nil
}

func (p *pipeline) send(f *future, idle bool) error {
	h, entries := headOf(p.s.g.id, f.request), f.request.Entries
	if len(entries) == 0 && idle { // with something under way it would overtake what it follows on
		if c := p.s.peer.link(control).current(); c != nil {
			p.another(f)
			return p.s.beat(c, h, f)
		}
	}
	for first := true; first || len(entries) > 0; first = false {
		n, bytes := p.s.cut(p.c, entries)
		p.another(f)
		if err := p.s.send(p.c, h, entries[:n], bytes, f, behindTime); err != nil {
			return err
		}
		if n > 0 {
			h.prevIndex, h.prevTerm = entries[n-1].Index, entries[n-1].Term
		}
		entries = entries[n:]
	}
	return nil
}

func (p *pipeline) another(f *future) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.frames++
}

// done takes the answer to one frame.
func (f *future) done(o outcome) {
	if o.err != nil || o.code != codeOK {
		f.p.fail(f, &o)
		return
	}
	f.p.landed(f, &o)
}

// landed notes that a frame of f has been accepted, or, without an outcome, that all of them are sent.
func (p *pipeline) landed(f *future, o *outcome) {
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	if o != nil {
		setResponse(f.resp, o)
	}
	if f.frames--; f.frames > 0 {
		p.mu.Unlock()
		return
	}
	close(f.settled)
	p.flights--
	p.quiet = time.Now()
	behind := p.full && p.flights == 0
	select {
	case p.ready <- f:
	default: // whoever takes them out has fallen asleep, and must not get later ones without this one
		p.err = errBehind
	}
	p.mu.Unlock()
	if behind {
		p.s.mu.Lock()
		p.s.mark()
		p.s.mu.Unlock()
	}
}

// fail ends the pipeline with f as its last future, which Raft sees has not succeeded.
func (p *pipeline) fail(f *future, o *outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return
	}
	p.err = o.failure()
	f.err = p.err
	setResponse(f.resp, o)
	close(f.settled)
	select {
	case p.ready <- f:
	default:
	}
}

// end ends the pipeline, unless it has ended.
func (p *pipeline) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// staysBehind ends the pipeline if its newest request was a full one and nothing has followed for long; if it may yet come to that,
// it says so.
func (p *pipeline) staysBehind() (later bool) {
	p.mu.Lock()
	if p.err != nil || !p.full || p.flights > 0 {
		p.mu.Unlock()
		return false
	}
	later = time.Since(p.quiet) < behindTime
	p.mu.Unlock()
	if later {
		return true
	}
	f := &future{
		p: p, request: &raft.AppendEntriesRequest{Term: p.s.term}, resp: &raft.AppendEntriesResponse{}, begun: time.Now(),
		settled: make(chan struct{}),
	}
	p.fail(f, &outcome{err: errBehind})
	return false
}

// Consumer gives out the futures.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.ready }

// Close ends the pipeline. What is under way is still answered, but to nobody.
func (p *pipeline) Close() error {
	p.end(ErrClosed)
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.pipe == p {
		p.s.pipe = nil
	}
	return nil
}
