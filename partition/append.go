package partition

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// Acks says when an append answers.
type Acks int8

// The values of Kafka's acks.
const (
	AcksNone   Acks = 0  // never: the caller does not wait
	AcksLeader Acks = 1  // the leader has stored it as the durability mode wants
	AcksAll    Acks = -1 // committed
)

// Appended is where a batch went.
type Appended struct {
	Base       Offset
	AppendTime int64 // ms since the epoch under LogAppendTime, else -1
	LogStart   Offset
}

// Pending is an append under way.
//
// p, data's identity, size, acks, seq and epoch are set before it is shared. The rest belongs to p.mu; out and err do not change
// once answered is true. A Pending without p was answered when it was made.
//
// It is settled when its outcome in the log is known: until then it takes room in the window. It may be answered before that (AcksLeader), or
// later (AcksAll with a min.insync.replicas above the majority).
type Pending struct {
	p     *Partition
	data  []byte // nil once settled
	size  int64
	acks  Acks
	seq   sequence
	epoch int64 // leader epoch in which it was proposed

	newer    *Pending // of the same producer, in the overlay
	waiting  signalList
	settled  bool
	answered bool
	out      Appended
	err      error
}

// unwaited is what AcksNone gets: nobody will ask.
var unwaited = &Pending{answered: true, out: Appended{Base: -1, AppendTime: -1, LogStart: -1}}

// Append gives data, one batch that batch.Validate has passed as h, to the partition for good: the caller may not touch it again.
// Appends of one caller keep their order.
// It checks idempotence (KIP-98: the last five sequences of a producer, in-flight batches included: a repeat gets the first
// one's outcome) and blocks while too much is in flight (replication.MaxInFlight batches, 8 MiB), first come first served, until ctx
// ends.
//
// AcksLeader and AcksAll are the same at one voter, where storing is committing. With several, AcksLeader is answered when this
// server has stored the batch, as the durability mode wants it, and AcksAll when it is committed and at least Config.MinInsync voters have it.
// The Pending of AcksNone answers at once with the offset -1. Errors: ErrNotLeader, ErrClosed, ErrDamaged, ErrDiskFull,
// ErrTooFewReplicas (AcksAll only), ErrOutOfOrderSequence, ErrInvalidEpoch, and ctx's; none of them leaves anything in the log.
func (p *Partition) Append(ctx context.Context, data []byte, h batch.Header, acks Acks) (*Pending, error) {
	return p.AppendIn(ctx, data, h, acks, -1)
}

// AppendIn is Append for who relies on what it has read in a leader epoch: ErrFencedLeaderEpoch once another one has begun.
func (p *Partition) AppendIn(ctx context.Context, data []byte, h batch.Header, acks Acks, e CurrentEpoch) (*Pending, error) {
	if p.fenced.Load() != nil {
		return nil, ErrDamaged
	}
	now := p.now()
	if err := p.disk.check(now); err != nil {
		return nil, err
	}
	if p.appendTime.Load() {
		batch.StampAppendTime(data, now.UnixMilli())
	}
	if err := p.enoughInSync(acks, now); err != nil {
		return nil, err
	}
	pd := &Pending{p: p, data: data, size: int64(len(data)), acks: acks, seq: sequenceOf(&h)}
	if err := p.admit(ctx, pd.size); err != nil {
		return nil, err
	}
	pd, err := p.propose(pd, now, e)
	if err != nil {
		return nil, err
	}
	if acks == AcksNone {
		return unwaited, nil
	}
	return pd, nil
}

// admit takes room in the window.
func (p *Partition) admit(ctx context.Context, size int64) error {
	p.mu.Lock()
	if err := p.writable(); err != nil {
		p.mu.Unlock()
		return err
	}
	t := p.window.admit(size)
	p.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.ch:
		return t.err
	case <-ctx.Done():
		p.mu.Lock()
		wake := p.window.leave(t)
		p.mu.Unlock()
		wake.fire()
		return fmt.Errorf("waiting for room among the batches in flight: %w", context.Cause(ctx))
	}
}

// writable is called with mu held.
func (p *Partition) writable() error {
	switch p.role.Load() {
	case roleFollower:
		return ErrNotLeader
	case roleClosed:
		return ErrClosed
	case roleFailed:
		return errFailed
	case roleDamaged:
		return ErrDamaged
	}
	return nil
}

// propose judges an admitted batch and proposes it, or returns the append that it repeats. Order is held over both, so that
// the log has batches as they were judged; mu is not held over Propose, which may report a failure at once.
func (p *Partition) propose(pd *Pending, now time.Time, e CurrentEpoch) (*Pending, error) {
	p.order.Lock()
	defer p.order.Unlock()
	p.mu.Lock()
	first, err := p.register(pd, now, e)
	var wake signalList
	if first != pd {
		wake = p.window.release(pd.size)
	}
	p.mu.Unlock()
	wake.fire()
	if first == pd {
		var stored func(batch.Header)
		if pd.acks == AcksLeader {
			stored = pd.stored
		}
		p.group.Propose(pd.data, stored, pd.failed)
	}
	return first, err
}

