package transport

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// What a group may have under way to one peer. It is above what its leader may have uncommitted (256 entries, 8 MiB), so a follower
// that is needed for the majority is never waited for here.
const (
	windowRequests = 288
	windowEntries  = 512
	windowBytes    = 16 << 20

	// connBytes is what all groups may have under way on one connection. Beyond it a group may send one small frame at a time, so that
	// slow groups take neither memory without end nor the others' turn.
	connBytes  = 64 << 20
	frameBytes = 4 << 20 // of entries in a frame; a single one may be larger
	smallFrame = 256 << 10
)

var (
	errBehind  = errors.New("the follower is behind")
	errNoReply = errors.New("no answer in time")
)

// stream is what a group sends to one peer, and what is known of that peer's log.
//
// What always holds: requests, entries and bytes are what was sent and not answered, of frames whose connection is not broken. match is
// the newest entry that the peer is known to hold as this server had it in term; it never goes back within a term. Lock order: stream,
// then pipeline or coalescer.
type stream struct {
	g       *Group
	peer    *peer
	backing backing

	mu                       sync.Mutex
	requests, entries, bytes int
	waiting                  int
	freed                    chan struct{} // closed when there is more room and somebody waits for it

	term             uint64 // of the newest request
	match, matchTerm uint64 // index and term of that entry
	matchAt          time.Time
	told             uint64     // the newest commit index sent in this term
	pipe             *pipeline  // the newest one, while it is open
	due              *coalescer // who looks at this stream next
}

// cut says how many of entries make up the next frame.
func (s *stream) cut(c *conn, entries []*raft.Log) (n, bytes int) {
	limit := frameBytes
	if c.bytes.Load() > connBytes {
		limit = smallFrame
	}
	for n < len(entries) && n < maxEntries && (n == 0 || bytes+len(entries[n].Data) <= limit) {
		bytes += len(entries[n].Data)
		n++
	}
	return n, bytes
}

// reserve waits for room. There is always room for one frame.
func (s *stream) reserve(c *conn, entries, bytes int, wait time.Duration) error {
	var timer *time.Timer
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.requests > 0 && (s.requests >= windowRequests || s.entries+entries > windowEntries || s.bytes+bytes > windowBytes ||
		c.bytes.Load()+int64(bytes) > connBytes) {
		if timer == nil {
			timer = time.NewTimer(wait)
			defer timer.Stop()
		}
		freed := s.freed
		s.waiting++
		s.mu.Unlock()
		var err error
		select {
		case <-freed:
		case <-c.broken:
			err = c.err
		case <-s.g.done:
			err = ErrClosed
		case <-timer.C:
			err = fmt.Errorf("%w: no room for %v", errBehind, wait)
		}
		s.mu.Lock()
		s.waiting--
		if err != nil {
			return err
		}
	}
	s.requests++
	s.entries += entries
	s.bytes += bytes
	c.bytes.Add(int64(bytes))
	return nil
}

// sent is a frame of entries under way.
type sent struct {
	s              *stream
	c              *conn
	entries, bytes int
	head           head
	last, lastTerm uint64 // of the newest entry that the follower holds if it accepts
	mark           mark
	next           waiter
}

func (f *sent) done(o outcome) {
	s := f.s
	s.mu.Lock()
	s.requests--
	s.entries -= f.entries
	s.bytes -= f.bytes
	f.c.bytes.Add(-int64(f.bytes))
	if s.waiting > 0 {
		close(s.freed)
		s.freed = make(chan struct{})
	}
	moved := o.err == nil && o.code == codeOK && s.matched(f.head.term, f.last, f.lastTerm, f.mark)
	s.mu.Unlock()
	if moved {
		s.tellMatch(f.last)
	}
	f.next.done(o)
}

