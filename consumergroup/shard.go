package consumergroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	firstRetry = 50 * time.Millisecond // after a journal that could not be read or written
	lastRetry  = 5 * time.Second
)

// shard coordinates the groups of one journal partition from Lead to Resign. Its goroutine loads the journal and then runs the steps of the
// calls that wait in the queue; while none does, a heartbeat's step is run by who brings it. Whoever runs steps holds turn: nobody else
// touches the groups. One append is under way at a time, on a goroutine of its own that
// the shard waits for. After an append that failed nobody knows what the journal holds, so all in memory is thrown away and loaded again,
// once a record of no meaning is committed: then nothing older can still come.
type shard struct {
	c         *Coordinator
	partition int32
	log       Log
	logger    *slog.Logger
	queue     *queue
	stop      context.CancelFunc
	done      chan struct{} // closed when the goroutine has ended

	turn sync.Mutex // held by whoever runs steps: guards what follows, but for timer
	live *serving   // nil: nothing is served

	gone   []string // topics whose offsets are to be forgotten, until that is committed
	asked  int      // of gone: written, but not committed
	st     step.Step
	sweeps []sweep
	check  time.Time   // when expired offsets are looked for next
	timer  *time.Timer // the goroutine's
	at     time.Time   // what timer is set to; zero: nothing
}

// serving is what a shard works on while it serves.
type serving struct {
	r *registry
	o *outbox
}

func startShard(c *Coordinator, partition int32, log Log) *shard {
	ctx, cancel := context.WithCancel(context.Background())
	s := &shard{
		c: c, partition: partition, log: log, logger: c.log.With("topic", JournalTopic, "partition", partition),
		queue: newQueue(), stop: cancel, done: make(chan struct{}), timer: time.NewTimer(0),
	}
	go s.run(ctx)
	return s
}

func (s *shard) run(ctx context.Context) {
	defer close(s.done)
	defer s.timer.Stop()
	defer s.close(resigned, nil, nil)
	var failed error
	for ctx.Err() == nil {
		r, err := s.loadAgain(ctx, failed != nil)
		switch {
		case ctx.Err() != nil:
			s.drop(r)
			return
		case err != nil:
			s.logger.Error("group coordinator: the journal is damaged, its groups are not served", "err", err)
			s.close(Damaged, nil, nil)
			<-ctx.Done()
			return
		}
		s.queue.become(Serving)
		o := &outbox{maxBatch: s.c.o.MaxBatch, leads: s.log.Leads}
		failed = s.serve(ctx, r, o)
		if ctx.Err() == nil {
			s.logger.Warn("group coordinator: append to the journal failed, loading it again", "err", failed)
		}
		s.close(Loading, r, o)
	}
}

// close ends what was served: every call that is held, waits in a group or in the queue is answered, so that its client looks for the
// coordinator again.
func (s *shard) close(to State, r *registry, o *outbox) {
	calls, inspects := s.queue.become(to)
	if o != nil {
		o.fail(kerr.NotCoordinator)
	}
	if r != nil {
		st := step.Step{Now: time.Now()}
		r.fail(&st, kerr.NotCoordinator)
		for _, reply := range st.Replies {
			reply.Call.Answer(reply.Response)
		}
		s.drop(r)
	}
	for _, c := range calls {
		c.Answer(step.Failure(c.Request, kerr.NotCoordinator))
	}
	for _, fn := range inspects {
		fn(nil)
	}
}

// drop gives back the groups' places.
func (s *shard) drop(r *registry) {
	if r != nil {
		s.c.groups.Add(-int64(len(r.groups)))
		for _, g := range r.groups {
			s.c.bytes.Add(-g.bytes)
		}
	}
}

// loadAgain loads until it works, the journal turns out to be damaged or ctx ends. fence: something may still be on its way into the journal.
func (s *shard) loadAgain(ctx context.Context, fence bool) (*registry, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		r, err := s.loadOnce(ctx, fence)
		if err == nil || ctx.Err() != nil || errors.Is(err, errDamaged) {
			return r, err
		}
		s.logger.Warn("group coordinator: the journal cannot be loaded yet", "err", err, "retry_in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func (s *shard) loadOnce(ctx context.Context, fence bool) (*registry, error) {
	if fence {
		if err := s.fence(ctx); err != nil {
			return nil, fmt.Errorf("fence: %w", err)
		}
	}
	return load(ctx, s.c, s.log, s.logger)
}

// fence appends a record that means nothing, the tombstone of an offset that nobody can commit. Once it is committed nothing older can
// come into the journal any more.
func (s *shard) fence(ctx context.Context) error {
	o := outbox{maxBatch: s.c.o.MaxBatch}
	if err := o.write([]journal.Entry{&journal.OffsetCommit{}}, time.Now().UnixMilli()); err != nil {
		return err
	}
	b, err := o.next()
	if err != nil {
		return err
	}
	return s.log.Append(ctx, b)
}
