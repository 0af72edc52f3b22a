package partition

import (
	"fmt"
	"time"

	"github.com/quirelog/quire/segment"
)

// A majority of the voters has what is committed. Where min.insync.replicas wants more of them, an append with AcksAll waits for
// those after the commit: it takes no room in the window any more, and its records can be read.

// confirmation is a committed append that waits.
type confirmation struct {
	pd    *Pending
	index segment.Index
	out   Appended
}

// enoughInSync refuses an append with AcksAll where fewer voters are in sync than min.insync.replicas, as Kafka does; and those that wait for
// more, which may wait for ever.
func (p *Partition) enoughInSync(acks Acks, now time.Time) error {
	need := int(p.minInsync.Load())
	if acks != AcksAll || need <= 1 || p.role.Load() < 0 {
		return nil
	}
	n := len(p.group.InSync(now))
	if n >= need || p.role.Load() < 0 {
		return nil
	}
	p.mu.Lock()
	wake := p.giveUpWaiting(fmt.Errorf("%w: %d of %d", ErrTooFewAfterAppend, n, need))
	p.mu.Unlock()
	wake.fire()
	return fmt.Errorf("%w: %d of %d", ErrTooFewReplicas, n, need)
}

// mustWait says whether a committed append is yet to be confirmed. mu is held.
func (p *Partition) mustWait(pd *Pending) bool {
	need := int(p.minInsync.Load())
	return pd.acks == AcksAll && need > 1 && need > len(p.group.Voters())/2+1
}

// confirm answers what enough voters have by now. It is told by the group that one of them has more.
func (p *Partition) confirm() {
	p.mu.Lock()
	if len(p.waiting) == 0 {
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	upTo := p.group.Confirmed(int(p.minInsync.Load()))
	var wake signalList
	p.mu.Lock()
	n := 0
	for ; n < len(p.waiting) && p.waiting[n].index <= upTo; n++ {
		wake.join(p.waiting[n].pd.answer(p.waiting[n].out, nil))
	}
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.mu.Unlock()
	wake.fire()
}

// giveUpWaiting answers all that waits with err. mu is held.
func (p *Partition) giveUpWaiting(err error) (wake signalList) {
	for _, c := range p.waiting {
		wake.join(c.pd.answer(Appended{}, err))
	}
	p.waiting = nil
	return wake
}
