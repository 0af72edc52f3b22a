package partition

import (
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// machine is the partition as its Raft group drives it, from one goroutine at a time: the sole mutator of the applied state.
type machine Partition

var _ replication.Machine = (*machine)(nil)

// Commit moves the producer state and the high watermark, then answers the appends and wakes the fetchers.
func (m *machine) Commit(batches []replication.Committed) {
	p := (*Partition)(m)
	now, logStart := p.now().UnixMilli(), p.log.StartOffset()
	var wake signalList
	p.mu.Lock()
	for i := range batches {
		c := &batches[i]
		if !p.applied.apply(&c.Header, now) {
			continue
		}
		if pd := p.window.take(c.Data); pd != nil {
			// Nobody reads the high watermark in between who could tell: it is stored before anybody is woken.
			p.overlay.committed(pd)
			out := outcome(&c.Header, logStart)
			if p.mustWait(pd) {
				p.waiting = append(p.waiting, confirmation{pd, c.Index, out})
			} else {
				wake.join(pd.answer(out, nil))
			}
			wake.join(pd.settle())
		}
	}
	moved := p.high.Swap(int64(p.applied.end)) != int64(p.applied.end)
	waiting := len(p.waiting) > 0
	p.mu.Unlock()
	wake.fire()
	if moved {
		p.watchers.wake()
	}
	if waiting {
		p.confirm()
	}
}

func outcome(h *batch.Header, logStart segment.Offset) Appended {
	a := Appended{Base: h.BaseOffset, AppendTime: -1, LogStart: logStart}
	if h.LogAppendTime() {
		a.AppendTime = h.MaxTimestamp
	}
	return a
}

// Capture sweeps and encodes the applied state. Only the sweep excludes readers.
func (m *machine) Capture() ([]byte, error) {
	p := (*Partition)(m)
	p.mu.Lock()
	p.applied.sweep(p.now().UnixMilli())
	p.mu.Unlock()
	return p.applied.encode(), nil
}

// Restore replaces the applied state.
func (m *machine) Restore(state []byte) error {
	p := (*Partition)(m)
	restored := newProducers(p.applied.ttl)
	if state != nil {
		if err := restored.decode(state); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.applied = restored
	p.high.Store(int64(restored.end))
	return nil
}

// Leading opens or ends a leadership. Batches in flight of an earlier one get their outcome from the group.
func (m *machine) Leading(leads bool, epoch segment.Term) {
	p := (*Partition)(m)
	var wake signalList
	p.changes.Add(1)
	p.mu.Lock()
	if leads {
		p.epochStart = p.applied.end
		p.setRole(int64(epoch))
	} else {
		p.setRole(roleFollower)
		wake = p.window.refuse(ErrNotLeader)
		wake.join(p.giveUpWaiting(ErrUnknownOutcome))
	}
	p.mu.Unlock()
	wake.fire()
	p.wakeAll()
}
