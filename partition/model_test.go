package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// model is the partition as the rules say it, written down as the list of all batches, in flight or committed.
type model struct {
	t       *testing.T
	rng     *rand.Rand
	f       *fixture
	entries []*entry
	leads   bool
	term    segment.Term

	checkpoint   []byte // nil: none was captured
	checkpointAt int    // committed batches at that time
}

type entry struct {
	h         batch.Header
	pending   []*Pending // the first one and its repeats
	committed bool
	base      Offset
}

func (m *model) committed() (n int, end Offset) {
	for _, e := range m.entries {
		if e.committed {
			n, end = n+1, end+Offset(e.h.NumRecords)
		}
	}
	return n, end
}

// judge is what the rules say to q: the entry that it repeats, or an error, or that it is new.
func (m *model) judge(q sequence) (*entry, error) {
	if !m.leads {
		return nil, ErrNotLeader
	}
	var mine []*entry
	for _, e := range m.entries {
		if e.h.ProducerID == q.producer {
			mine = append(mine, e)
		}
	}
	if len(mine) == 0 {
		return nil, nil
	}
	newest := sequenceOf(&mine[len(mine)-1].h)
	switch {
	case q.epoch < newest.epoch:
		return nil, ErrInvalidEpoch
	case q.epoch > newest.epoch && q.first == 0:
		return nil, nil
	case q.epoch > newest.epoch:
		return nil, ErrOutOfOrderSequence
	}
	for i, kept := len(mine)-1, 0; i >= 0 && kept < 5 && mine[i].h.ProducerEpoch == q.epoch; i-- {
		if sequenceOf(&mine[i].h) == q {
			return mine[i], nil
		}
		if mine[i].committed {
			kept++
		}
	}
	if q.first == newest.last+1 {
		return nil, nil
	}
	return nil, ErrOutOfOrderSequence
}

// offer appends what an idempotent client might send: mostly the next or a repeat, sometimes nonsense.
func (m *model) offer() {
	h := header(m.rng.Int64N(3), 0, 0, 1+m.rng.Int32N(3))
	var mine []*entry
	for _, e := range m.entries {
		if e.h.ProducerID == h.ProducerID {
			mine = append(mine, e)
		}
	}
	if len(mine) > 0 {
		newest := sequenceOf(&mine[len(mine)-1].h)
		h.ProducerEpoch, h.BaseSequence = newest.epoch, newest.last+1
		switch m.rng.IntN(12) {
		case 0, 1, 2, 3:
			h = mine[max(0, len(mine)-1-m.rng.IntN(8))].h
		case 4:
			h.BaseSequence += m.rng.Int32N(3)
		case 5:
			h.ProducerEpoch += int16(m.rng.IntN(3)) - 1
			h.ProducerEpoch = max(0, h.ProducerEpoch)
		case 6:
			h.ProducerEpoch++
			h.BaseSequence = 0
		}
	}
	repeats, want := m.judge(sequenceOf(&h))
	pd, err := m.f.offer(m.t.Context(), h, AcksAll)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		m.t.Fatalf("offered %+v: %v, want %v", sequenceOf(&h), err, want)
	}
	switch {
	case err != nil:
	case repeats == nil:
		m.entries = append(m.entries, &entry{h: h, pending: []*Pending{pd}})
	case repeats.committed:
		wantBase(m.t, pd, repeats.base)
	default:
		repeats.pending = append(repeats.pending, pd)
	}
}

// commit commits some of what is in flight, foreign: after the leadership was lost.
func (m *model) commit(foreign bool) {
	k := m.rng.IntN(m.f.group.proposals() + 1)
	n, end := m.committed()
	m.f.group.commit(k, foreign)
	for _, e := range m.entries[n : n+k] {
		e.committed, e.base = true, end
		end = e.base + Offset(e.h.NumRecords)
		for _, pd := range e.pending {
			if !foreign {
				wantBase(m.t, pd, e.base)
			}
		}
	}
	if high := m.f.high.Load(); high != int64(end) {
		m.t.Fatalf("high watermark %d, want %d", high, end)
	}
}

// drop fails what is in flight, newest batches only or all of it, and forgets it.
func (m *model) drop(from int, err error) {
	n, _ := m.committed()
	g := m.f.group
	tail := append([]fakeProposal(nil), g.under[from:]...)
	g.under = g.under[:from]
	for _, pr := range tail {
		pr.failed(err)
	}
	for _, e := range m.entries[n+from:] {
		for _, pd := range e.pending {
			if _, got := settled(m.t, pd); !errors.Is(got, err) {
				m.t.Fatalf("outcome %v, want %v", got, err)
			}
		}
	}
	m.entries = m.entries[:n+from]
}

// depose ends the leadership with the outcome of everything in flight unknown; some of it commits in the next one.
func (m *model) depose() {
	g := m.f.group
	n, _ := m.committed()
	for _, pr := range g.under {
		pr.failed(ErrUnknownOutcome)
	}
	g.depose()
	m.commit(true)
	n, _ = m.committed()
	g.under = nil
	m.entries = m.entries[:n]
	m.leads = false
}

// restart makes a new partition out of the last checkpoint and the log, of which it sees some batches again.
func (m *model) restart() {
	m.depose()
	old := m.f.group
	m.f = newFixture(m.t)
	m.f.group.headers, m.f.group.log = old.headers, old.log
	m.f.Partition.log = old.log
	m.f.group.depose()
	if err := (*machine)(m.f.Partition).Restore(m.checkpoint); err != nil {
		m.t.Fatal(err)
	}
	var again []replication.Committed
	for _, h := range old.log.stored[m.rng.IntN(m.checkpointAt+1):] {
		again = append(again, replication.Committed{Header: h})
	}
	(*machine)(m.f.Partition).Commit(again)
}

func (m *model) step() {
	switch n := m.rng.IntN(100); {
	case n < 60:
		m.offer()
	case n < 85:
		if m.leads {
			m.commit(false)
		}
	case n < 90:
		m.drop(m.rng.IntN(m.f.group.proposals()+1), errors.New("not enqueued"))
	case n < 93:
		m.depose()
	case n < 95:
		m.restart()
	case n < 97:
		m.checkpoint, _ = (*machine)(m.f.Partition).Capture()
		m.checkpointAt, _ = m.committed()
	}
	if !m.leads && m.rng.IntN(3) == 0 {
		m.leads = true
		m.term++
		m.f.group.lead(m.term)
	}
}

// TestIdempotenceAgainstTheModel runs appends, repeats, commits, failures, changes of leadership, checkpoints and restarts in
// random order; every answer must be the model's.
func TestIdempotenceAgainstTheModel(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 1)), f: newFixture(t), leads: true, term: 1}
			for range 300 {
				m.step()
			}
			n, _ := m.committed()
			if len(m.f.group.log.stored) != n {
				t.Fatalf("%d batches in the log, %d in the model", len(m.f.group.log.stored), n)
			}
		})
	}
}
