package transport

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// world is a simulation of brokers with one group: pacts, ballots and backings are the real ones, around them are a Raft that has little
// but terms, votes and the last entry, a network that loses, delays and reorders, brokers that stand still, crash, close the group and open it
// again, and a clock that jumps from event to event.
type world struct {
	rng    *rand.Rand
	rules  rules
	now    time.Duration
	events events
	seq    int
	nodes  []*node
	cut    map[[2]raft.ServerID]bool
	calm   bool // no more faults

	elected          uint64 // the newest term in which somebody was
	winners          map[uint64]raft.ServerID
	elections, reads int
	fault            string
}

// rules are what keeps a deposed leader from answering. Without any one of them the simulation must find a fault.
type rules struct{ promises, notices, vouches, processStart bool }

var allRules = rules{true, true, true, true}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { o := *e; x := o[len(o)-1]; *e = o[:len(o)-1]; return x }

// node is a broker. What comes first is durable.
type node struct {
	w         *world
	id        raft.ServerID
	term      uint64
	vote      raft.ServerID
	lastTerm  uint64
	lastIndex uint64

	up      bool
	process int // goes up with each start
	open    int // goes up when the group is opened or closed; odd: it is open
	born    time.Duration
	paused  time.Duration // until then it does nothing
	deaf    time.Duration // until then it gets no appends
	pacts   *pacts
	ballot  *ballot
	voters  map[raft.ServerID]*backing

	leads, stands bool
	leader        raft.ServerID // as Raft knows it
	votes         map[raft.ServerID]bool
	holds         map[raft.ServerID]bool // who holds an entry of the leader's term
	serves        bool
	silent        uint64 // it has begun to hand over in this term
}

func newWorld(seed uint64, n int, r rules) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), rules: r, cut: map[[2]raft.ServerID]bool{}, winners: map[uint64]raft.ServerID{}}
	for i := range n {
		nd := &node{w: w, id: raft.ServerID(strconv.Itoa(i + 1)), term: 1}
		w.nodes = append(w.nodes, nd)
		w.at(w.dur(0, 300), nd.start)
	}
	w.at(w.dur(100, 1000), w.call)
	w.at(w.dur(1000, 2000), w.trouble)
	return w
}

func (w *world) dur(from, to int) time.Duration {
	return time.Duration(from)*time.Millisecond + time.Duration(w.rng.Int64N(int64(to-from)*int64(time.Millisecond)))
}

func (w *world) at(after time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + after, w.seq, do})
}

// run runs until a time, or a fault.
func (w *world) run(until time.Duration) {
	for w.fault == "" && len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
		w.check()
	}
	w.now = until
}

// check is the point of it all: nobody answers after another was elected in a later term.
func (w *world) check() {
	for _, n := range w.nodes {
		if !n.up || n.paused > w.now || !n.serves || !n.leased() {
			continue
		}
		if w.reads++; w.elected > n.term {
			w.fault = fmt.Sprintf("at %v %s answers in term %d, %s was elected in term %d", w.now, n.id, n.term, w.winners[w.elected], w.elected)
		}
	}
}

func (n *node) time() time.Duration { return n.w.now - n.born }

// leased is Group.Leased.
func (n *node) leased() bool {
	backing := 1
	for _, b := range n.voters {
		since := n.time() - leaseFor
		if b.counts(n.term, since) || !n.w.rules.vouches && time.Duration(b.pact.answered.Load()) >= since {
			backing++
		}
	}
	return backing > len(n.w.nodes)/2 && n.term >= n.ballot.against.Load()
}

// soon does something on this node, where its process still runs then.
func (n *node) soon(after time.Duration, do func()) {
	process := n.process
	n.w.at(after, func() {
		if n.up && n.process == process {
			if n.paused > n.w.now {
				n.soon(n.paused-n.w.now+time.Microsecond, do)
				return
			}
			do()
		}
	})
}

// inGroup is soon, where the group has not been closed meanwhile.
func (n *node) inGroup(after time.Duration, do func()) {
	open := n.open
	n.soon(after, func() {
		if n.open == open && open%2 == 1 {
			do()
		}
	})
}

