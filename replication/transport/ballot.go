package transport

import (
	"maps"
	"math"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// leader is whom a group is known to have.
type leader struct {
	id   raft.ServerID
	term uint64
	life uint64 // of that broker: another process of it has no leaderships of this one
}

// ballot is a group's part in the pacts.
//
// What always holds: while known is set, this broker has acknowledged an append of that leader in that term, and has not helped anybody to
// be elected in a later one. It is written with pacts.mu held, as is the rest but for what is atomic.
type ballot struct {
	group GroupID
	free  bool          // nobody asks for a lease on the group (the controller's): no promise binds it
	fresh func() bool   // the log holds nothing but its bootstrap; nil: it may hold more
	shut  time.Duration // until then it helps nobody

	known    atomic.Pointer[leader]
	voted    uint64        // the newest term in which this broker has helped to elect
	transfer uint64        // the term in which this broker may stand by the will of the leader before
	over     uint64        // no leader of a term up to this leads any more, by his own word
	led      atomic.Uint64 // the newest term in which this broker has sent something as leader
	silent   atomic.Uint64 // the newest term in which this broker has led and stopped to answer for good, to hand over
	against  atomic.Uint64 // the newest term in which a voter is known to have helped another
}

// join begins a group's part. What it may have promised in an earlier part, which it has forgotten, it keeps.
func (ps *pacts) join(b *ballot) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	b.shut = 0
	if at, ok := ps.closed[b.group]; ok {
		b.shut = at + promiseFor
		delete(ps.closed, b.group)
	}
}

// leave ends a group's part. Whoever leads it must not count on this broker any more, and whoever takes this broker for its leader is free.
func (ps *pacts) leave(b *ballot, now time.Duration) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if b.free {
		return
	}
	ps.resign(b, b.led.Load())
	b.opposes(math.MaxUint64) // nobody backs what is closed
	k := ps.leader(b)
	if k == nil {
		return
	}
	ps.tell(ps.peer(k.id), left, b.group, k.term)
	if len(ps.closed) >= maxWaiting {
		maps.DeleteFunc(ps.closed, func(_ GroupID, at time.Duration) bool { return now >= at+promiseFor })
	}
	ps.closed[b.group] = now
}

// leader is whom the group is known to have, if he may still be that.
func (ps *pacts) leader(b *ballot) *leader {
	if k := b.known.Load(); k != nil && k.life == ps.peer(k.id).life.Load() {
		return k
	}
	return nil
}

// election is one in which a broker stands.
type election struct {
	candidate raft.ServerID
	term      uint64
	transfer  bool   // it has been told to by the leader of the term before
	over      uint64 // whoever has led in a term up to this has said that he does not any more
}

// bound is how long this broker must not help a candidate to be elected, as far as is known by now; 0: it may.
func (ps *pacts) bound(b *ballot, e election, now time.Duration) time.Duration {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.bond(b, e, now)
}

func (ps *pacts) bond(b *ballot, e election, now time.Duration) time.Duration {
	if b.free {
		return 0
	}
	until := b.shut // what was promised and forgotten binds too, as it may have been to the leader that is known by now
	if now < promiseFor && (b.fresh == nil || !b.fresh()) {
		until = promiseFor
	}
	if k := ps.leader(b); k != nil {
		if k.id == e.candidate || k.term <= e.over || e.transfer && e.term == k.term+1 {
			return 0
		}
		until = max(until, ps.peer(k.id).promised)
	}
	return max(0, until-now)
}

// helps has this broker help a candidate to be elected, be it itself, unless it is bound: then nothing changes.
func (ps *pacts) helps(b *ballot, e election, now time.Duration) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if b.free {
		return true
	}
	if ps.bond(b, e, now) > 0 {
		return false
	}
	if k := b.known.Load(); k != nil && k.term < e.term { // else it is the election that this leader has won, or an older one
		b.known.Store(nil)
	}
	b.voted = max(b.voted, e.term)
	b.opposes(e.term)
	for id, p := range ps.peers {
		if id != e.candidate {
			ps.tell(p, deserted, b.group, e.term)
		}
	}
	return true
}

