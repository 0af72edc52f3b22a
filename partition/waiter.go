package partition

import (
	"sync"
	"sync/atomic"
)

// Waiter is woken when a partition it watches gets new committed records, stops leading or closes.
type Waiter struct{ ch chan struct{} }

// NewWaiter makes one, for one goroutine.
func NewWaiter() *Waiter { return &Waiter{ch: make(chan struct{}, 1)} }

// C receives when something happened since the last receive (it holds one token).
func (w *Waiter) C() <-chan struct{} { return w.ch }

func (w *Waiter) wake() {
	select {
	case w.ch <- struct{}{}:
	default: // the token is there already
	}
}

// watchers are a partition's waiters. Waking nobody costs one atomic load.
//
// No wake is lost: a waiter is counted before it looks at the high watermark, and the high watermark is stored before the
// count is read.
type watchers struct {
	n   atomic.Int32 // len(set), for reading without mu
	mu  sync.Mutex
	set map[*Waiter]struct{}
}

// Watch adds w to p's waiters. What happened before Watch returned does not wake it: look at the marks afterwards.
func (p *Partition) Watch(w *Waiter) { p.watchers.add(w) }

// Unwatch removes w from p's waiters.
func (p *Partition) Unwatch(w *Waiter) { p.watchers.remove(w) }

// WatchLeading is Watch for who wants to know only when p begins or ceases to lead, or closes.
func (p *Partition) WatchLeading(w *Waiter) { p.leading.add(w) }

// UnwatchLeading ends WatchLeading.
func (p *Partition) UnwatchLeading(w *Waiter) { p.leading.remove(w) }

// wakeAll wakes everybody: p's role has changed.
func (p *Partition) wakeAll() {
	p.watchers.wake()
	p.leading.wake()
}

func (ws *watchers) add(w *Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.set == nil {
		ws.set = map[*Waiter]struct{}{}
	}
	ws.set[w] = struct{}{}
	ws.n.Store(int32(len(ws.set)))
}

func (ws *watchers) remove(w *Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.set, w)
	ws.n.Store(int32(len(ws.set)))
}

func (ws *watchers) wake() {
	if ws.n.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		w.wake()
	}
}
