package placement

import (
	"slices"
)

// state is one group that this server leads, as one look found it, and what is wanted of it.
type state struct {
	id   ID
	self ServerID
	// want are the replicas that the partition is to have. A broker that is not registered is left out, and known is false.
	want      []ServerID
	known     bool
	preferred ServerID // who of them should lead; "": its broker is not registered
	// size is how many voters there are to be at least until all wanted ones are: as many as before a move, or as wanted.
	size   int
	moving bool // a reassignment is to be completed

	voters, learners []ServerID
	committed        bool // the newest configuration is

	alive  func(ServerID) bool
	gone   func(ServerID) bool // its broker is registered with another incarnation, or no longer
	fenced func(ServerID) bool // its broker says so
	level  func(ServerID) bool // its log is about as long as this server's
	mayAdd func(ServerID) bool // there are not too many learners on it already
}

// kind of change.
type kind int

const (
	nothing kind = iota
	addLearner
	promote
	remove
	transfer
	reset    // tell the server to begin anew with its fenced replica, which is no member
	complete // tell the controller that the replicas are as wanted
)

func (k kind) String() string {
	return []string{"nothing", "add learner", "promote", "remove", "transfer", "reset", "complete"}[k]
}

// change is one step of a group towards what is wanted.
type change struct {
	kind   kind
	server ServerID // that it is about; none for complete
}

// next says what a group needs now: its first step, or nothing, because all is well or because it has to wait.
//
// What always holds: a change of the voters leaves more than half of them alive, level and not fenced; one change is committed
// before the next; a server becomes a voter only as a level learner; a wanted, live voter that is not fenced is never removed; a
// fenced replica is reset only when a committed configuration is without it; unwanted voters go when the wanted ones have come. It
// depends on nothing but s, so whoever leads next goes on where the last leader stopped.
func next(s *state) change {
	if !s.committed {
		return change{}
	}
	for _, step := range []func() (change, bool){s.removeBroken, s.resetFenced, s.removeSurplus, s.add, s.promote, s.complete} {
		if c, ok := step(); ok {
			return c
		}
	}
	return change{}
}

// removeBroken takes out what will never come back as it is, and learners that nobody wants.
func (s *state) removeBroken() (change, bool) {
	for _, id := range s.learners {
		if s.broken(id) || s.known && !slices.Contains(s.want, id) {
			return change{remove, id}, true
		}
	}
	for _, id := range s.voters {
		if id != s.self && s.broken(id) && s.safe(without(s.voters, id)) {
			return change{remove, id}, true
		}
	}
	return change{}, false
}

func (s *state) broken(id ServerID) bool { return s.gone(id) || s.fenced(id) }

func (s *state) resetFenced() (change, bool) {
	for _, id := range s.want {
		if s.fenced(id) && s.alive(id) && !s.member(id) {
			return change{reset, id}, true
		}
	}
	return change{}, false
}

// removeSurplus lets an unwanted voter go, this server last, and not by its own hand.
func (s *state) removeSurplus() (change, bool) {
	if !s.known || len(s.voters) <= s.size && !s.allVote() {
		return change{}, false
	}
	unwanted := slices.DeleteFunc(slices.Clone(s.voters), func(id ServerID) bool { return slices.Contains(s.want, id) })
	slices.SortStableFunc(unwanted, func(a, b ServerID) int { return s.leavesLater(a) - s.leavesLater(b) })
	for _, id := range unwanted {
		if id == s.self {
			return s.handOver()
		}
		if s.safe(without(s.voters, id)) {
			return change{remove, id}, true
		}
	}
	return change{}, false
}

// leavesLater orders unwanted voters: the dead, the living, this server.
func (s *state) leavesLater(id ServerID) int {
	switch {
	case id == s.self:
		return 2
	case s.alive(id):
		return 1
	}
	return 0
}

// handOver gives the leadership to the first wanted voter that can take it.
func (s *state) handOver() (change, bool) {
	for _, id := range s.want {
		if id != s.self && slices.Contains(s.voters, id) && s.good(id) {
			return change{transfer, id}, true
		}
	}
	return change{}, false
}

func (s *state) add() (change, bool) {
	for _, id := range s.want {
		if !s.member(id) && s.alive(id) && !s.fenced(id) && s.mayAdd(id) {
			return change{addLearner, id}, true
		}
	}
	return change{}, false
}

// promote makes a wanted learner a voter.
//
// An even number of voters stands no more failures than one fewer, and needs one more of them for each write. So where two
// or more are still to come, the first waits for the second, if that one is on its way.
func (s *state) promote() (change, bool) {
	var ready []ServerID
	catchingUp := 0
	for _, id := range s.want {
		switch {
		case !slices.Contains(s.learners, id) || !s.alive(id) || s.fenced(id):
		case s.level(id):
			ready = append(ready, id)
		default:
			catchingUp++
		}
	}
	if len(ready) == 0 || len(s.voters) > s.size {
		return change{}, false
	}
	lone := len(ready) == 1 && catchingUp > 0
	if lone && len(s.voters)%2 == 1 && len(s.voters) < s.size {
		return change{}, false
	}
	return change{promote, ready[0]}, s.safe(append(slices.Clone(s.voters), ready[0]))
}

func (s *state) complete() (change, bool) {
	done := s.moving && s.known && len(s.learners) == 0 && len(s.voters) == len(s.want) && s.allVote()
	return change{kind: complete}, done
}

// allVote says that every wanted replica is a voter.
func (s *state) allVote() bool {
	return !slices.ContainsFunc(s.want, func(id ServerID) bool { return !slices.Contains(s.voters, id) })
}

func (s *state) member(id ServerID) bool {
	return slices.Contains(s.voters, id) || slices.Contains(s.learners, id)
}

// good servers count for a majority.
func (s *state) good(id ServerID) bool {
	return id == s.self || s.alive(id) && !s.broken(id) && s.level(id)
}

// safe says whether voters would have a majority at once.
func (s *state) safe(voters []ServerID) bool {
	n := 0
	for _, id := range voters {
		if s.good(id) {
			n++
		}
	}
	return n > len(voters)/2
}

func without(ids []ServerID, id ServerID) []ServerID {
	return slices.DeleteFunc(slices.Clone(ids), func(other ServerID) bool { return other == id })
}
