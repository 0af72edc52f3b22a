package interop

import (
	"testing"
	"time"
)

// TestKillDuringRebalances kills the broker QUIRE_INTEROP_KILLS (5) times with kill -9, each time within a second and a half of a member's
// coming, leaving or crashing, so in the middle of rebalances and commits, and starts it again on the same port and directory.
// No member ends with an error, every group becomes stable and processes everything, and what history.check wants holds: nothing
// committed is lost, and a hand-over stays a hand-over.
func TestKillDuringRebalances(t *testing.T) {
	wanted := setting(t, "QUIRE_INTEROP_KILLS", 5)
	s := newStage(t, []mix{
		{group: "eager", assignor: "range", of: []memberProgram{memberFranz, memberPython, memberConfluentGo, memberJava}},
		{group: "cooperative", assignor: "cooperative-sticky", of: []memberProgram{memberFranz, memberConfluentPython, memberJava}},
		{group: "static", assignor: "roundrobin", static: true, of: []memberProgram{memberConfluentGo, memberFranz, memberPython,
			memberConfluentPython}},
		{group: "new", assignor: "consumer", of: []memberProgram{memberJava, memberConfluentPython, memberFranz}},
	})
	for _, g := range s.groups {
		for _, at := range g.seats {
			at.sit(t)
		}
	}
	s.until(90*time.Second, s.unstable)
	for kills := range wanted {
		for range 1 + s.rng.IntN(3) {
			g := s.groups[s.rng.IntN(len(s.groups))]
			s.move(g.seats[s.rng.IntN(len(g.seats))])
		}
		s.pass(time.Duration(s.rng.IntN(1500)) * time.Millisecond)
		s.server.kill()
		s.server.run(t)
		if kills%5 == 4 { // now and then all of it must come to rest
			s.fill()
			s.until(90*time.Second, s.unstable)
		} else {
			s.pass(time.Duration(s.rng.IntN(3000)) * time.Millisecond)
		}
	}
	s.settle()
	s.finish()
}

// move has a member come, leave or crash.
func (s *stage) move(at *seat) {
	switch l := at.now(); {
	case l == nil:
		at.sit(s.t)
	case l.toldToLeave || l.killed != 0:
	case s.rng.IntN(2) == 0:
		l.leave()
	default:
		l.kill()
	}
}

// pass lets time pass, and sees that no member ends.
func (s *stage) pass(d time.Duration) {
	over := time.Now().Add(d)
	s.until(d+time.Minute, func() string {
		if time.Now().Before(over) {
			return "waiting"
		}
		return ""
	})
}
