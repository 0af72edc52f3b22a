package partition

import (
	"slices"
	"sync"

	"github.com/quirelog/quire/replication"
)

// maxInFlightBytes bounds the bytes of a partition's batches in flight. A larger single batch goes alone.
const maxInFlightBytes = 8 << 20

// signal wakes one goroutine once. next chains the signals that are to be fired together.
type signal struct {
	ch   chan struct{} // one token
	next *signal
}

var signals = sync.Pool{New: func() any { return &signal{ch: make(chan struct{}, 1)} }}

// signalList is a chain of signals in the order in which they were added. Whoever takes signals off their owners under
// Partition.mu fires them when it has let go of it.
type signalList struct{ first, last *signal }

func (l *signalList) add(s *signal) {
	s.next = nil
	if l.first == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *signalList) join(m signalList) {
	switch {
	case m.first == nil:
	case l.first == nil:
		*l = m
	default:
		l.last.next, l.last = m.first, m.last
	}
}

func (l *signalList) remove(s *signal) {
	var kept signalList
	for at := l.first; at != nil; {
		next := at.next
		if at != s {
			kept.add(at)
		}
		at = next
	}
	*l = kept
}

// fire wakes everybody in the list. A signal may be in other hands as soon as its token is sent.
func (l signalList) fire() {
	for s := l.first; s != nil; {
		next := s.next
		s.ch <- struct{}{}
		s = next
	}
}

// ticket is an append that waits for room. It leaves the queue when it is admitted, refused or given up.
type ticket struct {
	signal
	size    int64
	settled bool
	err     error
}

// window bounds what is in flight and knows it in the order proposed. Its owner is Partition.mu.
//
// count and bytes cover what was admitted and is not settled, whether it is proposed yet or not. flying[head:] is what was
// proposed; if it is not empty, its first batch is not settled. Nobody is admitted past the queue.
type window struct {
	count  int
	bytes  int64
	queue  []*ticket
	flying []*Pending
	head   int
}

func (w *window) fits(size int64) bool {
	return w.count == 0 || w.count < replication.MaxInFlight && w.bytes+size <= maxInFlightBytes
}

// admit takes room for size bytes; if there is none, it queues and returns the ticket to wait for.
func (w *window) admit(size int64) *ticket {
	if len(w.queue) == 0 && w.fits(size) {
		w.count++
		w.bytes += size
		return nil
	}
	t := &ticket{signal: signal{ch: make(chan struct{}, 1)}, size: size}
	w.queue = append(w.queue, t)
	return t
}

// release gives room back and admits whoever waits for it, first come first served.
func (w *window) release(size int64) (wake signalList) {
	w.count--
	w.bytes -= size
	return w.promote()
}

func (w *window) promote() (wake signalList) {
	n := 0
	for ; n < len(w.queue) && w.fits(w.queue[n].size); n++ {
		t := w.queue[n]
		t.settled = true
		w.count++
		w.bytes += t.size
		wake.add(&t.signal)
	}
	w.queue = slices.Delete(w.queue, 0, n)
	return wake
}

// leave takes a ticket out whose owner no longer waits, or gives back the room that it got meanwhile.
func (w *window) leave(t *ticket) (wake signalList) {
	switch i := slices.Index(w.queue, t); {
	case i >= 0:
		w.queue = slices.Delete(w.queue, i, i+1)
		return w.promote() // a smaller one behind it may fit
	case t.err == nil:
		return w.release(t.size)
	}
	return wake
}

// refuse fails everybody in the queue.
func (w *window) refuse(err error) (wake signalList) {
	for _, t := range w.queue {
		t.settled, t.err = true, err
		wake.add(&t.signal)
	}
	w.queue = nil
	return wake
}

// proposed notes a batch that is about to be proposed.
func (w *window) proposed(pd *Pending) { w.flying = append(w.flying, pd) }

// take finds the batch whose bytes these are, or nil. It is the first one in flight, unless the group is late to settle a
// failure.
func (w *window) take(data []byte) *Pending {
	if len(data) == 0 {
		return nil
	}
	for _, pd := range w.flying[w.head:] {
		if !pd.settled && &pd.data[0] == &data[0] {
			return pd
		}
	}
	return nil
}

// trim takes settled batches off the head, and moves the others to the front of the array now and then.
func (w *window) trim() {
	for w.head < len(w.flying) && w.flying[w.head].settled {
		w.flying[w.head] = nil
		w.head++
	}
	if 2*w.head >= len(w.flying) {
		w.flying = slices.Delete(w.flying, 0, w.head)
		w.head = 0
	}
}
