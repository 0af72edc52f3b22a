package consumergroup

import (
	"container/heap"
	"time"
)

// timers is a heap of the groups that wait for something, the earliest in front. A group stands in it no later than its deadline, perhaps earlier:
// a heartbeat only puts a deadline off, and is not worth a change of the heap.
type timers []*group

// set notes a group's new deadline; zero: none. One that is later than the old is noted when that comes.
func (t *timers) set(g *group, at time.Time) {
	if at.IsZero() || g.place >= 0 && !at.Before(g.at) {
		return
	}
	t.move(g, at)
}

// move puts a group where its deadline belongs.
func (t *timers) move(g *group, at time.Time) {
	switch {
	case at.IsZero() && g.place >= 0:
		heap.Remove(t, g.place)
	case at.IsZero():
	case g.place >= 0:
		g.at = at
		heap.Fix(t, g.place)
	default:
		g.at = at
		heap.Push(t, g)
	}
}

// first is the group with the earliest deadline, nil if none waits.
func (t timers) first() *group {
	if len(t) == 0 {
		return nil
	}
	return t[0]
}

// Len, Less, Swap, Push and Pop are container/heap's.
func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].place, t[j].place = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(x any) {
	g := x.(*group)
	g.place = len(*t)
	*t = append(*t, g)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(*t) - 1
	g := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	g.place = -1
	return g
}
