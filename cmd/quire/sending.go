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
	cl *kgo.Client

	mu         sync.Mutex
	sent       int64
	partitions map[topicPartition]int64 // records sent
	failed     int64
	firstErr   error
}

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
			select {
			case records <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	// Ctrl-C must not fail the records that were read already: they go out under a context of their own.
	sendCtx := context.WithoutCancel(ctx)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return s.interrupted(ctx)
		case r, more := <-records:
			if more {
				complete(r)
				s.cl.Produce(sendCtx, r, s.done)
				continue
			}
			if ctx.Err() != nil {
				return s.interrupted(ctx)
			}
			return s.finish(ctx, n, readErr)
		}
	}
}

// interrupted lets what was read already go out: its lines are gone from the input.
func (s *sending) interrupted(ctx context.Context) error {
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return errors.Join(errInterrupted, s.cl.Flush(flushCtx))
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
	case errors.Is(err, kerr.UnknownTopicOrPartition) && r.Partition > 0:
		return withHint(fmt.Errorf("topic %s has no partition %d", r.Topic, r.Partition), "%s", s.command("topic describe "+r.Topic))
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return withHint(s.topicError(r.Topic, err, ""), "%s", s.command("topic create "+r.Topic))
	}
	return s.topicError(r.Topic, err, "")
}

// finish waits for what is under way and sums up.
func (s *sending) finish(ctx context.Context, read int, readErr error) error {
	if err := s.cl.Flush(ctx); err != nil {
		return s.interrupted(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errTTY {
		fmt.Fprintln(s.err, s.summary())
	}
	if s.failed > 0 {
		f := &failure{err: fmt.Errorf("%d of %s not sent: %w", s.failed, plural(read, "record"), s.firstErr), code: exitFailed}
		if notAllowed(s.firstErr) {
			f.code = exitNotAllowed
		}
		if cause, ok := errors.AsType[*failure](s.firstErr); ok {
			f.hint = cause.hint
		}
		return f
	}
	if !errors.Is(readErr, io.EOF) {
		return &failure{err: fmt.Errorf("record %d of the input does not match the format: %w", read+1, readErr), code: exitFailed}
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
