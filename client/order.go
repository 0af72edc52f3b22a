package client

import (
	"cmp"
	"container/heap"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordOverhead is about what a record takes in memory beside its key and value.
const recordOverhead = 256

// queue holds the records fetched of a partition that are not replayed yet.
type queue struct {
	records []*kgo.Record // from head on
	head    int
	bytes   int // of them all
	paused  bool

	// Of the order that owns the queue.
	listed  bool // in arrivals, or in merge's heap
	waiting bool // counted in merge.waiting
}

func (q *queue) empty() bool { return q.head == len(q.records) }

func (q *queue) push(k *kgo.Record) {
	q.records = append(q.records, k)
	q.bytes += len(k.Key) + len(k.Value) + recordOverhead
}

func (q *queue) pop() *kgo.Record {
	k := q.records[q.head]
	q.records[q.head] = nil
	q.head++
	q.bytes -= len(k.Key) + len(k.Value) + recordOverhead
	if q.empty() {
		q.records, q.head = q.records[:0], 0
	}
	return k
}

// arrivals is the order in which records were fetched.
type arrivals struct{ ready []*partition }

func (a *arrivals) add(p *partition) {
	if !p.queue.listed && !p.queue.empty() {
		p.queue.listed = true
		a.ready = append(a.ready, p)
	}
}

func (a *arrivals) next() *kgo.Record {
	if len(a.ready) == 0 {
		return nil
	}
	q := &a.ready[0].queue
	k := q.pop()
	if q.empty() {
		q.listed = false
		a.ready = a.ready[1:]
	}
	return k
}

// merge is the order of timestamps over all partitions. It knows the next record when every partition that has not been read up
// to where it ended when the replay began has a record queued: the earliest of the heads.
type merge struct {
	heads   []*partition // a heap of those that have records queued, the earliest first
	waiting int          // partitions that must be heard of first
}

func (m *merge) add(p *partition) {
	m.await(p)
	if !p.queue.listed && !p.queue.empty() {
		p.queue.listed = true
		heap.Push(m, p)
	}
}

// await counts p in or out of those that are waited for.
func (m *merge) await(p *partition) {
	waits := p.queue.empty() && p.next < p.end
	if waits && !p.queue.waiting {
		m.waiting++
	}
	if !waits && p.queue.waiting {
		m.waiting--
	}
	p.queue.waiting = waits
}

func (m *merge) next() *kgo.Record {
	if m.waiting > 0 || len(m.heads) == 0 {
		return nil
	}
	p := m.heads[0]
	k := p.queue.pop()
	if p.queue.empty() {
		heap.Pop(m)
		p.queue.listed = false
		m.await(p)
	} else {
		heap.Fix(m, 0)
	}
	return k
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (m *merge) Len() int { return len(m.heads) }

// Less compares first records; those of two partitions are never the same record.
func (m *merge) Less(i, j int) bool {
	a, b := m.heads[i], m.heads[j]
	if c := a.queue.records[a.queue.head].Timestamp.Compare(b.queue.records[b.queue.head].Timestamp); c != 0 {
		return c < 0
	}
	return cmp.Less(a.number, b.number)
}

func (m *merge) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }

// Push is called by heap.Push only.
func (m *merge) Push(x any) { m.heads = append(m.heads, x.(*partition)) }

// Pop is called by heap.Pop only.
func (m *merge) Pop() any {
	last := len(m.heads) - 1
	p := m.heads[last]
	m.heads = m.heads[:last]
	return p
}
