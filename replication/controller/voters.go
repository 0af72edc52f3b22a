package controller

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// maxVoters is how many founders vote at most. A group that has grown from fewer has three voters.
const maxVoters = 5

// step is a change of the group's configuration.
type step byte

const (
	stepNone    step = iota
	stepAdd          // a registered broker, as learner
	stepPromote      // a learner
	stepDemote       // a voter, to learner
	stepRemove       // a member that is not registered
	stepLeave        // this broker leads and is not registered: another voter is to lead
)

// group is what the controller knows of its group. It is its leader.
type group struct {
	self    raft.ServerID
	members map[raft.ServerID]bool   // of the newest configuration; whether they vote
	brokers map[raft.ServerID]Broker // the registered ones
	alive   func(raft.ServerID) bool
	dead    func(raft.ServerID) bool // for so long that a voter is replaced
	level   func(raft.ServerID) bool // its log is about where the leader's is
}

// next says which change the group needs next. There is none that would leave a majority of the voters unreachable.
//
// Every registered broker is a member and nobody else. One of fewer than three brokers votes, for two voters withstand less than
// one; else three, or five where the group was founded so. A voter that is dead for long becomes a learner when a live learner
// can take its place, and stays one when it comes back.
func (g *group) next() (step, raft.ServerID) {
	for _, pick := range []func() (step, raft.ServerID){g.dropLearners, g.add, g.dropVoters, g.grow, g.shrink, g.replace} {
		if s, id := pick(); s != stepNone {
			return s, id
		}
	}
	return stepNone, ""
}

// dropLearners removes those that are not registered (any more), like a former incarnation.
func (g *group) dropLearners() (step, raft.ServerID) {
	for _, id := range g.list(false) {
		if !g.registered(id) && g.possible(g.list(true)) {
			return stepRemove, id
		}
	}
	return stepNone, ""
}

func (g *group) add() (step, raft.ServerID) {
	var missing []raft.ServerID
	for id := range g.brokers {
		if _, member := g.members[id]; !member {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 || !g.possible(g.list(true)) {
		return stepNone, ""
	}
	return stepAdd, slices.Min(missing)
}

// dropVoters removes voters that are not registered: they will not come back.
func (g *group) dropVoters() (step, raft.ServerID) {
	voters := g.list(true)
	for _, id := range voters {
		left := without(voters, []raft.ServerID{id})
		switch {
		case g.registered(id) || !g.possible(left):
		case id != g.self:
			return stepRemove, id
		default:
			for _, other := range left {
				if g.registered(other) && g.alive(other) {
					return stepLeave, other
				}
			}
		}
	}
	return stepNone, ""
}

// wanted is how many are to vote.
func (g *group) wanted() int {
	switch brokers, voters := len(g.brokers), len(g.list(true)); {
	case brokers < 3:
		return 1
	case brokers >= 5 && voters > 3:
		return maxVoters
	}
	return 3
}

// grow promotes a learner. The second voter comes only when a third one is ready.
func (g *group) grow() (step, raft.ServerID) {
	voters, ready := g.list(true), g.ready()
	if len(voters) >= g.wanted() || len(ready) == 0 || len(voters) == 1 && len(ready) == 1 {
		return stepNone, ""
	}
	if !g.possible(append(voters, ready[0])) {
		return stepNone, ""
	}
	return stepPromote, ready[0]
}

// shrink demotes a voter: a dead one, else the one with the highest id.
func (g *group) shrink() (step, raft.ServerID) {
	voters := g.list(true)
	if len(voters) <= g.wanted() {
		return stepNone, ""
	}
	others := without(voters, []raft.ServerID{g.self})
	slices.SortStableFunc(others, func(a, b raft.ServerID) int {
		if g.alive(a) != g.alive(b) {
			return map[bool]int{false: -1, true: 1}[g.alive(a)]
		}
		return g.compare(b, a)
	})
	for _, id := range others {
		if g.possible(without(voters, []raft.ServerID{id})) {
			return stepDemote, id
		}
	}
	return stepNone, ""
}

// replace demotes a voter that is dead for long; grow then takes another one.
func (g *group) replace() (step, raft.ServerID) {
	voters := g.list(true)
	if len(voters) == 1 || len(g.ready()) == 0 {
		return stepNone, ""
	}
	for _, id := range voters {
		if id != g.self && g.dead(id) && g.possible(without(voters, []raft.ServerID{id})) {
			return stepDemote, id
		}
	}
	return stepNone, ""
}

// ready are the learners that could vote at once: first those of racks that have no voter, then by id.
func (g *group) ready() []raft.ServerID {
	racks := map[string]bool{}
	for _, id := range g.list(true) {
		racks[g.brokers[id].Rack] = true
	}
	var ids []raft.ServerID
	for _, id := range g.list(false) {
		if g.registered(id) && g.alive(id) && g.level(id) {
			ids = append(ids, id)
		}
	}
	slices.SortStableFunc(ids, func(a, b raft.ServerID) int {
		in := func(id raft.ServerID) int { return map[bool]int{true: 1}[racks[g.brokers[id].Rack]] }
		return cmp.Compare(in(a), in(b))
	})
	return ids
}

// possible says whether a majority of voters is reachable, so that they could decide something.
func (g *group) possible(voters []raft.ServerID) bool {
	n := 0
	for _, id := range voters {
		if g.alive(id) {
			n++
		}
	}
	return n > len(voters)/2
}

func (g *group) registered(id raft.ServerID) bool {
	_, ok := g.brokers[id]
	return ok
}

// list are the members that vote, or those that learn, by broker id.
func (g *group) list(voters bool) []raft.ServerID {
	var ids []raft.ServerID
	for id, votes := range g.members {
		if votes == voters {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, g.compare)
	return ids
}

func (g *group) compare(a, b raft.ServerID) int {
	m, _, _ := splitServerID(a)
	n, _, _ := splitServerID(b)
	return cmp.Or(cmp.Compare(m, n), cmp.Compare(a, b))
}

// deaths remembers since when members do not answer.
type deaths map[raft.ServerID]time.Time

// see notes who is alive.
func (d deaths) see(now time.Time, members map[raft.ServerID]bool, alive func(raft.ServerID) bool) {
	for id := range d {
		if _, member := members[id]; !member || alive(id) {
			delete(d, id)
		}
	}
	for id := range members {
		if _, known := d[id]; !known && !alive(id) {
			d[id] = now
		}
	}
}

// longer says whether a member is dead for at least so long.
func (d deaths) longer(now time.Time, id raft.ServerID, than time.Duration) bool {
	since, dead := d[id]
	return dead && now.Sub(since) >= than
}
