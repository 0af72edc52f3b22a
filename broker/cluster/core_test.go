package cluster

import (
	"slices"
	"testing"
	"time"
)

// bench drives one core by hand, that of broker 1 of three voters.
type bench struct {
	t     *testing.T
	c     *core
	now   time.Time
	dead  map[ServerID]bool
	id    ID
	asked []ServerID
	stood []order
	whom  []ServerID
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, c: newCore(serverID(1)), now: simEpoch, dead: map[ServerID]bool{}, id: group(1)}
}

func (b *bench) alive(id ServerID) bool { return !b.dead[id] }

// see shows the core a follower of broker 3 in term 5, as changed.
func (b *bench) see(change func(*view)) {
	v := view{Status: Status{Leader: serverID(3), Term: 5, LastTerm: 5, LastIndex: 10, Voters: []ServerID{serverID(1), serverID(2), serverID(3)}}}
	v.preferred = -1
	if change != nil {
		change(&v)
	}
	b.c.see(b.now, b.id, v, b.alive)
}

// step lets d go by and notes what the core wants.
func (b *bench) step(d time.Duration) {
	b.now = b.now.Add(d)
	b.asked, b.stood, b.whom = nil, nil, nil
	w := b.c.step(b.now, b.alive)
	for to := range w.ask {
		b.asked = append(b.asked, to)
	}
	for to, orders := range w.elect {
		b.whom, b.stood = append(b.whom, to), append(b.stood, orders...)
	}
	slices.Sort(b.asked)
}

// answer has broker 2 answer as a follower like broker 1, as changed.
func (b *bench) answer(from int, change func(*answer)) {
	a := answer{id: b.id, votes: true, term: 5, lastTerm: 5, lastIndex: 10, leader: 3}
	if change != nil {
		change(&a)
	}
	b.c.hear(serverID(from), []answer{a})
}

// asks steps, and fails if exactly these brokers are not asked.
func (b *bench) asks(d time.Duration, brokers ...int) {
	b.t.Helper()
	b.step(d)
	var want []ServerID
	for _, n := range brokers {
		want = append(want, serverID(n))
	}
	if !slices.Equal(b.asked, want) || len(b.stood) > 0 {
		b.t.Fatalf("asks %v and tells %v to stand, want it to ask %v", b.asked, b.whom, want)
	}
}

// tells steps, and fails if it does not tell exactly this broker to stand (0: nobody).
func (b *bench) tells(d time.Duration, broker int) {
	b.t.Helper()
	b.step(d)
	if broker == 0 && len(b.whom) > 0 || broker > 0 && !slices.Equal(b.whom, []ServerID{serverID(broker)}) {
		b.t.Fatalf("tells %v to stand, want %d", b.whom, broker)
	}
}

func TestGraces(t *testing.T) {
	for name, c := range map[string]struct {
		view func(*view)
		dead bool
		want time.Duration
	}{
		"its leader is dead":              {nil, true, 0},
		"its leader tells nobody":         {nil, false, leadWait},
		"nobody is known to lead":         {func(v *view) { v.Leader = "" }, true, leadWait},
		"new":                             {func(v *view) { v.Leader, v.Fresh = "", true }, false, 0},
		"a candidate":                     {func(v *view) { v.Leader, v.State = "", Candidate }, true, leadWait},
		"a deposed leader lives":          {func(v *view) { v.claimed, v.claimer = 4, 3 }, false, leadWait},
		"the only voter stands by itself": {func(v *view) { v.Leader, v.Voters = "", v.Voters[:1] }, false, loneWait},
	} {
		b := newBench(t)
		b.dead[serverID(3)] = c.dead
		b.see(c.view)
		if at := b.c.next(b.now); at.Sub(b.now) != c.want {
			t.Errorf("%s: looked at after %v, want %v", name, at.Sub(b.now), c.want)
		}
	}
	b := newBench(t)
	b.see(nil)
	b.now, b.dead[serverID(3)] = b.now.Add(time.Millisecond), true
	b.see(nil)
	b.asks(0, 2) // at once when its leader is found dead
}

func TestNothingToDo(t *testing.T) {
	for name, change := range map[string]func(*view){
		"leads":               func(v *view) { v.State = Leader },
		"another leads":       func(v *view) { v.claimed = 5 },
		"another leads newly": func(v *view) { v.claimed = 6 },
		"a learner":           func(v *view) { v.State = Learner },
	} {
		b := newBench(t)
		b.dead[serverID(3)] = true
		b.see(nil)
		b.see(change)
		if b.step(time.Minute); len(b.c.vacant) > 0 || len(b.asked) > 0 {
			t.Errorf("%s: it is looked after", name)
		}
	}
}

func TestNobodyIsAskedWithoutMajority(t *testing.T) {
	b := newBench(t)
	b.dead[serverID(2)], b.dead[serverID(3)] = true, true
	b.see(nil)
	for range 100 {
		b.asks(100 * time.Millisecond)
	}
	b.dead[serverID(2)] = false
	b.asks(leadWait, 2)
}

