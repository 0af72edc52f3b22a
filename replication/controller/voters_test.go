package controller

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// sketch is a group in letters: "1v 2v! 3l 4l? 5- 6v*" has the voters 1 and 2, of which 2 is dead, the learners 3 and 4, of which 4 is
// behind, 5, which is registered and no member, and 6, which is not registered. 7v# is dead for long, 8v@a is in rack a. The first one leads.
func sketch(t *testing.T, s string) *group {
	t.Helper()
	g := &group{members: map[raft.ServerID]bool{}, brokers: map[raft.ServerID]Broker{}}
	has := map[string]map[raft.ServerID]bool{}
	for _, mark := range []string{"!", "?", "*", "#"} {
		has[mark] = map[raft.ServerID]bool{}
	}
	for _, word := range strings.Fields(s) {
		word, rack, _ := strings.Cut(word, "@")
		n, err := strconv.Atoi(strings.TrimRight(word, "vl-!?*#"))
		must(t, err)
		id := serverID(int32(n), "x")
		if g.self == "" {
			g.self = id
		}
		for mark, ids := range has {
			ids[id] = strings.Contains(word, mark)
		}
		if !strings.Contains(word, "-") {
			g.members[id] = strings.Contains(word, "v")
		}
		if !has["*"][id] {
			g.brokers[id] = Broker{ID: int32(n), Incarnation: "x", Rack: rack}
		}
	}
	g.alive = func(id raft.ServerID) bool { return !has["!"][id] && !has["#"][id] }
	g.dead = func(id raft.ServerID) bool { return has["#"][id] }
	g.level = func(id raft.ServerID) bool { return !has["?"][id] }
	return g
}

func TestNextChangeOfTheGroup(t *testing.T) {
	for _, tc := range []struct{ group, want string }{
		{"1v", "none"},
		{"1v 2-", "a broker learns 2"},
		{"1v 2l", "none"},     // two voters withstand less than one
		{"1v 2l 3l?", "none"}, // the second comes when the third can follow
		{"1v 2l 3l!", "none"}, //
		{"1v 2l 3l", "a learner votes 2"},
		{"1v 2v 3l", "a learner votes 3"},
		{"1v 2v 3v 4l 5l", "none"},
		{"1v 2v 3v 4v 5v", "none"}, // five founders
		{"1v 2v 3v 4v 5l", "a learner votes 5"},
		{"1v 2v 3v 4v 5l!", "none"},
		{"1v 2v 3v! 4l", "none"}, // not yet
		{"1v 2v 3v# 4l", "a voter learns 3"},
		{"1v 2v 3v# 4l?", "none"},
		{"1v 2v 3v# 4l!", "none"},
		{"1v 2v# 3v# 4l", "none"}, // there is no majority, nor would there be one
		{"1v 2v 3l# 4l", "a learner votes 4"},
		{"1v 2v 3l", "a learner votes 3"},
		{"1v 2v 3v* 4l", "a member is removed 3"},
		{"1v 2v 3v*! 4l", "a member is removed 3"},
		{"1v 2v! 3v*! 4l", "none"},
		{"1v 2v*", "a member is removed 2"},
		{"1v 2l* 3l 4l", "a member is removed 2"},
		{"1v 2v", "a voter learns 2"},
		{"1v 2v!", "a voter learns 2"},
		{"2v 1v 3v 4v", "a voter learns 4"}, // one of five was unregistered
		{"4v 1v 2v! 3v", "a voter learns 2"},
		{"1v* 2v 3v", "another leads 2"},
		{"1v* 2v! 3v", "a voter learns 2"},
		{"1v* 2l", "none"}, // it is the only one
		{"1v@a 2l@a 3l@b", "a learner votes 3"},
	} {
		s, id := sketch(t, tc.group).next()
		got := s.String()
		if s != stepNone {
			n, _, _ := splitServerID(id)
			got = fmt.Sprint(got, " ", n)
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.group, got, tc.want)
		}
	}
}

// TestRandomLivesOfAGroup has brokers come, go, die and come back, and makes the changes one after the other. No change may leave a
// majority unreachable; the changes come to an end; and then the members are what they should be.
func TestRandomLivesOfAGroup(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QUIRE_GROUP_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		must(t, err)
		seed = n
	}
	t.Logf("QUIRE_GROUP_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		life{t, r, map[raft.ServerID]bool{}}.run()
	}
}

// life is a random group.
type life struct {
	*testing.T
	*rand.Rand
	down map[raft.ServerID]bool
}

