package consumergroup

import (
	"fmt"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kerr"
)

// MaxHeldBytes bounds the replies that are held, about.
const MaxHeldBytes = 64 << 20

// recordOverhead is what a record of a batch takes at most beside its key and value.
const recordOverhead = 32

// outbox turns entries into batches of the journal, and holds replies until all that was written before them is committed.
//
// Batches are numbered from 1 in the order of the journal. Batch committed+1 is the next to be appended or is being appended; those up to
// written have entries. What is held is in the order in which it was held, and its numbers never fall.
type outbox struct {
	maxBatch  int
	leads     func() bool // see Log.Leads; nil: yes
	committed uint64
	written   uint64
	waiting   []pendingBatch // batches after the one that is being appended, or from committed+1 on
	inFlight  bool           // batch committed+1 is being appended
	held      []held
	head      int // of held
	heldBytes int
}

type pendingBatch struct {
	records []batch.Record
	bytes   int
}

// held is something to do once a batch is committed. done(false): nobody knows whether it ever will be.
type held struct {
	batch uint64
	done  func(committed bool)
	reply step.Reply // where done is nil
	bytes int        // of the reply, about
}

// write puts the entries of one step into batches: one, if they fit. After an error, an entry that no batch can hold, nothing is written.
func (o *outbox) write(entries []journal.Entry, now int64) error {
	records := make([]batch.Record, len(entries))
	total := 0
	for i, e := range entries {
		key, value, err := journal.Encode(e)
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		records[i] = batch.Record{Timestamp: now, Key: key, Value: value}
		n := recordSize(&records[i])
		if n > o.maxBatch {
			return fmt.Errorf("an entry of %d bytes of group %q, the limit is %d", n, e.GroupID(), o.maxBatch)
		}
		total += n
	}
	if len(o.waiting) == 0 || o.waiting[len(o.waiting)-1].bytes+total > o.maxBatch {
		o.open() // a step is split only where it has to be: what a broker that dies in between leaves is mended by the machines
	}
	for i := range records {
		o.add(records[i])
	}
	return nil
}

func recordSize(r *batch.Record) int { return recordOverhead + len(r.Key) + len(r.Value) }

func (o *outbox) open() {
	o.waiting = append(o.waiting, pendingBatch{})
	o.written++
}

func (o *outbox) add(r batch.Record) {
	n := recordSize(&r)
	last := &o.waiting[len(o.waiting)-1]
	if last.bytes+n > o.maxBatch && last.bytes > 0 {
		o.open()
		last = &o.waiting[len(o.waiting)-1]
	}
	last.records = append(last.records, r)
	last.bytes += n
}

// full says that enough waits: no step may run before the next batch is committed.
func (o *outbox) full() bool {
	return len(o.held)-o.head >= MaxQueued || o.heldBytes >= MaxHeldBytes || len(o.waiting) > 1 ||
		len(o.waiting) == 1 && o.waiting[0].bytes >= o.maxBatch/2
}

// next is the batch to be appended now; nil: none, or another is being appended.
func (o *outbox) next() ([]byte, error) {
	if o.inFlight || len(o.waiting) == 0 {
		return nil, nil
	}
	b, err := (&batch.Builder{}).Build(o.waiting[0].records)
	if err != nil {
		return nil, fmt.Errorf("build a journal batch: %w", err)
	}
	o.waiting[0] = pendingBatch{}
	o.waiting = o.waiting[1:]
	o.inFlight = true
	return b, nil
}

// commit notes that the batch that was being appended is committed, and does what was held for it.
func (o *outbox) commit() {
	o.inFlight = false
	o.committed++
	for o.head < len(o.held) && o.held[o.head].batch <= o.committed {
		h := &o.held[o.head]
		o.head++
		o.heldBytes -= h.bytes
		o.settle(h, true)
		*h = held{}
	}
	if o.head == len(o.held) {
		o.held, o.head = o.held[:0], 0
	}
}

// hold keeps h until everything written so far is committed.
func (o *outbox) hold(h held) {
	if h.batch = o.written; h.batch <= o.committed {
		o.settle(&h, true)
		return
	}
	if h.done == nil {
		h.bytes = responseWeight(h.reply.Response)
		o.heldBytes += h.bytes
	}
	o.held = append(o.held, h)
}

// fail gives up all that is held.
func (o *outbox) fail(err error) {
	for i := o.head; i < len(o.held); i++ {
		h := &o.held[i]
		if h.done == nil {
			h.reply.Response = step.Failure(h.reply.Call.Request, err)
		}
		o.settle(h, false)
	}
	o.held, o.head = nil, 0
}

// settle does what was held. What a coordinator tells that another may have followed is not so any more: its clients are sent to look for that one.
func (o *outbox) settle(h *held, committed bool) {
	switch {
	case h.done != nil:
		h.done(committed)
	case committed && o.leads != nil && !o.leads():
		h.reply.Call.Answer(step.Failure(h.reply.Call.Request, kerr.NotCoordinator))
	default:
		h.reply.Call.Answer(h.reply.Response)
	}
}