// follows notes that this broker is about to acknowledge an append of a leader. p is its pact. If it has gone on to a later term since Raft took the
// append, it must not acknowledge it any more, for the leader would count on a promise that was not made; later is that term, else 0.
func (ps *pacts) follows(b *ballot, id raft.ServerID, p *pact, term uint64) (later uint64) {
	if k := b.known.Load(); b.free || k != nil && k.id == id && k.term == term && k.life == p.life.Load() {
		return 0
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	later = b.voted
	if k := ps.leader(b); k != nil {
		later = max(later, k.term)
	}
	if term < later {
		return later
	}
	if term <= p.quits[b.group] {
		return 0 // it has resigned since it sent the append: it counts on nobody, and nothing would free this broker of it
	}
	b.known.Store(&leader{id, term, p.life.Load()})
	return 0
}

// called notes that a broker has asked this one to stand for election, having stopped to answer in term. Only where that is the group's leader
// in that very term, the promise to it does not count: what it has asked for in an earlier one comes late.
func (ps *pacts) called(b *ballot, by raft.ServerID, term uint64) (transfer bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	k := ps.leader(b)
	if k == nil || k.id != by || k.term != term {
		return false
	}
	b.transfer = k.term + 1
	return true
}

// stands is the election in which this broker stands in term; 0: the next one.
func (ps *pacts) stands(b *ballot, self raft.ServerID, term uint64) election {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return election{candidate: self, term: term, transfer: term > 0 && b.transfer == term, over: b.over}
}

// isOver notes that whoever has led in a term up to this has said that he does not any more.
func (ps *pacts) isOver(b *ballot, term uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	b.over = max(b.over, term)
}

// resigns tells all peers that this broker no longer leads the group in term.
func (ps *pacts) resigns(b *ballot, term uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.resign(b, term)
}

func (ps *pacts) resign(b *ballot, term uint64) {
	if term == 0 || b.free {
		return
	}
	for _, p := range ps.peers {
		ps.tell(p, resigned, b.group, term)
	}
}

// isNoLeader notes that a broker does not lead the group in term, or a lower one.
func (ps *pacts) isNoLeader(b *ballot, id raft.ServerID, term uint64) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if k := b.known.Load(); k != nil && k.id == id && k.term <= term {
		b.known.Store(nil)
	}
}

// heed does what a peer's notice of the group asks for.
func (ps *pacts) heed(n *notice, from raft.ServerID, b *ballot, of *backing) {
	switch n.kind {
	case deserted:
		b.opposes(n.term)
	case left:
		of.lefts.Add(1)
	case resigned:
		ps.isNoLeader(b, from, n.term)
	}
}

// opposes notes that a voter has helped another to be elected in term.
func (b *ballot) opposes(term uint64) { raise(&b.against, term) }

// raise makes v at least to.
func raise(v *atomic.Uint64, to uint64) {
	for old := v.Load(); to > old && !v.CompareAndSwap(old, to); old = v.Load() {
	}
}

// backing is what the leader of a group knows of one voter: whether it may be counted.
type backing struct {
	pact  *pact
	lefts atomic.Uint64 // how often the peer has told that it has closed the group
	vouch atomic.Pointer[vouch]
}

// vouch says that the peer knows this broker as the leader in term, and holds an entry of it.
type vouch struct {
	term uint64
	mark mark
}

// mark is the time at which something was sent: what is acknowledged later counts unless the peer may have forgotten it.
type mark struct{ session, lefts uint64 }

func (b *backing) mark() mark { return mark{b.pact.session.Load(), b.lefts.Load()} }

// acknowledged notes that what was sent at that mark has been acknowledged, in term, by a peer that holds an entry of that term.
func (b *backing) acknowledged(term uint64, at mark) {
	if v := b.vouch.Load(); at.session != 0 && (v == nil || v.term != term || v.mark != at) {
		b.vouch.Store(&vouch{term, at})
	}
}

// counts says whether the peer backs a leader in term, by a ping that was sent at since or later.
func (b *backing) counts(term uint64, since time.Duration) bool {
	if time.Duration(b.pact.answered.Load()) < since { // first: what was told with that answer is known by now
		return false
	}
	v := b.vouch.Load()
	return v != nil && v.term == term && v.mark == b.mark()
}