// send has to do something, if the network lets it through.
func (n *node) send(to *node, do func()) {
	if to.up && !n.w.cut[[2]raft.ServerID{n.id, to.id}] {
		delay := n.w.dur(0, 30)
		if n.w.rng.IntN(20) == 0 {
			delay = n.w.dur(0, 2000)
		}
		to.soon(delay, do)
	}
}

func (n *node) others(do func(*node)) {
	for _, o := range n.w.nodes {
		if o != n {
			do(o)
		}
	}
}

func (n *node) start() {
	if n.up {
		return
	}
	n.up, n.paused, n.born, n.open = true, 0, n.w.now, n.open&^1
	n.process++
	n.pacts = newPacts(n.w.rng.Uint64())
	n.join()
	n.soon(0, n.ping)
}

func (n *node) crash() {
	n.down()
	n.up = false
}

// down forgets what Raft does not keep.
func (n *node) down() { n.leads, n.stands, n.serves, n.leader = false, false, false, "" }

func (n *node) join() {
	n.open++
	n.down()
	n.ballot = &ballot{group: testGroup, fresh: func() bool { return n.lastIndex == 0 || !n.w.rules.processStart }}
	n.pacts.join(n.ballot)
	n.voters = map[raft.ServerID]*backing{}
	n.others(func(o *node) { n.voters[o.id] = &backing{pact: n.pacts.of(o.id)} })
	n.inGroup(0, n.heartbeat)
}

func (n *node) leave() {
	n.down()
	n.open++
	n.pacts.leave(n.ballot, n.time())
}

// ping is what the detector does, and pulse.
func (n *node) ping() {
	n.others(func(o *node) {
		at, b := n.time(), n.pacts.bulletin(n.pacts.of(o.id))
		n.send(o, func() {
			if !o.read(n.id, &b) {
				answer := o.pacts.answer(o.pacts.of(n.id), o.time())
				o.send(n, func() {
					if p := n.pacts.of(o.id); !n.read(o.id, &answer) && answer.whole && at <= n.time() {
						p.answered.Store(max(p.answered.Load(), int64(at)))
					}
				})
			}
		})
	})
	n.soon(n.w.dur(150, 250), n.ping)
}

func (n *node) read(from raft.ServerID, b *bulletin) (stale bool) {
	news, stale := n.pacts.read(n.pacts.of(from), b)
	for i := range news {
		if n.open%2 == 1 && n.w.rules.notices {
			n.pacts.heed(&news[i], from, n.ballot, n.voters[from])
		}
	}
	return stale
}

// await is Group.await.
func (n *node) await(e func() election, then func()) {
	if d := n.pacts.bound(n.ballot, e(), n.time()); d > 0 && n.w.rules.promises {
		n.inGroup(d, func() {
			if n.pacts.bound(n.ballot, e(), n.time()) == 0 {
				then()
			}
		})
		return
	}
	then()
}

// helps is pacts.helps, and without promises what is left of it.
func (n *node) helps(e election) bool {
	if !n.w.rules.promises {
		e.over = 1 << 60
		n.ballot.shut = 0
	}
	return n.pacts.helps(n.ballot, e, n.time()) || !n.w.rules.promises
}

// inTerm takes a newer term, and follows.
func (n *node) inTerm(term uint64) {
	if led := n.term; n.leads {
		n.down()
		if n.w.rng.IntN(4) > 0 { // else what Raft answers must do
			n.inGroup(n.w.dur(0, 100), func() { n.pacts.resigns(n.ballot, led) })
		}
	}
	n.stands, n.leader = false, ""
	if term > n.term {
		n.term, n.vote = term, ""
	}
}

