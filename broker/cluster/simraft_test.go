package cluster

import "time"

func (g *simGroup) s() *sim { return g.b.s }

func (g *simGroup) quorum() int { return len(g.s().brokers)/2 + 1 }

// view is what Elector.look does.
func (g *simGroup) view() view {
	v := view{
		Status: Status{
			State: g.state, Serves: g.serves, Term: g.term, LastTerm: g.lastTerm, LastIndex: g.lastIndex, Voters: g.s().voters, Fresh: g.fresh,
		},
		preferred: g.id.Partition%int32(len(g.s().brokers)) + 1,
	}
	if g.leader >= 0 {
		v.Leader = g.s().brokers[g.leader].id
	}
	best, who := uint64(0), -1
	for n, term := range g.b.claims[g.id] {
		if term > best || term == best && n < who {
			best, who = term, n
		}
	}
	if who >= 0 && g.b.alive(who) {
		v.claimed, v.claimer = best, int32(who+1)
	}
	if !v.led() && g.leader != g.b.n {
		v.promised = g.promise(0)
	}
	return v
}

// promise is for how long this broker will not vote against the leader that it knows; a new group promises nothing before it has one.
func (g *simGroup) promise(over uint64) time.Duration {
	switch {
	case g.leader < 0 && g.fresh, g.leader >= 0 && g.leaderTerm <= over, g.leader == g.b.n:
		return 0
	}
	return max(g.b.promiseTo(g.leader), 0)
}

// lease says whether a majority that knows it as the leader has answered pings that were sent lately.
func (g *simGroup) lease() bool {
	n := 1
	for peer, at := range g.b.leased {
		if life, ok := g.acks[peer]; ok && life == g.b.lives[peer] && g.s().now-at <= 600*time.Millisecond {
			n++
		}
	}
	return n >= g.quorum()
}

func (g *simGroup) become(state State, term uint64, leader int) {
	wasLeader := g.state == Leader
	if g.state, g.term, g.leader = state, term, leader; leader >= 0 {
		g.leaderTerm = term
	}
	g.serves = g.serves && state == Leader
	if wasLeader != (state == Leader) {
		g.tellAll()
	}
}

// tellAll is gossip.
func (g *simGroup) tellAll() {
	term, id, from := g.term, g.id, g.b.n
	leads := g.state == Leader
	for _, o := range g.s().brokers {
		if o == g.b {
			continue
		}
		g.s().send(from, o.n, func(o *simBroker) {
			if delete(o.claims[id], from); leads {
				o.claims[id][from] = term
			}
			o.core.see(o.s.time(), id, o.groups[id].view(), o.aliveID)
		})
	}
}

func (g *simGroup) callElection(over uint64) {
	if g.state == Leader || g.promise(over) > 0 {
		return
	}
	if g.state == Candidate { // what makes it stand again takes it to another term
		g.term++
	}
	g.become(Candidate, g.term+1, -1)
	g.voted, g.votes, g.b.deserted[g.id] = g.term, map[int]bool{g.b.n: true}, g.term
	term, lastTerm, lastIndex, id, from := g.term, g.lastTerm, g.lastIndex, g.id, g.b.n
	for _, o := range g.s().brokers {
		if o == g.b {
			continue
		}
		g.s().send(from, o.n, func(o *simBroker) {
			granted, seen := o.groups[id].vote(term, lastTerm, lastIndex, over, from)
			o.s.send(o.n, from, func(b *simBroker) { b.groups[id].voteOf(o.n, term, granted, seen) })
		})
	}
}

func (g *simGroup) vote(term, lastTerm, lastIndex, over uint64, from int) (granted bool, seen uint64) {
	if g.leader != from && g.promise(over) > 0 || term < g.term {
		return false, g.term
	}
	if term > g.term {
		g.become(Follower, term, -1)
	}
	if g.voted >= term || lastTerm < g.lastTerm || lastTerm == g.lastTerm && lastIndex < g.lastIndex {
		return false, g.term
	}
	g.voted, g.b.deserted[g.id] = term, term
	return true, g.term
}

func (g *simGroup) voteOf(n int, term uint64, granted bool, seen uint64) {
	if g.state != Candidate || g.term != term {
		return
	}
	if seen > g.term {
		g.become(Follower, seen, -1)
		return
	}
	if g.votes[n] = granted; !granted {
		delete(g.votes, n)
	}
	if len(g.votes) < g.quorum() {
		return
	}
	g.become(Leader, g.term, g.b.n)
	g.lastTerm, g.lastIndex, g.fresh = g.term, g.lastIndex+1, false
	g.acks, g.heard, g.ledAt = map[int]int{g.b.n: 0}, map[int]time.Duration{}, g.s().now
	g.heartbeat()
}

// tick sends heartbeats; a leader that no majority has answered for 5 s steps down.
func (g *simGroup) tick() {
	if g.state != Leader {
		return
	}
	if g.s().now%time.Second == 0 {
		g.heartbeat()
	}
	n := 1
	for _, at := range g.heard {
		if g.s().now-at < 5*time.Second {
			n++
		}
	}
	if n < g.quorum() && g.s().now-g.ledAt > 5*time.Second {
		g.become(Follower, g.term, -1)
	}
}

// heartbeat brings the followers level too.
func (g *simGroup) heartbeat() {
	if g.s().rng.IntN(3) == 0 && g.serves { // a record comes, which not all get at once
		g.lastIndex++
	}
	term, lastTerm, lastIndex, id, from := g.term, g.lastTerm, g.lastIndex, g.id, g.b.n
	for _, o := range g.s().brokers {
		if o == g.b {
			continue
		}
		g.s().send(from, o.n, func(o *simBroker) {
			seen, life := o.groups[id].append(term, lastTerm, lastIndex, from), o.life
			o.s.send(o.n, from, func(b *simBroker) { b.groups[id].appended(o.n, life, term, seen) })
		})
	}
}

func (g *simGroup) append(term, lastTerm, lastIndex uint64, from int) (seen uint64) {
	if term < g.term {
		return g.term
	}
	if g.state != Follower || g.term != term || g.leader != from {
		g.become(Follower, term, from)
	}
	if g.lastTerm != lastTerm || g.lastIndex < lastIndex {
		g.lastTerm, g.lastIndex, g.fresh = lastTerm, lastIndex, false
	}
	return term
}

func (g *simGroup) appended(n, life int, term, seen uint64) {
	switch {
	case g.state != Leader || g.term != term:
	case seen > term:
		g.become(Follower, seen, -1)
	default:
		g.heard[n] = g.s().now
		if g.acks[n] = life; len(g.acks) >= g.quorum() && !g.serves {
			g.serves = true
		}
	}
}
