package transport

import (
	"bytes"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// incoming is a request from another broker.
type incoming struct {
	c        *conn // nil: it is this broker's own
	head     head  // of a request that is no append: group and seq only
	what     byte  // 0: an append
	command  any
	data     []byte   // of a snapshot
	election election // of a request for a vote, or to stand
	first    any      // goes to Raft before command
	bytes    int
	beat     bool        // it came with others, and so goes the answer
	merged   []*incoming // appends that were made part of this one
}

// respond sends what Raft has answered, in the order of the requests. A checkpoint that was refused is to be pulled first, which is
// waited for.
func (r *incoming) respond(resp raft.RPCResponse) {
	switch {
	case r.what == 0:
		r.answer(answerTo(r.head.seq, resp))
	case resp.Error == nil:
		r.reply(codeOK, encodeResponse(resp.Response))
	case r.what == askInstall:
		r.c.t.hold(r, codeFailed, resp.Error.Error())
	default:
		r.reply(codeFailed, []byte(resp.Error.Error()))
	}
	for _, m := range r.merged {
		m.respond(resp)
	}
}

// absent answers for a group that is not open. What its leader would ask again at once waits for that.
func (r *incoming) absent() {
	for _, m := range r.merged {
		m.absent()
	}
	if r.what == 0 || r.what == askInstall {
		r.c.t.hold(r, codeNotHere, "")
	} else {
		r.reply(codeNotHere, nil)
	}
}

func (r *incoming) refuse(code byte, why string) {
	if r.what == 0 {
		r.answer(answer{seq: r.head.seq, code: code})
	} else {
		r.reply(code, []byte(why))
	}
}

func (r *incoming) answer(a answer) {
	switch {
	case a.seq == 0: // nobody waits for it
	case r.beat:
		r.c.beats.answer(a)
	default:
		r.c.out.answers(a)
	}
}

// maxReason bounds what is told of a failure.
const maxReason = 1 << 10

func (r *incoming) reply(code byte, body []byte) {
	if r.c == nil {
		return
	}
	body = body[:min(len(body), maxReason)]
	r.c.out.add(func(b []byte) []byte { return encodeReply(b, r.head.seq, code, body) }, nil)
}

// queue is what waits for a group's Raft: appends with entries in one, the rest in another, so that a vote waits for one store at most.
// While there is something in it, one goroutine hands it over.
type queue struct {
	mu      sync.Mutex
	items   []*incoming
	bytes   int
	serving bool
}

// push puts a request into the group's queue. It never waits. A sender keeps to its window, twice of which may be here when a leader
// follows on another.
func (g *Group) push(r *incoming) {
	q := &g.control
	if r.what == 0 && !r.beat {
		q = &g.data
	}
	q.mu.Lock()
	full := len(q.items) >= 2*windowRequests || q.bytes > 2*windowBytes
	if !full {
		q.items = append(q.items, r)
		q.bytes += r.bytes
		if !q.serving {
			q.serving = g.t.start(func() { g.serve(q) })
		}
	}
	q.mu.Unlock()
	if full {
		if r.c == nil {
			g.calling.Store(false)
		}
		r.refuse(codeBusy, "")
	}
}

func (g *Group) serve(q *queue) {
	for {
		r := q.take()
		if r == nil {
			return
		}
		g.hand(r)
	}
}

// take takes out the next request, and makes appends that follow on it part of it: they cost one store.
func (q *queue) take() *incoming {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		q.items, q.serving = nil, false
		return nil
	}
	r, n := q.items[0], 1
	bytes := r.bytes
	for n < len(q.items) && bytes+q.items[n].bytes <= frameBytes && r.merge(q.items[n]) {
		bytes += q.items[n].bytes
		n++
	}
	clear(q.items[:n])
	q.items = q.items[n:]
	q.bytes -= bytes
	return r
}

