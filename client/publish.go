package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// PublishError says which records of a Publish of several failed.
type PublishError struct {
	Errs []error // by the records' index; nil: stored
}

// Error tells the number and the first cause.
func (e *PublishError) Error() string {
	failed := e.Unwrap()
	if len(failed) == 0 {
		return "no record failed"
	}
	return fmt.Sprintf("%d of %d records: %v", len(failed), len(e.Errs), failed[0])
}

// Unwrap returns the errors that there are.
func (e *PublishError) Unwrap() []error {
	var failed []error
	for _, err := range e.Errs {
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// Publish stores records and returns when all in-sync replicas have them: each record's Partition, Offset and Timestamp are set
// then. Records of one partition keep their order, here and over successive calls. A topic that does not exist is created where the
// broker's auto.create.topics.enable says so.
//
// It waits no longer than ctx, nor much longer than Options.Timeout. When waiting ends before the answer is there the error is
// ErrUnknownOutcome and the record may still be stored; otherwise a record that failed is not stored. Until then keys, values
// and headers must not be changed, and for ErrUnknownOutcome not after either. The error is an *Error for one record, a
// *PublishError for several.
func (c *Client) Publish(ctx context.Context, records ...*Record) error {
	// kgo gives up at Timeout by itself, unless the broker has the record and does not answer.
	waiting, cancel := context.WithTimeout(ctx, c.options.Timeout+c.options.Timeout/4)
	defer cancel()
	type outcome struct {
		index int
		k     *kgo.Record
		err   error
	}
	outcomes := make(chan outcome, len(records)) // so that one nobody waits for any more blocks nothing
	for i, r := range records {
		c.produce(waiting, r, func(k *kgo.Record, err error) { outcomes <- outcome{i, k, err} })
	}
	errs, failed := make([]error, len(records)), false
	answered := make([]bool, len(records))
	for range records {
		select {
		case o := <-outcomes:
			answered[o.index] = true
			if o.err == nil {
				records[o.index].placed(o.k)
				continue
			}
			errs[o.index], failed = c.publishError(records[o.index], o.err), true
		case <-waiting.Done():
			return c.unanswered(records, errs, answered, context.Cause(waiting))
		}
	}
	switch {
	case !failed:
		return nil
	case len(records) == 1:
		return errs[0]
	}
	return &PublishError{errs}
}

// unanswered completes the errors of a Publish that waits no longer.
func (c *Client) unanswered(records []*Record, errs []error, answered []bool, cause error) error {
	for i, r := range records {
		if !answered[i] {
			errs[i] = c.publishError(r, errors.Join(ErrUnknownOutcome, cause))
		}
	}
	if len(records) == 1 {
		return errs[0]
	}
	return &PublishError{errs}
}

// PublishAsync sends a record and returns; done is called once its outcome is known. Records of one partition are stored, and
// answered, in the order of the calls. ctx bounds only the wait for room when Options.MaxBufferedBytes are under way.
//
// r and what it points to is the client's until done is called with it. done is called by one goroutine for all records, or by
// PublishAsync itself where ctx ended before there was room: it must be quick, and must not call Publish, PublishAsync, Flush
// or Close. Without an error the record's Partition, Offset and Timestamp are set; an error is an *Error. A nil done drops the
// outcome.
func (c *Client) PublishAsync(ctx context.Context, r *Record, done func(*Record, error)) {
	c.produce(ctx, r, func(k *kgo.Record, err error) {
		if err == nil {
			r.placed(k)
		} else {
			err = c.publishError(r, err)
		}
		if done != nil {
			done(r, err)
		}
	})
}

// produce hands the record to kgo once there is room. kgo never sees ctx: when a record's context ends, kgo fails all that
// waits for the same partition, and that may be somebody else's.
func (c *Client) produce(ctx context.Context, r *Record, done func(*kgo.Record, error)) {
	k := r.kgo()
	bytes := min(int64(len(r.Key)+len(r.Value)+recordOverhead), int64(c.options.MaxBufferedBytes))
	if err := c.room.Acquire(ctx, bytes); err != nil {
		done(k, fmt.Errorf("no room among the records not acknowledged yet: %w", err))
		return
	}
	c.producer.Produce(c.expiry.context(), k, func(k *kgo.Record, err error) {
		c.room.Release(bytes)
		done(k, err)
	})
}

// expiry makes the contexts that end records which are not acknowledged in time. (kgo's own RecordDeliveryTimeout counts from
// the record's timestamp, which is the user's.) Records of about the same time share one: a timer for each would cost more than
// the record.
type expiry struct {
	timeout time.Duration

	mu      sync.Mutex // guards what follows
	current context.Context
	made    time.Time
}

// context ends timeout from now, or up to an eighth of it earlier.
func (e *expiry) context() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := time.Now(); e.current == nil || now.Sub(e.made) > e.timeout/8 {
		ctx, cancel := context.WithTimeout(context.Background(), e.timeout)
		context.AfterFunc(ctx, cancel) // nothing ends it earlier: records of several callers may depend on it
		e.current, e.made = ctx, now
	}
	return e.current
}

func (c *Client) publishError(r *Record, err error) error {
	return c.explain(err, "publish to topic %q", r.Topic)
}

// Flush returns when the outcome of every record published so far is known and its callback has returned, or ctx ends.
func (c *Client) Flush(ctx context.Context) error {
	if err := c.producer.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %d records are not acknowledged yet: %w", c.producer.BufferedProduceRecords(), err)
	}
	return nil
}