// campaign is what Raft does when it is told to stand.
func (n *node) campaign() {
	n.inTerm(n.term + 1)
	n.stands, n.vote, n.votes = true, n.id, map[raft.ServerID]bool{n.id: true}
	term, lastTerm, lastIndex := n.term, n.lastTerm, n.lastIndex
	n.others(func(o *node) {
		e := n.pacts.stands(n.ballot, n.id, term)
		ask := func() { n.send(o, func() { o.asked(n, e, lastTerm, lastIndex) }) }
		if k := n.ballot.known.Load(); k != nil && k.id == o.id {
			n.inGroup(n.w.dur(0, 5), ask)
			return
		}
		n.await(func() election { return e }, func() {
			if n.helps(e) {
				ask()
			}
		})
	})
}

// asked is a request for a vote: may it go to Raft, what does Raft say, may that go out.
func (n *node) asked(by *node, e election, lastTerm, lastIndex uint64) {
	if n.open%2 == 0 {
		return
	}
	n.await(func() election { return e }, func() {
		n.inGroup(n.w.dur(0, 20), func() {
			if e.term > n.term {
				n.inTerm(e.term)
			}
			granted := e.term == n.term && (n.vote == "" || n.vote == e.candidate) &&
				(lastTerm > n.lastTerm || lastTerm == n.lastTerm && lastIndex >= n.lastIndex)
			if granted {
				n.vote = e.candidate
			}
			term := n.term
			n.inGroup(n.w.dur(0, 20), func() {
				granted = granted && n.helps(e)
				if led := n.ballot.led.Load(); term > led {
					n.pacts.resigns(n.ballot, led)
				}
				n.send(by, func() { by.voted(n.id, e, term, granted) })
			})
		})
	})
}

func (n *node) voted(by raft.ServerID, e election, term uint64, granted bool) {
	if n.open%2 == 0 {
		return
	}
	n.pacts.isNoLeader(n.ballot, by, term-1)
	if term > n.term {
		n.inTerm(term)
	}
	if !n.stands || n.term != e.term || !granted {
		return
	}
	if n.votes[by] = true; len(n.votes) > len(n.w.nodes)/2 {
		n.stands, n.leads, n.leader, n.holds = false, true, n.id, map[raft.ServerID]bool{n.id: true}
		n.lastTerm, n.lastIndex = n.term, n.lastIndex+1
		raise(&n.ballot.led, n.term)
		n.w.elections++
		if other := n.w.winners[n.term]; other != "" {
			n.w.fault = fmt.Sprintf("%s and %s both won term %d", other, n.id, n.term)
		}
		n.w.winners[n.term] = n.id
		n.w.elected = max(n.w.elected, n.term)
	}
}

// heartbeat has a leader send appends: with all of its log, or without anything.
func (n *node) heartbeat() {
	if n.leads {
		n.others(func(o *node) {
			term, lastTerm, lastIndex, mark, empty := n.term, n.lastTerm, n.lastIndex, n.voters[o.id].mark(), n.w.rng.IntN(3) == 0
			n.send(o, func() { o.appended(n, term, lastTerm, lastIndex, empty, mark) })
		})
	}
	n.inGroup(n.w.dur(50, 300), n.heartbeat)
}

func (n *node) appended(by *node, term, lastTerm, lastIndex uint64, empty bool, at mark) {
	if n.open%2 == 0 || n.w.now < n.deaf {
		return
	}
	if term >= n.term {
		n.inTerm(term)
		n.leader = by.id
		if !empty {
			n.lastTerm, n.lastIndex = lastTerm, max(lastIndex, n.lastIndex) // what a late append may not take back
		}
	}
	now := n.term
	n.inGroup(n.w.dur(0, 20), func() {
		if now == term {
			now = max(now, n.pacts.follows(n.ballot, by.id, n.pacts.of(by.id), term))
		}
		n.send(by, func() { by.acknowledged(n.id, term, now, empty, at) })
	})
}

func (n *node) acknowledged(by raft.ServerID, term, now uint64, empty bool, at mark) {
	if n.open%2 == 0 {
		return
	}
	if now > n.term {
		n.inTerm(now)
	}
	if !n.leads || n.term != term || now != term {
		return
	}
	if !empty {
		n.holds[by] = true
	}
	if n.holds[by] {
		n.voters[by].acknowledged(term, at)
	}
	n.serves = len(n.holds) > len(n.w.nodes)/2 && n.silent != n.term
}
