package cluster

import "time"

const (
	// leadWait is how long a group may be without a leader that anybody tells of before it is asked about, and how long whoever was
	// told to stand for election has to win it: this, then twice this, up to leadWaitMost.
	leadWait     = 300 * time.Millisecond
	leadWaitMost = 5 * time.Second
	// loneWait is for a group of one voter, which stands by itself.
	loneWait = 2 * time.Second
	// rankWait is how long each voter but the first waits more: it takes over where those before it do nothing.
	rankWait = time.Second
	// preferredWait is how long a new group waits for its preferred voter, which may be about to open it.
	preferredWait = 3 * time.Second
	// askWait is how long voters are waited for that do not tell how they are.
	askWait = 500 * time.Millisecond
	// againAfter is the first pause before too few voters are asked again, doubled up to leadWait: they may be about to open it.
	againAfter = 25 * time.Millisecond
)

// view is a group as this broker sees it at a moment.
type view struct {
	Status
	preferred int32         // broker id; -1: none
	claimed   uint64        // the term of the leader that the table has, which is alive; 0: none
	claimer   int32         // its broker id
	promised  time.Duration // for so long this broker will not vote against its leader
}

func (v *view) led() bool { return v.State == Leader || v.claimed > 0 && v.claimed >= v.Term }

// mayStand says whether this broker stands for election when another's elector wants it: not after an election since it was asked.
func (v *view) mayStand(o order) bool { return !v.led() && v.State != Learner && v.Term == o.term }

func (v *view) answer(id ID) answer {
	a := answer{id: id, votes: v.State != Learner, state: v.State, term: v.Term, lastTerm: v.LastTerm, lastIndex: v.LastIndex}
	a.leader, a.promised = brokerOf(v.Leader), v.promised
	if v.led() && v.State != Leader {
		a.state, a.leader = Leader, v.claimer // as this broker was told: the elector is to wait
	}
	return a
}

// core decides which elections this broker calls.
//
// What always holds: vacant has exactly the groups that have no leader, as far as was seen, and in which this broker has a vote. Of each
// the voters are asked how they are, the best of those who may vote is told to stand, and is given time. Only a voter is told that was not
// a leader when it answered, and that has promised nobody not to vote; and only when with it a majority has answered so: else
// nothing could come of it but a candidate that is stuck in its term.
type core struct {
	self   ServerID
	vacant map[ID]*vacancy
}

type phase byte

const (
	waiting phase = iota // until at, then the others are asked
	asking               // until all have answered, or at
	called               // until somebody leads, or at
)

// vacancy is a group without a leader.
type vacancy struct {
	view
	since time.Time
	phase phase
	at    time.Time // when the phase is over

	voteful []ServerID           // voters that are alive
	asked   map[ServerID]*answer // nil: has not answered yet
	pause   time.Duration
	calls   int              // elections called
	target  ServerID         // who was told to stand in the last; "": that was judged
	stood   uint64           // in which term it was before
	failed  map[ServerID]int // how often a voter was told to stand and did not win
}

func newCore(self ServerID) *core { return &core{self: self, vacant: map[ID]*vacancy{}} }

// see notes how a group is. alive says who is.
func (c *core) see(now time.Time, id ID, v view, alive func(ServerID) bool) {
	if v.led() || v.State == Learner {
		delete(c.vacant, id)
		return
	}
	g := c.vacant[id]
	if g == nil {
		g = &vacancy{since: now, at: now.Add(grace(&v, alive)), failed: map[ServerID]int{}}
		c.vacant[id] = g
	} else if at := now.Add(grace(&v, alive)); g.phase == waiting && g.calls == 0 && at.Before(g.at) {
		g.at = at // its leader was not known to be dead
	}
	g.view = v
}

// forget is for a group that is not open here any more.
func (c *core) forget(id ID) { delete(c.vacant, id) }

// grace is how long a group without a leader is left alone. One that Raft knows of and that is alive may have been elected just now.
func grace(v *view, alive func(ServerID) bool) time.Duration {
	switch {
	case len(v.Voters) < 2:
		return loneWait
	case v.State == Follower && (v.Fresh && v.Leader == "" || v.Leader != "" && !alive(v.Leader)):
		return 0
	}
	return leadWait
}

// work is what a step wants done, by broker.
type work struct {
	ask   map[ServerID][]ID
	elect map[ServerID][]order
}

