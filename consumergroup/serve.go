package consumergroup

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// serve runs steps until an append fails or ctx ends.
func (s *shard) serve(ctx context.Context, r *registry, o *outbox) error {
	batches, appended := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(appended)
		for b := range batches {
			appended <- s.log.Append(ctx, b)
		}
	}()
	defer func() {
		s.become(nil)
		close(batches)
		for err := range appended { // ctx has ended; what was under way may yet be committed, and then its calls are answered
			if err == nil {
				o.commit()
			}
		}
	}()
	s.become(&serving{r, o})
	for {
		b, err := s.work(r, o)
		if err != nil {
			return err
		}
		if b != nil {
			batches <- b
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-appended:
			if err := s.settle(o, err); err != nil {
				return err
			}
		case <-s.queue.wake:
		case <-s.timer.C:
			s.expired()
		}
	}
}

// become begins to serve, or ends it.
func (s *shard) become(live *serving) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.live = live; live == nil {
		return
	}
	s.at, s.asked, s.sweeps = time.Time{}, 0, nil
	s.check = time.Now().Add(s.c.o.RetentionCheck)
	s.forget(live.r)
}

// work does all that there is to do, and returns the batch to append now, if there is one.
func (s *shard) work(r *registry, o *outbox) ([]byte, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	now := time.Now()
	drained := s.drain(r, o)
	for _, fn := range s.queue.inspections() {
		fn(r)
	}
	if drained { // members that were heard before now have been: none is thrown out because the journal was slow
		s.ticks(r, o, now)
		s.wind(r, o, now)
	}
	return o.next()
}

// settle takes the outcome of an append.
func (s *shard) settle(o *outbox, err error) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err != nil {
		o.inFlight = false
		return err
	}
	o.commit()
	return nil
}

// expired notes that the timer is not set any more.
func (s *shard) expired() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.at = time.Time{}
}

// atOnce runs a heartbeat's step on the caller's goroutine, where nothing waits before it; false: it is for the queue. Members send little
// else while nothing happens, and handing each to another goroutine costs more than the step.
func (s *shard) atOnce(c *step.Call) bool {
	switch c.Request.(type) {
	case *kmsg.HeartbeatRequest, *kmsg.ConsumerGroupHeartbeatRequest:
	default:
		return false
	}
	if !s.turn.TryLock() {
		return false
	}
	defer s.turn.Unlock()
	if s.live == nil || s.live.o.full() || !s.queue.empty() {
		return false
	}
	r, o := s.live.r, s.live.o
	s.step(r, o, func(st *step.Step) { r.handle(st, c) })
	if d := r.deadline(); len(o.waiting) > 0 || !d.IsZero() && d.Before(s.at) {
		s.queue.signal() // there is something to append, or to wait for
	}
	return true
}

// drain runs the steps that wait in the queue, and reports whether that was all of them.
func (s *shard) drain(r *registry, o *outbox) bool {
	for !o.full() {
		i, ok := s.queue.pop()
		switch {
		case !ok:
			return true
		case i.call != nil:
			s.step(r, o, func(st *step.Step) { r.handle(st, i.call) })
		default:
			s.gone = append(s.gone, i.gone...)
			s.forget(r)
		}
	}
	return false
}

// step runs one step and passes on what it did. A step whose entry no batch can hold is undone by dissolving its group: that is a group
// whose members describe themselves with more than MaxBatch bytes together.
func (s *shard) step(r *registry, o *outbox, run func(*step.Step)) {
	st := &s.st
	st.Now, st.Entries, st.Replies = time.Now(), st.Entries[:0], st.Replies[:0]
	run(st)
	if len(st.Entries) > 0 {
		if err := o.write(st.Entries, st.Now.UnixMilli()); err != nil {
			id := st.Entries[0].GroupID()
			s.logger.Warn("group coordinator: a group is dissolved, its state is too large for the journal", "group", id, "err", err)
			st.Entries = st.Entries[:0]
			r.dissolve(st, id)
			if err := o.write(st.Entries, st.Now.UnixMilli()); err != nil {
				s.logger.Error("group coordinator: a group could not be dissolved", "group", id, "err", err)
			}
		}
	}
	for _, reply := range st.Replies {
		o.hold(held{reply: reply})
	}
}

// sweep is work on every group that there was when it began.
type sweep struct {
	groups []*group
	run    func(*step.Step, *group)
	done   func(committed bool) // nil: nothing depends on it
}

func newSweep(r *registry, run func(*step.Step, *group), done func(committed bool)) sweep {
	return sweep{groups: slices.Collect(maps.Values(r.groups)), run: run, done: done}
}

// forget begins to forget the offsets of topics that are gone. Their names are kept until that is committed: after an append that failed it is
// done again.
func (s *shard) forget(r *registry) {
	names := s.gone[s.asked:]
	if len(names) == 0 {
		return
	}
	s.asked = len(s.gone)
	run := func(st *step.Step, g *group) { r.forgetTopics(st, g, names) }
	s.sweeps = append(s.sweeps, newSweep(r, run, func(committed bool) {
		if committed {
			s.gone = s.gone[len(names):]
			s.asked -= len(names)
		}
	}))
}

// ticks does what is due at now, as far as the outbox has room.
func (s *shard) ticks(r *registry, o *outbox, now time.Time) {
	if !now.Before(s.check) {
		s.check = now.Add(s.c.o.RetentionCheck)
		s.sweeps = append(s.sweeps, newSweep(r, r.expire, nil))
	}
	for range len(r.timers) {
		g := r.due(now)
		if g == nil || o.full() {
			break
		}
		s.step(r, o, func(st *step.Step) { r.tick(st, g) })
	}
	for ; len(s.sweeps) > 0 && !o.full(); s.sweeps = s.sweeps[1:] {
		if !s.sweep(r, o, &s.sweeps[0]) {
			break
		}
	}
}

// sweep does what the outbox has room for, and reports whether that was all.
func (s *shard) sweep(r *registry, o *outbox, w *sweep) bool {
	for ; len(w.groups) > 0; w.groups = w.groups[1:] {
		g := w.groups[0]
		if o.full() {
			return false
		}
		if r.groups[g.id] == g { // else it has been deleted since
			s.step(r, o, func(st *step.Step) { w.run(st, g) })
		}
	}
	if w.done != nil {
		o.hold(held{done: w.done})
	}
	return true
}

// wind sets the timer to what is waited for next. A full outbox is woken by the next commit.
func (s *shard) wind(r *registry, o *outbox, now time.Time) {
	at := s.check
	if d := r.deadline(); !d.IsZero() && d.Before(at) {
		at = d
	}
	if !at.After(now) { // a machine that is not done with now, or the outbox is full
		at = now.Add(time.Millisecond)
	}
	if !o.full() && !at.Equal(s.at) {
		s.timer.Reset(time.Until(at))
		s.at = at
	}
}