// Who says that somebody leads is believed, but not against that broker's own word.
func TestAnswersOfALeader(t *testing.T) {
	start := func() *bench {
		b := newBench(t)
		b.see(nil)
		b.asks(leadWait, 2, 3)
		return b
	}
	b := start()
	b.answer(2, nil)
	b.answer(3, func(a *answer) { a.state = Leader })
	b.tells(0, 0)
	b.asks(2*leadWait, 2, 3)

	b = start()
	b.answer(2, func(a *answer) { a.state = Leader }) // it has heard so of broker 3
	b.answer(3, nil)
	b.tells(0, 1)

	b = start()
	b.answer(2, func(a *answer) { a.state = Leader })
	b.c.missed(serverID(3), []ID{b.id})
	b.tells(0, 0)
}

// A promise binds until it ends, or until that leader says itself that it leads no more.
func TestPromises(t *testing.T) {
	start := func() *bench {
		b := newBench(t)
		b.see(nil)
		b.asks(leadWait, 2, 3)
		b.answer(2, func(a *answer) { a.promised = 120 * time.Millisecond })
		return b
	}
	b := start()
	b.c.missed(serverID(3), []ID{b.id})
	b.tells(0, 0)
	if at := b.c.next(b.now); at.Sub(b.now) != 120*time.Millisecond {
		t.Fatalf("looked at after %v", at.Sub(b.now))
	}
	b.asks(120*time.Millisecond, 2, 3)
	b.answer(2, nil)
	b.c.missed(serverID(3), []ID{b.id})
	b.tells(0, 1)

	b = start()
	b.answer(3, func(a *answer) { a.lastIndex = 9 })
	b.tells(0, 1)
	if b.stood[0] != (order{id: b.id, term: 5, over: 5}) {
		t.Fatalf("%+v", b.stood)
	}
}

// Whoever was told to stand and does nothing is not told twice; who does, and does not win, is told twice.
func TestNextVoter(t *testing.T) {
	for name, c := range map[string]struct {
		term  uint64 // of the second, afterwards
		order []int
	}{
		"hung": {5, []int{2, 1}},
		"lost": {6, []int{2, 2, 1}},
	} {
		b := newBench(t)
		b.dead[serverID(3)] = true
		show := func(v *view) { v.preferred = 2 }
		b.see(show)
		b.asks(0, 2)
		wait := leadWait
		for i, n := range c.order {
			b.answer(2, func(a *answer) {
				if i > 0 {
					a.term, a.state = c.term+uint64(i)-1, Candidate
				}
				if name == "hung" {
					a.term, a.state = 5, Follower
				}
			})
			b.tells(0, n)
			b.tells(wait-time.Millisecond, 0)
			b.asks(time.Millisecond, 2)
			wait *= 2
		}
	}
}

// Each voter waits for those before it: in a new group first for the preferred one, which is given the time to open it.
func TestTurns(t *testing.T) {
	b := newBench(t)
	b.c = newCore(serverID(2))
	b.dead[serverID(3)] = true
	b.see(nil)
	b.asks(rankWait - time.Millisecond)
	b.asks(time.Millisecond, 1)

	b = newBench(t)
	b.see(func(v *view) { v.Fresh, v.Leader, v.preferred = true, "", 3 })
	b.asks(rankWait - time.Millisecond)
	b.asks(time.Millisecond, 2, 3)
	for b.now.Before(simEpoch.Add(preferredWait)) {
		if len(b.asked) > 0 {
			b.answer(2, func(a *answer) { a.leader = -1 })
			b.c.hear(serverID(3), []answer{{id: b.id}})
		}
		b.tells(10*time.Millisecond, 0)
	}
	b.asks(leadWait, 2, 3)
	b.answer(2, func(a *answer) { a.leader = -1 })
	b.c.hear(serverID(3), []answer{{id: b.id}})
	b.step(0)
	if len(b.whom) != 1 || b.whom[0] == serverID(3) {
		t.Fatalf("tells %v to stand", b.whom)
	}
}

// Voters that do not answer are waited for, but not for ever.
func TestSilentVoter(t *testing.T) {
	b := newBench(t)
	b.see(nil)
	b.asks(leadWait, 2, 3)
	b.answer(2, nil)
	b.tells(askWait-time.Millisecond, 0)
	b.tells(time.Millisecond, 1)
}

func TestMayStand(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*view)
		want   bool
	}{
		"as it was":            {func(v *view) {}, true},
		"an election was held": {func(v *view) { v.Term = 6 }, false},
		"it leads":             {func(v *view) { v.State = Leader }, false},
		"another leads":        {func(v *view) { v.claimed = 5 }, false},
		"a learner":            {func(v *view) { v.State = Learner }, false},
		"a stuck candidate":    {func(v *view) { v.State = Candidate }, true},
	} {
		v := view{Status: Status{Term: 5}}
		c.change(&v)
		if got := v.mayStand(order{term: 5}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