func (l life) run() {
	g := &group{
		self: serverID(1, "x"), members: map[raft.ServerID]bool{}, brokers: map[raft.ServerID]Broker{},
		alive: func(id raft.ServerID) bool { return !l.down[id] },
		dead:  func(id raft.ServerID) bool { return l.down[id] },
		level: func(raft.ServerID) bool { return true },
	}
	for id := range int32(1 + l.IntN(7)) {
		b := Broker{ID: id + 1, Incarnation: "x", Rack: fmt.Sprint(l.IntN(3))}
		g.brokers[serverOf(b).ID] = b
	}
	for id, b := range g.brokers {
		if b.ID <= int32(min(len(g.brokers)-1+len(g.brokers)%2, maxVoters)) {
			g.members[id] = true
		}
	}
	for range 30 {
		l.disturb(g)
		l.settle(g)
	}
}

// disturb lets something happen to one broker.
func (l life) disturb(g *group) {
	id := int32(1 + l.IntN(8))
	b := Broker{ID: id, Incarnation: fmt.Sprint("x", l.Int32()), Rack: fmt.Sprint(l.IntN(3))}
	for old := range g.brokers {
		n, _, _ := splitServerID(old)
		switch {
		case n != id:
			continue
		case old == g.self && l.IntN(2) == 0:
			return
		case l.IntN(3) == 0: // unregistered, or replaced below
			delete(g.brokers, old)
			l.down[old] = old != g.self
		case old != g.self:
			l.down[old] = !l.down[old]
			return
		default:
			return
		}
	}
	if l.IntN(2) == 0 {
		g.brokers[serverOf(b).ID] = b
	}
}

// settle makes the changes that are needed, if this leader can make any.
func (l life) settle(g *group) {
	if !g.possible(g.list(true)) {
		return
	}
	for n := 0; ; n++ {
		s, id := g.next()
		if s == stepNone {
			break
		}
		l.make(g, s, id)
		if !g.possible(g.list(true)) || n > 50 {
			l.Fatalf("after %d changes, the last being %q of %s, members are %v, down %v", n, s, id, g.members, l.down)
		}
	}
	l.judge(g)
}

func (l life) make(g *group, s step, id raft.ServerID) {
	votes, member := g.members[id]
	right := map[step]bool{
		stepAdd: !member, stepPromote: member && !votes && !l.down[id], stepDemote: votes && id != g.self, stepRemove: member && id != g.self,
		stepLeave: votes && !l.down[id] && !g.registered(g.self),
	}
	if !right[s] {
		l.Fatalf("%q of %s makes no sense: members %v, brokers %v, down %v", s, id, g.members, g.brokers, l.down)
	}
	switch s {
	case stepAdd, stepDemote:
		g.members[id] = false
	case stepPromote:
		g.members[id] = true
	case stepRemove:
		delete(g.members, id)
	case stepLeave:
		g.self = id
	}
}

// judge looks at a group that needs no change.
func (l life) judge(g *group) {
	for id := range g.brokers {
		if _, member := g.members[id]; !member {
			l.Fatalf("%s is registered and no member of %v", id, g.members)
		}
	}
	voters, up := g.list(true), 0
	for _, id := range voters {
		if !l.down[id] {
			up++
		}
	}
	alive := 0
	for id := range g.brokers {
		if !l.down[id] {
			alive++
		}
	}
	if !g.registered(g.self) { // the last one that votes was unregistered: somebody must go on
		return
	}
	switch want := g.wanted(); {
	case len(g.brokers) < 3 && len(voters) > 1 && up > 1,
		len(voters) > maxVoters,
		want == 3 && alive >= 3 && (len(voters) != 3 || up < 3):
		l.Fatalf("%d brokers, %d alive, want %d voters: members %v, down %v", len(g.brokers), alive, want, g.members, l.down)
	}
	for id := range g.members {
		if !g.registered(id) && up > len(voters)/2+1 {
			l.Fatalf("%s is not registered, and still a member of %v", id, g.members)
		}
	}
}

func TestDeaths(t *testing.T) {
	d := deaths{}
	members := map[raft.ServerID]bool{"1": true, "2": true}
	down := map[raft.ServerID]bool{"2": true, "9": true}
	alive := func(id raft.ServerID) bool { return !down[id] }
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	long := func(s int) []raft.ServerID {
		var ids []raft.ServerID
		for _, id := range []raft.ServerID{"1", "2", "9"} {
			if d.longer(at(s), id, 10*time.Second) {
				ids = append(ids, id)
			}
		}
		return ids
	}
	d.see(at(100), members, alive)
	if got := long(109); got != nil {
		t.Fatalf("dead for 9 s: %v", got)
	}
	if got := long(110); !slices.Equal(got, []raft.ServerID{"2"}) {
		t.Fatalf("dead for 10 s: %v", got)
	}
	down["2"] = false
	d.see(at(111), members, alive) // it answers again
	down["2"] = true
	d.see(at(112), members, alive)
	if got := long(121); got != nil {
		t.Fatalf("dead for 9 s once more: %v", got)
	}
	delete(members, "2")
	d.see(at(130), members, alive)
	if len(d) != 0 {
		t.Fatalf("remembers who is no member: %v", d)
	}
}