// register is called with mu held. It returns pd where it is to be proposed, an earlier append where pd repeats it.
func (p *Partition) register(pd *Pending, now time.Time, e CurrentEpoch) (*Pending, error) {
	if err := p.writable(); err != nil {
		return nil, err
	}
	pd.epoch = p.role.Load()
	if e >= 0 && int64(e) != pd.epoch {
		return nil, fmt.Errorf("%w: it was %d, current is %d", ErrFencedLeaderEpoch, e, pd.epoch)
	}
	if pd.seq.idempotent() {
		flying, done, err := judge(&p.applied, p.overlay, pd.seq, now.UnixMilli())
		switch {
		case err != nil:
			return nil, err
		case flying != nil:
			return flying, nil
		case done != nil:
			return &Pending{answered: true, out: p.answer(done)}, nil
		}
		p.overlay.add(pd)
	}
	p.window.proposed(pd)
	return pd, nil
}

// answer is the outcome of a batch that is written.
func (p *Partition) answer(w *written) Appended {
	a := Appended{Base: w.base, AppendTime: -1, LogStart: p.log.StartOffset()}
	if w.appendTime {
		a.AppendTime = w.timestamp
	}
	return a
}

// settle is called once a Pending, with mu held: what became of it in the log is known.
func (a *Pending) settle() (wake signalList) {
	a.settled, a.data = true, nil
	a.p.window.trim()
	return a.p.window.release(a.size)
}

// answer tells whoever waits, unless that was done before. mu is held.
func (a *Pending) answer(out Appended, err error) (wake signalList) {
	if a.answered {
		return wake
	}
	a.answered, a.out, a.err = true, out, err
	wake, a.waiting = a.waiting, signalList{}
	return wake
}

// stored is the group's word that this server has stored the batch, whatever becomes of it.
func (a *Pending) stored(h batch.Header) {
	p := a.p
	logStart := p.log.StartOffset()
	p.mu.Lock()
	wake := a.answer(outcome(&h, logStart), nil)
	p.mu.Unlock()
	wake.fire()
}

// failed is the group's word that a batch will not commit, or, with ErrUnknownOutcome, that nobody knows.
//
// After the latter no sequence may be judged: the batch may yet commit, and a repeat of it would be written twice. The group
// tells Leading(true) only when everything of earlier terms is applied, so that is when appends go on.
func (a *Pending) failed(err error) {
	p := a.p
	p.mu.Lock()
	if a.settled {
		p.mu.Unlock()
		return
	}
	var wake signalList
	role := p.role.Load()
	if errors.Is(err, segment.ErrFailed) {
		p.setRole(roleFailed)
		wake = p.window.refuse(errFailed)
	} else if errors.Is(err, ErrUnknownOutcome) && p.role.Load() == a.epoch {
		p.setRole(roleFollower)
		wake = p.window.refuse(ErrNotLeader)
	}
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: %w", ErrDiskFull, err) // faster than the guard could see
	}
	p.overlay.failed(a)
	wake.join(a.answer(Appended{}, fmt.Errorf("append of %d bytes: %w", a.size, err)))
	wake.join(a.settle())
	changed := p.role.Load() != role
	p.mu.Unlock()
	wake.fire()
	if changed {
		p.wakeAll()
	}
}

// Wait returns the outcome. When ctx ends first the batch may still commit: ErrUnknownOutcome.
func (a *Pending) Wait(ctx context.Context) (Appended, error) {
	if a.p == nil {
		return a.out, a.err
	}
	mu := &a.p.mu
	mu.Lock()
	if a.answered {
		mu.Unlock()
		return a.out, a.err
	}
	s := signals.Get().(*signal)
	a.waiting.add(s)
	mu.Unlock()
	select {
	case <-s.ch:
		signals.Put(s)
		return a.out, a.err
	case <-ctx.Done():
		return a.giveUp(ctx, s)
	}
}

// Settled says whether Wait would return at once.
func (a *Pending) Settled() bool {
	if a.p == nil {
		return true
	}
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	return a.answered
}

// giveUp stops waiting, unless the outcome has come meanwhile.
func (a *Pending) giveUp(ctx context.Context, s *signal) (Appended, error) {
	mu := &a.p.mu
	mu.Lock()
	answered := a.answered
	if !answered {
		a.waiting.remove(s)
	}
	mu.Unlock()
	if answered {
		<-s.ch
	}
	signals.Put(s)
	if answered {
		return a.out, a.err
	}
	return Appended{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
}
