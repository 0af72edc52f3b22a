package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sending hands records to the client as they are read and counts how they end. mu guards the counts, which the client's
// callbacks write.
type sending struct {
	*cli
	cl        *kgo.Client
	watch     *reconnecting
	timeout   time.Duration // of a record, for texts
	deadlines *deadlines    // nil: the client times records out itself

	mu         sync.Mutex
	sent       int64
	partitions map[topicPartition]int64 // records sent
	failed     int64
	firstErr   error
}

// interruptGrace is how long Ctrl-C leaves what was read already to go out: its lines are gone from the input.
const interruptGrace = 2 * time.Second

type topicPartition struct {
	topic     string
	partition int32
}

// run sends until the input or ctx ends, and returns once every record is sent or has failed. Reading a terminal cannot be
// interrupted: at Ctrl-C the reading goroutine is left behind in its read, to end with the process.
func (s *sending) run(ctx context.Context, reader *kgo.RecordReader, complete func(*kgo.Record)) error {
	records := make(chan *kgo.Record, 256)
	var readErr error // written before records is closed
	go func() {
		defer close(records)
		for {
			r, err := reader.ReadRecord()
			if err != nil {
				readErr = err
				return
			}
			records <- r // somebody receives, or there is room: see below
			if ctx.Err() != nil {
				return
			}
		}
	}()
	// Ctrl-C must not fail the records that were read already: they go out under a context that outlives ctx by a grace. (A buffer
	// that is full without a broker would hold this loop for longer.)
	sendCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(interruptGrace, cancel) })()
	read := 0
	send := func(r *kgo.Record) {
		read++
		complete(r)
		s.cl.Produce(s.deadlines.context(sendCtx, time.Now()), r, s.done)
	}
	for {
		select {
		case r, more := <-records:
			if !more {
				return s.finish(ctx, sendCtx, read, readErr)
			}
			send(r)
			continue
		default:
		}
		select { // nothing is read and not sent
		case <-ctx.Done():
			return s.finish(ctx, sendCtx, read, nil)
		case r, more := <-records:
			if !more {
				return s.finish(ctx, sendCtx, read, readErr)
			}
			send(r)
		}
	}
}

// deadlines hands out contexts that end a timeout after they were asked for: the client itself counts from a record's timestamp,
// and one that comes with the input may be of any age. Who asks within a second gets the same one.
type deadlines struct {
	timeout time.Duration
	renew   time.Time
	now     context.Context
}

func (d *deadlines) context(parent context.Context, now time.Time) context.Context {
	if d == nil || d.timeout == 0 {
		return parent
	}
	if d.now == nil || !now.Before(d.renew) {
		ctx, cancel := context.WithTimeout(parent, d.timeout)
		context.AfterFunc(ctx, cancel)
		d.now, d.renew = ctx, now.Add(time.Second)
	}
	return d.now
}

// done is the client's callback: a record was acknowledged or has failed for good.
func (s *sending) done(r *kgo.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.sent++
		s.partitions[topicPartition{r.Topic, r.Partition}]++
		return
	}
	s.failed++
	if s.firstErr == nil {
		s.firstErr = s.explain(r, err)
	}
}

func (s *sending) explain(r *kgo.Record, err error) error {
	switch {
	case errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, context.DeadlineExceeded):
		why, hint := s.watch.why(), s.command("cluster health")
		if why != "" {
			hint = "make room on the broker's disk, or read its log"
		}
		return &failure{
			err:  fmt.Errorf("topic %s: no broker took it within %s%s", r.Topic, s.timeout, why),
			hint: hint, code: exitUnreachable,
		}
	case strings.Contains(err.Error(), "record partitioning choice"): // kgo's text; there is no type
		return withHint(fmt.Errorf("topic %s has no partition %d", r.Topic, r.Partition), "%s", s.command("topic describe "+r.Topic))
	case errors.Is(err, kerr.UnknownTopicOrPartition) && r.Partition > 0:
		return withHint(fmt.Errorf("topic %s has no partition %d", r.Topic, r.Partition), "%s", s.command("topic describe "+r.Topic))
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return withHint(s.topicError(r.Topic, err, ""), "%s", s.command("topic create "+r.Topic))
	}
	return s.topicError(r.Topic, err, "")
}

// finish waits for what is under way, until sendCtx ends, and sums up. readErr is why the input ended; nil: ctx did.
func (s *sending) finish(ctx, sendCtx context.Context, read int, readErr error) error {
	flushed := s.cl.Flush(sendCtx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errTTY {
		if ctx.Err() != nil {
			fmt.Fprintln(s.err) // not behind the ^C
		}
		fmt.Fprintln(s.err, s.summary())
	}
	if lost := int64(read) - s.sent; ctx.Err() != nil {
		if lost > 0 || flushed != nil {
			fmt.Fprintf(s.err, "%d of %s were not sent, or not known to be\n", lost, plural(read, "record"))
		}
		return errInterruptedTold
	}
	if s.failed > 0 {
		f := &failure{err: fmt.Errorf("%d of %s not sent: %w", s.failed, plural(read, "record"), s.firstErr), code: exitCode(s.firstErr)}
		if cause, ok := errors.AsType[*failure](s.firstErr); ok {
			f.hint = cause.hint
		}
		return f
	}
	if !errors.Is(readErr, io.EOF) {
		return &failure{
			err:  fmt.Errorf("record %d of the input does not match the format: %w", read+1, readErr),
			hint: "quire produce --help", code: exitFailed,
		}
	}
	return nil
}

func (s *sending) summary() string {
	var at []string
	for tp := range s.partitions {
		at = append(at, fmt.Sprintf("%s/%d", tp.topic, tp.partition))
	}
	slices.Sort(at)
	if len(at) > 8 {
		at = append(at[:8], "...")
	}
	if len(at) == 0 {
		return "sent nothing"
	}
	return fmt.Sprintf("sent %s to %s", plural(s.sent, "record"), strings.Join(at, " "))
}