// send sends entries as one frame. next is told what becomes of it, unless an error is returned.
func (s *stream) send(c *conn, h head, entries []*raft.Log, bytes int, next waiter, wait time.Duration) error {
	if err := s.reserve(c, len(entries), bytes, wait); err != nil {
		return err
	}
	f := &sent{s: s, c: c, entries: len(entries), bytes: bytes, head: h, last: h.prevIndex, lastTerm: h.prevTerm, mark: s.backing.mark(), next: next}
	if n := len(entries); n > 0 {
		f.last, f.lastTerm = entries[n-1].Index, entries[n-1].Term
	}
	seq, err := c.register(f)
	if err != nil {
		f.next = nobody{}
		f.done(outcome{err: err})
		return err
	}
	h.seq = seq
	s.mu.Lock()
	s.saw(&h)
	s.mu.Unlock()
	c.out.add(func(b []byte) []byte { return encodeAppend(b, &h, entries) }, entries)
	return nil
}

// nobody waits for an answer.
type nobody struct{}

func (nobody) done(outcome) {}

// saw notes what a request under way says. s.mu is held.
func (s *stream) saw(h *head) {
	if h.term > s.term {
		s.term, s.match, s.matchTerm, s.told = h.term, 0, 0, 0
		raise(&s.g.ballot.led, h.term)
	}
	if h.term == s.term {
		s.told = max(s.told, h.commit)
	}
}

// matched notes that the peer holds the log up to an entry, by its answer to what was sent at a mark. It says whether that is news. s.mu is held.
func (s *stream) matched(term, index, entryTerm uint64, at mark) (moved bool) {
	if term != s.term {
		return false
	}
	s.matchAt = time.Now()
	if index > s.match {
		s.match, s.matchTerm, moved = index, entryTerm, true
	}
	if s.matchTerm == term {
		s.backing.acknowledged(term, at)
	}
	s.tell()
	return moved
}

// tellMatch tells whoever wants to know. s.mu is not held.
func (s *stream) tellMatch(index uint64) {
	if f := s.g.onMatch.Load(); f != nil {
		(*f)(s.peer.id, index)
	}
}

// tell has the peer told of a newer commit index before long, unless a request does so first. s.mu is held.
func (s *stream) tell() {
	if s.pipe != nil && min(s.g.commit.Load(), s.match) > s.told {
		s.mark()
	}
}

// beat sends an append without entries on a control connection, together with those of other groups.
func (s *stream) beat(c *conn, h head, next waiter) error {
	s.mu.Lock()
	s.saw(&h)
	s.mu.Unlock()
	return c.beats.beat(h, &beaten{s, h, s.backing.mark(), next})
}

// beaten is an append without entries under way.
type beaten struct {
	s    *stream
	head head
	mark mark
	next waiter
}

func (f *beaten) done(o outcome) {
	if o.err == nil && o.code == codeOK {
		f.s.mu.Lock()
		moved := f.s.matched(f.head.term, f.head.prevIndex, f.head.prevTerm, f.mark)
		f.s.mu.Unlock()
		if moved {
			f.s.tellMatch(f.head.prevIndex)
		}
	}
	f.next.done(o)
}

// mark has the coalescer of the control connection look at the stream. s.mu is held.
func (s *stream) mark() {
	c := s.peer.link(control).current()
	if c == nil || s.due == c.beats {
		return
	}
	s.due = c.beats
	c.beats.mark(s)
}

// look does what waits for a moment of quiet: it tells the peer a commit index that no request has told it since, up to what the
// peer is known to hold; and it ends a pipeline that stays behind.
func (s *stream) look(b *coalescer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due == b {
		s.due = nil
	}
	p := s.pipe
	if p == nil {
		return
	}
	if commit := min(s.g.commit.Load(), s.match); commit > s.told {
		h := head{group: s.g.id, term: s.term, prevIndex: s.match, prevTerm: s.matchTerm, commit: commit}
		s.saw(&h)
		_ = b.beat(h, nil) // nobody waits for the answer, so it cannot fail
	}
	if p.staysBehind() {
		s.mark()
	}
}
