package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// sim is a cluster of brokers with the elector's core and a model of Raft each, in a time of its own: one goroutine, one seed, one run.
// The model has what matters here of the library and of the transport: a candidate that does not win is stuck in its term, votes are
// refused to whom they are promised away from, leaders without a majority step down after some seconds, and nobody stands by himself.
type sim struct {
	rng     *rand.Rand
	now     time.Duration
	brokers []*simBroker
	voters  []ServerID
	mail    []simMail
	cut     map[[2]int]bool
	slow    time.Duration // the longest a message takes
	lost    int           // messages in a hundred
	elected int           // orders that were obeyed
	fault   string
}

type simMail struct {
	at      time.Duration
	from    int
	to      int
	life    int // of the receiver: what is under way to one that dies is lost
	deliver func(*simBroker)
}

type simBroker struct {
	s       *sim
	n       int
	id      ServerID
	up      bool
	life    int
	core    *core
	paused  bool
	waiting []func(*simBroker) // what came while it was paused

	answered map[int]time.Duration // when a peer last answered a ping
	leased   map[int]time.Duration // when the newest ping that it has answered was sent
	lives    map[int]int           // which life of it answered that
	deserted map[ID]uint64         // the newest terms in which this process gave its vote
	promised map[int]time.Duration // until when
	begun    time.Duration
	claims   map[ID]map[int]uint64 // leads that others have told of
	groups   map[ID]*simGroup
	order    []*simGroup // the same, in order: runs of one seed are equal
}

type simGroup struct {
	b                   *simBroker
	id                  ID
	state               State
	serves              bool
	leader              int // -1: nobody
	leaderTerm          uint64
	term                uint64
	voted               uint64 // the last term in which it voted
	lastTerm, lastIndex uint64
	votes               map[int]bool
	acks                map[int]int           // as leader: in which life a follower has taken an entry of this term
	heard               map[int]time.Duration // as leader: when a follower last answered
	ledAt               time.Duration
	fresh               bool
}

var simEpoch = time.Unix(1_000_000, 0)

func (s *sim) time() time.Time { return simEpoch.Add(s.now) }

func newSim(seed uint64, brokers, groups int) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]int]bool{}, slow: 3 * time.Millisecond}
	for n := range brokers {
		b := &simBroker{s: s, n: n, id: serverID(n + 1), groups: map[ID]*simGroup{}}
		for i := range groups {
			id := group(i)
			b.groups[id] = &simGroup{b: b, id: id, leader: -1, term: 1, voted: 1, lastTerm: 1, lastIndex: 1, fresh: true}
			b.order = append(b.order, b.groups[id])
		}
		s.brokers, s.voters = append(s.brokers, b), append(s.voters, b.id)
	}
	for _, b := range s.brokers {
		b.start()
	}
	return s
}

func (s *sim) send(from, to int, deliver func(*simBroker)) {
	if s.cut[[2]int{from, to}] || s.rng.IntN(100) < s.lost {
		return
	}
	at := s.now + time.Duration(s.rng.Int64N(int64(s.slow)))
	s.mail = append(s.mail, simMail{at, from, to, s.brokers[to].life, deliver})
}

const simStep = 5 * time.Millisecond

// run lets time go on, a step at a time.
func (s *sim) run(d time.Duration) {
	for end := s.now + d; s.now < end && s.fault == ""; s.now += simStep {
		now := s.mail
		s.mail = nil
		for _, m := range now {
			b := s.brokers[m.to]
			switch {
			case m.at > s.now:
				s.mail = append(s.mail, m)
			case !b.up || b.life != m.life || s.cut[[2]int{m.from, m.to}]:
			case b.paused:
				b.waiting = append(b.waiting, m.deliver)
			default:
				m.deliver(b)
			}
		}
		for _, b := range s.brokers {
			if b.up && !b.paused {
				b.tick()
			}
		}
		s.check()
	}
}

// check looks for two that both may answer reads of a group.
func (s *sim) check() {
	for _, first := range s.brokers[0].order {
		id := first.id
		var leased []string
		for _, b := range s.brokers {
			if g := b.groups[id]; b.up && g.serves && g.lease() {
				leased = append(leased, fmt.Sprintf("%s in term %d", b.id, g.term))
			}
		}
		if len(leased) > 1 {
			s.fault = fmt.Sprintf("group %d at %v: %v lead it with a lease", id.Partition, s.now, leased)
		}
	}
}

