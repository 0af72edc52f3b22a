package replication

import "sync"

// proposal is a batch under way whose outcome nobody knows yet.
type proposal struct {
	data   []byte
	failed func(error)
	done   func() // told of the commit; nil: the machine is
}

// proposals are a group's batches under way, in the order in which Raft's leader takes them. They stand in for the library's
// futures: those cannot be waited for without a goroutine each, and some are never answered at a shutdown.
//
// What always holds: a proposal is in here from push until it is committed or told that it failed, so either happens once.
// The lock is a leaf: nothing is called under it.
type proposals struct {
	mu     sync.Mutex
	closed error // why nothing is taken; nil: the door is open
	items  []proposal
	head   int
}

func (q *proposals) push(p proposal) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head >= 2*MaxInFlight {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, p)
	return nil
}

// committed takes out the proposal whose slice data is; mine is false when it is none of them. The library keeps the order,
// so proposals that were passed over have been refused: they are returned. q.mu is held.
func (q *proposals) committed(data []byte) (p proposal, mine bool, refused []proposal) {
	for i := q.head; i < len(q.items); i++ {
		if &q.items[i].data[0] != &data[0] {
			continue
		}
		if i > q.head {
			refused = append(refused, q.items[q.head:i]...)
		}
		p = q.items[i]
		clear(q.items[q.head : i+1])
		q.head = i + 1
		return p, true, refused
	}
	return proposal{}, false, nil
}

// open lets proposals in, unless the queue was closed for good.
func (q *proposals) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != ErrClosed {
		q.closed = nil
	}
}

// refuse lets nothing in from now on, with why. What is under way stays, and has its outcome.
func (q *proposals) refuse(why error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed = why
	}
}

func (q *proposals) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items)
}

// shut refuses what comes from now on with why and returns what is under way. ErrClosed is for good.
func (q *proposals) shut(why error) []proposal {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != ErrClosed {
		q.closed = why
	}
	left := q.items[q.head:]
	q.items, q.head = nil, 0
	return left
}

// take takes out the proposals of a store that failed.
func (q *proposals) take(datas func(yield func([]byte) bool)) (out []proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for data := range datas {
		if q.head < len(q.items) && &q.items[q.head].data[0] == &data[0] {
			out = append(out, q.items[q.head])
			q.items[q.head] = proposal{}
			q.head++
		}
	}
	return out
}
