package classic

import (
	"container/heap"
	"time"
)

// timer is a place in a group's heap of sessions. A heartbeat moves only ends, so that it costs nothing; due, by which the heap is ordered, never lies
// after it, and catches up when it comes to the top.
type timer struct {
	ends  time.Time
	due   time.Time
	place int // in the heap, from 1; 0: not in it
	id    string
}

// timers is a heap of sessions, the earliest due first.
type timers []*timer

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i+1, j+1
}

func (h *timers) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.place = len(*h)
}

func (h *timers) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = 0
	return t
}

// set lets a session end at a time.
func (h *timers) set(t *timer, ends time.Time) {
	t.ends = ends
	switch {
	case t.place == 0:
		t.due = ends
		heap.Push(h, t)
	case ends.Before(t.due):
		t.due = ends
		heap.Fix(h, t.place-1)
	}
}

// stop takes a session out.
func (h *timers) stop(t *timer) {
	if t.place != 0 {
		heap.Remove(h, t.place-1)
	}
}

// over is a session that has ended at now, nil where there is none. The others at the top catch up.
func (h *timers) over(now time.Time) *timer {
	for len(*h) > 0 && !(*h)[0].due.After(now) {
		t := (*h)[0]
		if !t.ends.After(now) {
			return t
		}
		t.due = t.ends
		heap.Fix(h, 0)
	}
	return nil
}