// step goes on with every group whose time has come. Views that are older than now are the caller's fault: see due.
func (c *core) step(now time.Time, alive func(ServerID) bool) work {
	w := work{ask: map[ServerID][]ID{}, elect: map[ServerID][]order{}}
	for id, g := range c.vacant {
		if g.phase == called && g.target != c.self && !alive(g.target) {
			g.at = now
		}
		if g.at.After(now) && !(g.phase == asking && g.complete()) {
			continue
		}
		if g.phase == called {
			g.failed[g.target]++
			g.phase = waiting
		}
		if g.phase == waiting && !c.begin(now, id, g, alive, &w) {
			continue
		}
		if g.phase == asking && (g.complete() || !g.at.After(now)) {
			c.decide(now, id, g, &w)
		}
	}
	return w
}

// due lists the groups that the next step goes on with: they are to be seen again before it.
func (c *core) due(now time.Time) (ids []ID) {
	for id, g := range c.vacant {
		if !g.at.After(now) || g.phase == asking && g.complete() {
			ids = append(ids, id)
		}
	}
	return ids
}

// next is when the next step is to come, zero: only after something was seen or heard.
func (c *core) next(now time.Time) (at time.Time) {
	for _, g := range c.vacant {
		t := g.at
		if g.phase == asking && g.complete() {
			t = now
		}
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	return at
}

func (g *vacancy) quorum() int { return len(g.Voters)/2 + 1 }

// complete says whether all that were asked have answered.
func (g *vacancy) complete() bool {
	for _, a := range g.asked {
		if a == nil {
			return false
		}
	}
	return true
}

func (g *vacancy) wait(now time.Time, d time.Duration) { g.phase, g.at = waiting, now.Add(d) }

// begin asks the other voters, if it is this broker's turn and a majority is alive.
func (c *core) begin(now time.Time, id ID, g *vacancy, alive func(ServerID) bool, w *work) bool {
	g.voteful = g.voteful[:0]
	for _, v := range g.Voters {
		if v == c.self || alive(v) {
			g.voteful = append(g.voteful, v)
		}
	}
	if len(g.voteful) < g.quorum() {
		g.wait(now, leadWait)
		g.since = now
		return false
	}
	if turn := g.since.Add(time.Duration(g.rank(c.self)) * rankWait); turn.After(now) {
		g.phase, g.at = waiting, turn
		return false
	}
	own := g.answer(id)
	g.asked = map[ServerID]*answer{c.self: &own}
	g.phase, g.at = asking, now.Add(askWait)
	for _, v := range g.voteful {
		if v != c.self {
			g.asked[v] = nil
			w.ask[v] = append(w.ask[v], id)
		}
	}
	return true
}

// rank is how many voters come before this one: those with lower broker ids, and in a new group first of all the preferred one.
func (g *vacancy) rank(self ServerID) int {
	before := func(v ServerID) bool {
		if g.Fresh && brokerOf(v) == g.preferred {
			return true
		}
		return brokerOf(v) < brokerOf(self) && !(g.Fresh && brokerOf(self) == g.preferred)
	}
	n := 0
	for _, v := range g.voteful {
		if v != self && before(v) {
			n++
		}
	}
	return n
}

// hear notes what a voter answers.
func (c *core) hear(from ServerID, answers []answer) {
	for i := range answers {
		g := c.vacant[answers[i].id]
		if g == nil || g.phase != asking {
			continue
		}
		if a, ok := g.asked[from]; ok && a == nil {
			g.asked[from] = &answers[i]
		}
	}
}

// missed notes that a voter cannot be asked.
func (c *core) missed(from ServerID, ids []ID) {
	answers := make([]answer, len(ids))
	for i, id := range ids {
		answers[i] = answer{id: id, leader: -1, missing: true}
	}
	c.hear(from, answers)
}

// refused notes that a voter did not stand for election.
func (c *core) refused(now time.Time, from ServerID, ids []ID) {
	for _, id := range ids {
		if g := c.vacant[id]; g != nil && g.phase == called && g.target == from {
			g.pauseMore(now)
		}
	}
}

func (g *vacancy) pauseMore(now time.Time) {
	g.pause = min(max(2*g.pause, againAfter), g.longest(now))
	g.wait(now, g.pause)
}

// longest is how long a group is left alone at most: leadWait, and more where nothing has helped for long.
func (g *vacancy) longest(now time.Time) time.Duration {
	return min(leadWait+now.Sub(g.since)/16, leadWaitMost)
}