// merge makes next part of r if it follows on its entries, of the same leader in the same term.
func (r *incoming) merge(next *incoming) bool {
	a, ok := r.command.(*raft.AppendEntriesRequest)
	b, okToo := next.command.(*raft.AppendEntriesRequest)
	if !ok || !okToo || a.Term != b.Term || !bytes.Equal(a.ID, b.ID) || len(a.Entries) == 0 || len(b.Entries) == 0 ||
		len(a.Entries)+len(b.Entries) > maxEntries {
		return false
	}
	last := a.Entries[len(a.Entries)-1]
	if b.PrevLogEntry != last.Index || b.PrevLogTerm != last.Term {
		return false
	}
	a.Entries = append(a.Entries, b.Entries...)
	a.LeaderCommitIndex = max(a.LeaderCommitIndex, b.LeaderCommitIndex)
	r.merged = append(r.merged, next)
	return true
}

// hand gives a request to Raft, if it may, and answers.
func (g *Group) hand(r *incoming) {
	if r.c == nil {
		defer g.calling.Store(false)
	}
	if !g.admits(r) {
		return
	}
	if r.first != nil {
		g.give(raft.RPC{Command: r.first}, func(raft.RPCResponse) {}, func() {})
	}
	rpc := raft.RPC{Command: r.command}
	if r.what == askInstall {
		rpc.Reader = bytes.NewReader(r.data)
	}
	g.give(rpc, func(a raft.RPCResponse) {
		g.settles(r, &a)
		r.respond(a)
	}, r.absent)
}

// give waits until Raft has answered; closed is called where the group is closed before.
func (g *Group) give(rpc raft.RPC, answered func(raft.RPCResponse), closed func()) {
	resp := make(chan raft.RPCResponse, 1)
	rpc.RespChan = resp
	select {
	case g.rpcs <- rpc:
	case <-g.done:
		closed()
		return
	case <-g.t.ctx.Done():
		return
	}
	select {
	case a := <-resp:
		answered(a)
	case <-g.done:
		closed()
	case <-g.t.ctx.Done():
	}
}

// maxHeld bounds the refusals held for a group: what its peers may have under way, and some.
const maxHeld = 4 * windowRequests

// A few small appends are kept for a group that is opened late, as those of a fresh group's first leader.
const (
	keptAppends = 8
	keptBytes   = 4 << 10
)

// held are requests that wait until their group is opened, or opened again, but not for ever: every failure doubles the time after which
// Raft tries again, up to 10 s, and after a single one a leader without news waits for CommitTimeout. The group is given kept; refusals are sent.
type held struct {
	kept     []*incoming
	refusals []func()
	timer    *time.Timer
}

// keeps says whether r may wait with its entries. What merge has made of it is not what it was sent as.
func (h *held) keeps(r *incoming) bool {
	return r.what == 0 && r.bytes <= keptBytes && len(r.merged) == 0 && len(h.kept) < keptAppends
}

// take is called by the readers.
func (t *Transport) take(r *incoming) {
	t.mu.Lock()
	g := t.groups[r.head.group]
	t.mu.Unlock()
	if g == nil {
		r.absent()
		return
	}
	g.push(r)
}

// hold refuses r after a while.
func (t *Transport) hold(r *incoming, code byte, why string) {
	refuse := func() { r.refuse(code, why) }
	t.mu.Lock()
	defer t.mu.Unlock()
	id := r.head.group
	h := t.held[id]
	if h == nil {
		h = &held{}
		h.timer = time.AfterFunc(t.o.Hold, func() { t.release(id, h, nil) })
		t.held[id] = h
	}
	if h.keeps(r) {
		h.kept = append(h.kept, r)
		return
	}
	r.command, r.data = nil, nil // let go of the entries
	if len(h.refusals) >= maxHeld {
		defer refuse()
		return
	}
	h.refusals = append(h.refusals, refuse)
}

// release gives g, which was opened, what was kept for it, and sends the refusals of h, if they are still there. g is nil: it was not opened in time.
func (t *Transport) release(id GroupID, h *held, g *Group) {
	t.mu.Lock()
	if h == nil || t.held[id] != h {
		t.mu.Unlock()
		return
	}
	delete(t.held, id)
	h.timer.Stop()
	t.mu.Unlock()
	for _, r := range h.kept {
		if g != nil {
			g.push(r)
		} else {
			r.refuse(codeNotHere, "")
		}
	}
	for _, refuse := range h.refusals {
		refuse()
	}
}
