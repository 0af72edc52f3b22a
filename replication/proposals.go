package replication

import (
	"sync"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment/batch"
)

// proposal is a batch under way whose outcome nobody knows yet.
type proposal struct {
	data   []byte
	stored func(batch.Header) // told when the leader has stored it; nil: nobody wants to know
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
	wanted int // how many of the items have a stored that was not told
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
	if p.stored != nil {
		q.wanted++
	}
	return nil
}

// wanting takes the stored of those of logs out that have one.
func (q *proposals) wanting(logs []*raft.Log) (out []proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.wanted == 0 {
		return nil
	}
	at := q.head
	for _, l := range logs {
		if l.Type != raft.LogCommand || len(l.Data) == 0 {
			continue
		}
		for at < len(q.items) && &q.items[at].data[0] != &l.Data[0] {
			at++
		}
		if at == len(q.items) {
			break // it was given up meanwhile
		}
		if q.items[at].stored != nil {
			out = append(out, q.items[at])
			q.items[at].stored = nil
			q.wanted--
		}
	}
	return out
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
		q.drop(i + 1 - q.head)
		return p, true, refused
	}
	return proposal{}, false, nil
}

// drop takes the first n out. q.mu is held.
func (q *proposals) drop(n int) {
	for i := range q.items[q.head : q.head+n] {
		if q.items[q.head+i].stored != nil {
			q.wanted--
		}
	}
	clear(q.items[q.head : q.head+n])
	q.head += n
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
	q.items, q.head, q.wanted = nil, 0, 0
	return left
}

// take takes out the proposals of a store that failed.
func (q *proposals) take(datas func(yield func([]byte) bool)) (out []proposal) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for data := range datas {
		if q.head < len(q.items) && &q.items[q.head].data[0] == &data[0] {
			out = append(out, q.items[q.head])
			q.drop(1)
		}
	}
	return out
}