func (b *simBroker) start() {
	b.up, b.paused, b.waiting = true, false, nil
	b.core, b.begun = newCore(b.id), b.s.now
	b.answered, b.leased, b.promised = map[int]time.Duration{}, map[int]time.Duration{}, map[int]time.Duration{}
	b.lives, b.deserted = map[int]int{}, map[ID]uint64{}
	b.claims = map[ID]map[int]uint64{}
	for _, g := range b.order {
		b.claims[g.id] = map[int]uint64{}
		g.state, g.serves, g.leader = Follower, false, -1
	}
	for _, o := range b.s.brokers {
		if o.claims != nil {
			o.tellClaims(b.n)
			b.tellClaims(o.n)
		}
	}
}

func (b *simBroker) stop() { b.up, b.life = false, b.life+1 }

func (b *simBroker) resume() {
	b.paused = false
	waiting := b.waiting
	b.waiting = nil
	for _, f := range waiting {
		f(b)
	}
}

func (b *simBroker) alive(n int) bool {
	at, ok := b.answered[n]
	return n == b.n || ok && b.s.now-at < time.Second
}

func (b *simBroker) aliveID(id ServerID) bool { return b.alive(int(brokerOf(id)) - 1) }

func (b *simBroker) tick() {
	if b.s.now%(200*time.Millisecond) == time.Duration(b.n)*simStep {
		b.ping()
	}
	for _, g := range b.order {
		g.tick()
	}
	if b.s.now%time.Second == 0 { // what was not taken is sent again
		for _, o := range b.s.brokers {
			b.tellClaims(o.n)
		}
	}
	if b.s.now%(500*time.Millisecond) == 0 {
		for _, g := range b.order {
			b.core.see(b.s.time(), g.id, g.view(), b.aliveID)
		}
	}
	for _, id := range b.core.due(b.s.time()) {
		b.core.see(b.s.time(), id, b.groups[id].view(), b.aliveID)
	}
	b.do(b.core.step(b.s.time(), b.aliveID))
}

func (b *simBroker) ping() {
	for _, o := range b.s.brokers {
		if o == b {
			continue
		}
		sent := b.s.now
		b.s.send(b.n, o.n, func(o *simBroker) {
			o.promised[b.n] = o.s.now + time.Second
			deserted, life := maps.Clone(o.deserted), o.life
			o.s.send(o.n, b.n, func(b *simBroker) {
				for _, g := range b.order {
					if g.state == Leader && g.term < deserted[g.id] {
						g.become(Follower, g.term, -1) // before the answer counts
					}
				}
				b.lives[o.n] = life
				if !b.alive(o.n) {
					b.tellClaims(o.n)
				}
				b.answered[o.n] = b.s.now
				b.leased[o.n] = max(b.leased[o.n], sent)
			})
		})
	}
}

// tellClaims tells another everything.
func (b *simBroker) tellClaims(to int) {
	leads := map[ID]uint64{}
	for id, g := range b.groups {
		if g.state == Leader {
			leads[id] = g.term
		}
	}
	b.s.send(b.n, to, func(o *simBroker) {
		for id, claims := range o.claims {
			if claims[b.n] = leads[id]; leads[id] == 0 {
				delete(claims, b.n)
			}
		}
	})
}

// do is what the elector's runner does.
func (b *simBroker) do(w work) {
	for _, to := range b.s.voters {
		if ids := w.ask[to]; len(ids) > 0 {
			b.ask(int(brokerOf(to))-1, ids)
		}
	}
	for _, to := range b.s.voters {
		orders := w.elect[to]
		if len(orders) == 0 {
			continue
		}
		slices.SortFunc(orders, func(a, b order) int { return int(a.id.Partition - b.id.Partition) })
		if to == b.id {
			b.core.refused(b.s.time(), b.id, b.stand(orders))
			continue
		}
		b.s.send(b.n, int(brokerOf(to))-1, func(o *simBroker) {
			refused := o.stand(orders)
			o.s.send(o.n, b.n, func(b *simBroker) { b.core.refused(b.s.time(), o.id, refused) })
		})
	}
}

func (b *simBroker) ask(to int, ids []ID) {
	id := b.s.brokers[to].id
	b.s.send(b.n, to, func(o *simBroker) {
		var answers []answer
		for _, id := range ids {
			v := o.groups[id].view()
			answers = append(answers, v.answer(id))
		}
		o.s.send(o.n, b.n, func(b *simBroker) { b.core.hear(id, answers) })
	})
}

func (b *simBroker) stand(orders []order) (refused []ID) {
	for _, o := range orders {
		g := b.groups[o.id]
		if v := g.view(); !v.mayStand(o) {
			refused = append(refused, o.id)
			continue
		}
		b.s.elected++
		g.callElection(o.over)
	}
	return refused
}

func (b *simBroker) promiseTo(n int) time.Duration {
	return max(b.promised[n], b.begun+time.Second) - b.s.now // it may have promised anybody before it was started
}
