package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// unansweredWait is how long records that nobody answers for may take to arrive.
const unansweredWait = 2 * time.Second

// produce measures the producers, and reads back what they sent.
func (r *run) produce(ctx context.Context) (Report, error) {
	producers, closing, err := r.producers(ctx)
	if err != nil {
		return Report{}, err
	}
	defer closing.close()
	w := r.newWatch(producers, nil)
	r.window = r.clock.window(r.load)
	if err := r.sendAll(closing.ctx, producers, w); err != nil {
		return w.report(), err
	}
	report := w.report()
	if r.load.NoCheck {
		return report, nil
	}
	report.Check, err = r.readBack(ctx, producers)
	return report, err
}

// sendAll runs the producers over the load's time, watched.
func (r *run) sendAll(ctx context.Context, producers []*producer, w *watch) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range producers {
		g.Go(func() error { return p.send(ctx) })
	}
	if w != nil {
		begin, end := r.clock.timer(r.window.from), r.clock.timer(r.window.to)
		g.Go(func() error { w.run(ctx, begin, end); return context.Cause(ctx) })
	}
	return g.Wait()
}

// timer fires at t by the clock.
func (c clock) timer(t int64) <-chan time.Time { return time.NewTimer(time.Duration(t - c.now())).C }

// readBack reads all that this run has sent, and checks it.
func (r *run) readBack(ctx context.Context, producers []*producer) (*Findings, error) {
	t := &targets{known: make(chan struct{})}
	consumers, closeAll, err := r.consumers(r.id, nil)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if t.offsets, err = r.ends(ctx, producers); err != nil {
		return nil, err
	}
	close(t.known)
	err = r.receiveAll(ctx, consumers, t)
	return r.findings(consumers, producers), err
}

func (r *run) receiveAll(ctx context.Context, consumers []*consumer, t *targets) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, c := range consumers {
		g.Go(func() error { return c.receive(ctx, t) })
	}
	return g.Wait()
}

// endToEnd measures producers and consumers at the same time.
func (r *run) endToEnd(ctx context.Context) (Report, error) {
	producers, closing, err := r.producers(ctx)
	if err != nil {
		return Report{}, err
	}
	defer closing.close()
	consumers, closeAll, err := r.consumers(r.id, nil)
	if err != nil {
		return Report{}, err
	}
	defer closeAll()
	w, t := r.newWatch(producers, consumers), &targets{known: make(chan struct{})}
	r.window = r.clock.window(r.load)
	g, ctx := errgroup.WithContext(closing.ctx)
	g.Go(func() error { return r.receiveAll(ctx, consumers, t) })
	g.Go(func() error {
		if err := r.sendAll(ctx, producers, w); err != nil {
			return err
		}
		var err error
		if t.offsets, err = r.ends(ctx, producers); err == nil {
			close(t.known)
		}
		return err
	})
	err = g.Wait()
	report := w.report()
	if err == nil {
		report.Check = r.findings(consumers, producers)
	}
	return report, err
}

// consume measures the reading of all that the topic holds, without the first tenth: the warm-up. A reading that is over in a few
// reads is measured whole.
func (r *run) consume(ctx context.Context) (Report, error) {
	var producers []*producer
	only := uint64(0)
	if r.topic.made {
		var closing *closing
		var err error
		if producers, closing, err = r.producers(ctx); err != nil {
			return Report{}, err
		}
		r.window = r.clock.window(r.load)
		err = r.sendAll(closing.ctx, producers, nil)
		closing.close()
		if err != nil {
			return Report{}, fmt.Errorf("fill the topic: %w", err)
		}
		only = r.id
	}
	t := &targets{known: make(chan struct{})}
	var err error
	if t.offsets, err = r.ends(ctx, producers); err != nil {
		return Report{}, err
	}
	close(t.known)
	total := sum(t.offsets) - sum(r.topic.starts)
	if total == 0 {
		return Report{}, fmt.Errorf("topic %s holds no records", r.topic.name)
	}
	return r.readAll(ctx, producers, only, t, total)
}

// readAll reads total records, watched.
func (r *run) readAll(ctx context.Context, producers []*producer, only uint64, t *targets, total int64) (Report, error) {
	begin, end := make(chan time.Time, 1), make(chan time.Time, 1)
	whole := r.moment() // the consumers read ahead as soon as they are there
	var count atomic.Int64
	consumers, closeAll, err := r.consumers(only, func(n int) {
		after := count.Add(int64(n))
		if before := after - int64(n); before < total/10+1 && after >= total/10+1 {
			begin <- time.Now()
		}
	})
	if err != nil {
		return Report{}, err
	}
	defer closeAll()
	w := r.newWatch(nil, consumers)
	w.whole = whole
	var wg sync.WaitGroup
	wg.Go(func() { w.run(ctx, begin, end) })
	err = r.receiveAll(ctx, consumers, t)
	end <- time.Now()
	wg.Wait()
	report := w.report()
	if err == nil {
		report.Check = r.findings(consumers, producers)
	}
	return report, err
}

func sum(offsets []int64) (n int64) {
	for _, o := range offsets {
		n += o
	}
	return n
}

// closing are the producers' clients and the context that ends with the first record that fails.
type closing struct {
	ctx   context.Context
	close func()
}

func (r *run) producers(ctx context.Context) ([]*producer, *closing, error) {
	ctx, fail := context.WithCancelCause(ctx)
	var producers []*producer
	c := &closing{ctx: ctx, close: func() {
		fail(nil)
		for _, p := range producers {
			p.cl.Close()
		}
	}}
	for lane := range r.load.Producers {
		p, err := r.newProducer(lane, fail)
		if err != nil {
			c.close()
			return nil, nil, err
		}
		producers = append(producers, p)
	}
	return producers, c, nil
}

func (r *run) consumers(only uint64, counted func(int)) (consumers []*consumer, closeAll func(), err error) {
	closeAll = func() {
		for _, c := range consumers {
			c.cl.Close()
		}
	}
	for lane := range min(r.load.Consumers, int(r.topic.partitions)) {
		c, err := r.newConsumer(lane, r.topic.starts, only, counted)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		consumers = append(consumers, c)
	}
	return consumers, closeAll, nil
}

// ends are the offsets where the topic ends. Records that nobody answers for (acks=0) get a moment to arrive.
func (r *run) ends(ctx context.Context, producers []*producer) ([]int64, error) {
	adm, err := r.admin()
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	expected := sum(r.topic.starts)
	for _, p := range producers {
		for _, n := range p.sent {
			expected += int64(n)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	ticks, deadline := time.NewTicker(lookEvery), time.Now().Add(unansweredWait)
	defer ticks.Stop()
	for {
		ends, err := r.topic.offsets(ctx, adm.ListEndOffsets)
		if err != nil || r.load.Acks != "0" || sum(ends) >= expected || time.Now().After(deadline) {
			return ends, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), context.Cause(ctx))
		case <-ticks.C:
		}
	}
}

// findings ends the checking of all partitions.
func (r *run) findings(consumers []*consumer, producers []*producer) *Findings {
	all := &Findings{Examples: []string{}}
	for _, c := range consumers {
		for _, p := range c.parts {
			var sent []uint64
			for _, producer := range producers {
				sent = append(sent, producer.sent[p])
			}
			all.add(c.checkers[p].finish(r.id, sent))
		}
	}
	return all
}
