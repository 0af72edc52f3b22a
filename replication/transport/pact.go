package transport

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// How a deposed leader is kept from answering: a leader answers only while no other can have been elected, and knows that by pings.
//
//   - A voter that answers a leader's ping promises it for promiseFor not to help anybody else to be elected in the groups that it knows the
//     leader to lead (bound). The leader may count on that for leaseFor after it has sent the ping, which is shorter.
//   - A voter that does help another tells it to all peers, with its next answers to their pings (desert): the leader reads that before it counts
//     the answer.
//   - A leader counts a voter only where that one knows it as the leader: once it has acknowledged an append in this term, and holds an entry
//     of this term, in the life of its process that the leader pings (backing). What a voter forgets when it closes a group it tells in the
//     same way; a process forgets all, and for promiseFor after its start it keeps to whatever it may have promised.
//
// So if a majority backs the leader of a term, and another majority elects one in a later term, some voter is in both. Either it voted before
// its answer, and the leader has read so; or after it, and then the promise held; or it voted before it acknowledged the leader, which Raft does
// not let it do. A leader that hands over has stopped answering for good in its term before (see transfer).
//
// Here is the logic, without I/O or clock: times are since the process began.

const (
	promiseFor = time.Second
	leaseFor   = 600 * time.Millisecond
)

const never = time.Duration(math.MinInt64)

// noticeKind is what a broker tells another with its pings and its answers.
type noticeKind byte

const (
	deserted noticeKind = iota + 1 // it has voted for another leader of the group, in term
	left                           // it has closed the group, and forgotten that the other leads it
	resigned                       // it no longer leads the group in term, and answers nothing
)

type notice struct {
	number uint64 // they go up in a list
	kind   noticeKind
	group  GroupID
	term   uint64
}

type noticeKey struct {
	kind  noticeKind
	group GroupID
}

const (
	maxNotices = 4 << 10  // in a bulletin
	maxWaiting = 16 << 10 // for a peer that does not confirm them: then the list begins anew
)

// bulletin is what a broker tells a peer with each ping and each answer.
type bulletin struct {
	process, list    uint64 // of the sender: its process, and its list of notices for the receiver
	ackProcess       uint64 // whose list it has read, and how far
	ackList, ackedTo uint64
	upTo             uint64 // the list is told up to this number
	whole            bool   // and that is its end
	notices          []notice
}

// pacts are this process's agreements with all peers.
type pacts struct {
	process uint64 // a random number

	mu     sync.Mutex
	lists  uint64 // how many were begun
	peers  map[raft.ServerID]*pact
	closed map[GroupID]time.Duration // groups that were closed with a leader known, and when
}

// pact is the agreement with one peer. What is atomic is read without a lock, the rest belongs to whoever holds pacts.mu.
type pact struct {
	handling sync.Mutex // held while a bulletin is handled: what it tells counts before the answer does, on whatever connection they come

	promised time.Duration // nothing is done against the peer's leaderships until then
	life     atomic.Uint64 // how many processes of the peer have been seen

	// What this broker tells the peer. Several notices of a kind and group: the newest counts.
	list, last uint64
	waiting    []notice
	newest     map[noticeKey]uint64

	// What the peer tells.
	process, theirList, got uint64
	former                  []uint64           // its former processes
	quits                   map[GroupID]uint64 // the newest terms in which it has resigned: what it had sent before may come later

	session  atomic.Uint64 // goes up when the peer may have forgotten what it had acknowledged; 0: it has not been heard of
	answered atomic.Int64  // when the newest ping was sent that it has answered, as a time.Duration
	heard    atomic.Int64  // when its last answer came
}

func newPacts(process uint64) *pacts {
	return &pacts{process: process, peers: map[raft.ServerID]*pact{}, closed: map[GroupID]time.Duration{}}
}

func (ps *pacts) of(id raft.ServerID) *pact {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.peer(id)
}

func (ps *pacts) peer(id raft.ServerID) *pact {
	p := ps.peers[id]
	if p == nil {
		p = &pact{}
		p.answered.Store(int64(never))
		p.heard.Store(int64(never))
		ps.begin(p)
		ps.peers[id] = p
	}
	return p
}

