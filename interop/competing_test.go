package interop

import (
	"testing"
	"time"
)

// TestCompetingConsumers has the members of four groups join, leave, crash and pause for QUIRE_INTEROP_GROUP_SECONDS (a minute) while records
// are written to the 60 partitions that each of the groups reads: eager, cooperative and static members of the classic protocol, and
// the new one, each group with several clients. history.check says what must hold; settle, how it must end.
func TestCompetingConsumers(t *testing.T) {
	seconds := setting(t, "QUIRE_INTEROP_GROUP_SECONDS", 60)
	s := newStage(t, []mix{
		{group: "eager", assignor: "range", of: []memberProgram{memberFranz, memberPython, memberConfluentGo, memberJava, memberConfluentPython,
			memberPython, memberFranz}},
		{group: "cooperative", assignor: "cooperative-sticky", of: []memberProgram{memberFranz, memberConfluentGo, memberJava, memberFranz,
			memberConfluentPython}},
		{group: "static", assignor: "roundrobin", static: true, of: []memberProgram{memberConfluentGo, memberPython, memberFranz, memberJava,
			memberConfluentPython}},
		{group: "new", assignor: "consumer", of: []memberProgram{memberJava, memberConfluentPython, memberFranz, memberFranz, memberConfluentPython}},
	})
	until := time.Now().Add(time.Duration(seconds) * time.Second)
	next := time.Now()
	for tick := time.NewTicker(20 * time.Millisecond); time.Now().Before(until); <-tick.C {
		s.faults()
		s.resume()
		if time.Now().After(next) {
			g := s.groups[s.rng.IntN(len(s.groups))]
			s.disturb(g, g.seats[s.rng.IntN(len(g.seats))])
			next = time.Now().Add(time.Duration(s.rng.IntN(700)) * time.Millisecond)
		}
	}
	s.settle()
	s.finish()
}

// resume continues who has been stopped for long enough.
func (s *stage) resume() {
	for _, g := range s.groups {
		for _, at := range g.seats {
			if !at.resumeAt.IsZero() && time.Now().After(at.resumeAt) {
				at.now().resume()
				at.resumeAt = time.Time{}
			}
		}
	}
}

// disturb does something to a seat: a member comes, leaves, crashes, or is stopped, for less than the session or for more.
func (s *stage) disturb(g *group, at *seat) {
	l := at.now()
	switch {
	case l == nil:
		at.sit(s.t)
		return
	case !at.resumeAt.IsZero() || l.toldToLeave || l.killed != 0 || s.sitting(g) < 3:
		return
	}
	switch s.rng.IntN(5) {
	case 0:
		l.leave()
	case 1:
		l.kill()
	case 2:
		l.stop()
		at.resumeAt = time.Now().Add(groupSession / 4)
	case 3:
		l.stop()
		at.resumeAt = time.Now().Add(groupSession * 3 / 2)
	}
}

// sitting counts the members that are there and run.
func (s *stage) sitting(g *group) int {
	n := 0
	for _, at := range g.seats {
		if l := at.now(); l != nil && !l.toldToLeave && l.killed == 0 && at.resumeAt.IsZero() {
			n++
		}
	}
	return n
}
