package broker

import "sync"

// broadcast tells any number of waiters that something has changed. The zero value is ready.
type broadcast struct {
	mu      sync.Mutex
	changed chan struct{} // nil: nobody waits
}

// next is closed at the next send.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// send wakes whoever waits. It costs nothing while nobody does.
func (b *broadcast) send() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
