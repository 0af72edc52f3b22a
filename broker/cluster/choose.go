package cluster

import (
	"cmp"
	"slices"
	"time"
)

// candidate is a voter that may vote, and so may be told to stand.
type candidate struct {
	id ServerID
	*answer
}

// decide calls an election, or has the voters asked again later.
func (c *core) decide(now time.Time, id ID, g *vacancy, w *work) {
	var free []candidate
	var promises []time.Duration
	var over uint64
	for v, a := range g.asked {
		if a == nil || !a.votes {
			continue
		}
		if a.state == Leader && !g.resigned(a.leader) { // it tells so in a moment, or finds out that it does not lead any more
			g.wait(now, g.longest(now))
			return
		}
		promise := a.promised
		if promise > 0 && g.resigned(a.leader) {
			promise, over = 0, max(over, a.term)
		}
		promises = append(promises, promise)
		if promise == 0 {
			free = append(free, candidate{v, a})
		}
	}
	g.judge()
	if g.Fresh && now.Before(g.since.Add(preferredWait)) && g.awaitsPreferred() {
		g.pauseMore(now)
		return
	}
	switch best := g.choose(id, free); {
	case best.answer != nil:
		w.elect[best.id] = append(w.elect[best.id], order{id: id, term: best.term, over: over})
		g.phase, g.at = called, now.Add(min(leadWait<<min(g.calls, 8), leadWaitMost))
		g.target, g.stood, g.pause = best.id, best.term, 0
		g.calls++
	case len(promises) >= g.quorum():
		slices.Sort(promises)
		g.wait(now, min(max(promises[g.quorum()-1], time.Millisecond), leadWait))
	default:
		g.pauseMore(now)
	}
}

// awaitsPreferred says whether the preferred voter is alive and has not opened the group yet.
func (g *vacancy) awaitsPreferred() bool {
	for v, a := range g.asked {
		if brokerOf(v) == g.preferred {
			return a != nil && !a.votes && !a.missing
		}
	}
	return false
}

// judge counts once more against whoever was told to stand last, if it did nothing.
func (g *vacancy) judge() {
	if a := g.asked[g.target]; a != nil && a.term == g.stood {
		g.failed[g.target]++
	}
	g.target = ""
}

// resigned says whether a broker that others take for the leader has answered that it does not lead. It never will again in a term
// in which they know it as the leader, so what they promised it binds them no more.
func (g *vacancy) resigned(leader int32) bool {
	for v, a := range g.asked {
		if brokerOf(v) == leader {
			return a != nil && !a.missing && (a.state != Leader || a.leader != leader)
		}
	}
	return false
}

// choose picks the voter that has the most of the log among those that the free voters can elect. Between equals it takes the one that
// has failed less, then the one whose term is ahead (it would refuse to vote in an earlier one), one that has not just given up the
// lead, the preferred one, and one by turns, so that the groups of a dead broker come to several.
func (g *vacancy) choose(id ID, free []candidate) candidate {
	free = slices.DeleteFunc(slices.Clone(free), func(c candidate) bool {
		votes := 0
		for _, o := range free {
			if c.compareLog(o.answer) >= 0 {
				votes++
			}
		}
		return votes < g.quorum()
	})
	if len(free) == 0 {
		return candidate{}
	}
	turn := func(c candidate) int { return (slices.Index(g.Voters, c.id) + int(id.Partition)) % len(g.Voters) }
	return slices.MinFunc(free, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(g.failed[a.id]/2, g.failed[b.id]/2),
			b.compareLog(a.answer),
			cmp.Compare(b.term, a.term),
			first(b.id == g.Leader, a.id == g.Leader),
			first(brokerOf(a.id) == g.preferred, brokerOf(b.id) == g.preferred),
			cmp.Compare(turn(a), turn(b)),
		)
	})
}

// first orders those before the others of whom something is true.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareLog compares what two voters have.
func (a *answer) compareLog(b *answer) int {
	return cmp.Or(cmp.Compare(a.lastTerm, b.lastTerm), cmp.Compare(a.lastIndex, b.lastIndex))
}