// begin begins a list for a peer. It notices that it is another, and takes for forgotten what this broker had acknowledged.
func (ps *pacts) begin(p *pact) {
	ps.lists++
	p.list, p.last, p.waiting, p.newest = ps.lists, 0, nil, map[noticeKey]uint64{}
}

// tell puts a notice into the peer's list.
func (ps *pacts) tell(p *pact, kind noticeKind, group GroupID, term uint64) {
	key := noticeKey{kind, group}
	if n := len(p.waiting); n > 0 && p.waiting[n-1].kind == kind && p.waiting[n-1].group == group && p.waiting[n-1].term == term {
		return
	}
	if p.newest[key] == 0 && len(p.newest) >= maxWaiting {
		ps.begin(p)
	}
	p.last++
	p.waiting = append(p.waiting, notice{p.last, kind, group, term})
	p.newest[key] = p.last
	if len(p.waiting) > 2*len(p.newest)+64 {
		p.waiting = slices.DeleteFunc(p.waiting, func(n notice) bool { return p.newest[noticeKey{n.kind, n.group}] != n.number })
	}
}

// bulletin is what a peer is told next.
func (ps *pacts) bulletin(p *pact) bulletin {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.write(p)
}

func (ps *pacts) write(p *pact) bulletin {
	b := bulletin{
		process: ps.process, list: p.list, ackProcess: p.process, ackList: p.theirList, ackedTo: p.got, upTo: p.last, whole: true,
	}
	for _, n := range p.waiting {
		if p.newest[noticeKey{n.kind, n.group}] != n.number {
			continue
		}
		if len(b.notices) == maxNotices {
			b.upTo, b.whole = b.notices[maxNotices-1].number, false
			break
		}
		b.notices = append(b.notices, n)
	}
	return b
}

// answer is what a peer is told that has sent a ping: with it goes the promise.
func (ps *pacts) answer(p *pact, now time.Duration) bulletin {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.promised = now + promiseFor
	return ps.write(p)
}

func (ps *pacts) promised(leader raft.ServerID, now time.Duration) time.Duration {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return max(0, ps.peer(leader).promised-now)
}

// read takes a peer's bulletin. news are its notices that have not been read before; an older bulletin than one that was read is stale, and
// tells nothing. p.handling is held.
func (ps *pacts) read(p *pact, b *bulletin) (news []notice, stale bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch {
	case b.process != p.process && slices.Contains(p.former, b.process), b.process == p.process && b.list < p.theirList:
		return nil, true
	case b.process != p.process:
		if p.former = append(p.former, p.process); len(p.former) > maxFormer {
			p.former = p.former[1:]
		}
		p.life.Add(1)
		p.process, p.theirList, p.got, p.quits = b.process, b.list, 0, nil
		p.session.Add(1)
	case b.list > p.theirList:
		p.theirList, p.got = b.list, 0
		p.session.Add(1)
	}
	for _, n := range b.notices {
		if n.number > p.got {
			news = append(news, n)
			if n.kind == resigned {
				p.quit(n.group, n.term)
			}
		}
	}
	p.got = max(p.got, b.upTo)
	if b.ackProcess == ps.process && b.ackList == p.list {
		ps.confirmed(p, b.ackedTo)
	}
	return news, false
}

// quit notes that the peer no longer leads a group in term.
func (p *pact) quit(group GroupID, term uint64) {
	if p.quits == nil || len(p.quits) >= maxWaiting { // what is forgotten costs a follower a promise to who leads no more
		p.quits = map[GroupID]uint64{}
	}
	p.quits[group] = max(p.quits[group], term)
}

// maxFormer is of how many former processes of a peer late bulletins are known as such.
const maxFormer = 16

// confirmed lets go of notices that the peer has read.
func (ps *pacts) confirmed(p *pact, upTo uint64) {
	n := 0
	for n < len(p.waiting) && p.waiting[n].number <= upTo {
		w := p.waiting[n]
		if key := (noticeKey{w.kind, w.group}); p.newest[key] == w.number {
			delete(p.newest, key)
		}
		n++
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
}
