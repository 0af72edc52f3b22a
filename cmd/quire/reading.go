package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/quirelog/quire/client"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// newPartitionsEvery is how often a reading that follows whole topics looks for partitions that were added.
const newPartitionsEvery = 10 * time.Second

// emptyAfter is how long nothing comes of a range before it is looked for batches without records.
const emptyAfter = time.Second

// span is what is to be read of one partition, and how far that has got.
type span struct {
	from int64 // records below are not printed
	to   int64 // the reading stops before it; -1: never
	next int64 // all records below were seen
	end  int64 // of the partition when the reading began
}

func (s *span) done() bool  { return s.to >= 0 && s.next >= s.to }
func (s *span) level() bool { return s.next >= s.end }

// reading prints records of topics until their ranges end, count records were printed or its context ends. One goroutine
// owns all of it.
type reading struct {
	*cli
	cl  *kgo.Client
	adm *kadm.Client

	topics     []string
	partitions []int32 // empty: all
	rng        offsetRange
	key        *string // only records with this key are printed; nil: all
	left       int64   // records still to be printed; 0 at the start: no limit
	write      func([]byte, *kgo.Record) ([]byte, error)

	spans     map[string]map[int32]*span
	buf       []byte
	announced bool // "at the end" was said
}

func (r *reading) run(ctx context.Context) error {
	if err := r.plan(ctx); err != nil {
		return err
	}
	limited := r.left > 0
	r.assign()
	out := bufio.NewWriterSize(r.out, 64<<10)
	looked := time.Now()
	for !r.finished() {
		r.announce()
		fetches := r.poll(ctx)
		if ctx.Err() != nil {
			return errors.Join(errInterrupted, out.Flush())
		}
		if err := r.fetchError(fetches); err != nil {
			return errors.Join(err, out.Flush())
		}
		full, err := r.print(out, fetches, limited)
		if err == nil { // a failed writer would only say it again
			err = out.Flush()
		}
		if err != nil || full {
			return err
		}
		if r.follows() && len(r.partitions) == 0 && time.Since(looked) >= newPartitionsEvery {
			looked = time.Now()
			r.addNewPartitions(ctx)
		}
	}
	return nil
}

// poll waits for records, up to when something else is to be looked for. When nothing comes, what is left of a range may be
// batches without records.
func (r *reading) poll(ctx context.Context) kgo.Fetches {
	wait := newPartitionsEvery
	if !r.follows() {
		wait = emptyAfter
	}
	pollCtx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	fetches := r.cl.PollFetches(pollCtx)
	if r.follows() || pollCtx.Err() == nil {
		return fetches
	}
	for t, ps := range r.spans {
		for n, s := range ps {
			if !s.done() && ctx.Err() == nil {
				s.next = client.SkipEmpty(ctx, r.cl, t, n, s.next)
			}
		}
	}
	return fetches
}

// plan finds out which offsets are to be read of each partition.
func (r *reading) plan(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	topics, err := r.topicDetails(ctx, r.adm, r.topics...)
	if err != nil {
		return err
	}
	if err := checkPartitions(r.cli, topics, r.partitions); err != nil {
		return err
	}
	ends, err := loadEnds(ctx, r.adm, r.topics...)
	if err != nil {
		return err
	}
	if err := ends.failed(); err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	fromTime, err := r.timeOffsets(ctx, r.rng.from)
	if err != nil {
		return err
	}
	toTime, err := r.timeOffsets(ctx, r.rng.to)
	if err != nil {
		return err
	}
	r.spans = make(map[string]map[int32]*span)
	for _, t := range r.topics {
		r.spans[t] = make(map[int32]*span)
		for _, p := range topics[t].Partitions.Numbers() {
			if len(r.partitions) == 0 || slices.Contains(r.partitions, p) {
				r.spans[t][p] = r.rng.span(ends.start(t, p), ends.end(t, p), offsetOf(fromTime, t, p), offsetOf(toTime, t, p))
			}
		}
	}
	return nil
}

// span is the range in a partition that holds the offsets from start up to and without end; fromTime and toTime are the offsets at
// the range's times, if it has any.
func (rng offsetRange) span(start, end, fromTime, toTime int64) *span {
	from := max(start, rng.from.resolve(start, end, fromTime))
	s := &span{from: from, next: min(from, end), to: -1, end: end}
	if rng.to.kind != unbounded {
		s.to = min(rng.to.resolve(start, end, toTime), end)
	}
	return s
}

// timeOffsets lists the offsets at b, if b is a time.
func (r *reading) timeOffsets(ctx context.Context, b bound) (kadm.ListedOffsets, error) {
	if b.kind != atTime {
		return nil, nil
	}
	l, err := r.adm.ListOffsetsAfterMilli(ctx, b.n, r.topics...)
	if err == nil {
		err = l.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the offsets at %s: %w", time.UnixMilli(b.n).UTC().Format(time.RFC3339), err)
	}
	return l, nil
}

// assign tells the client what to fetch.
func (r *reading) assign() {
	assigned := make(map[string]map[int32]kgo.Offset)
	for t, ps := range r.spans {
		assigned[t] = make(map[int32]kgo.Offset)
		for p, s := range ps {
			if !s.done() {
				assigned[t][p] = kgo.NewOffset().At(s.next)
			}
		}
	}
	r.cl.AddConsumePartitions(assigned)
}

// addNewPartitions starts reading the partitions that were added to the topics. It is tried again later if it fails now.
func (r *reading) addNewPartitions(ctx context.Context) {
	md, err := r.adm.Metadata(ctx, r.topics...)
	if err != nil {
		return
	}
	added := make(map[string]map[int32]kgo.Offset)
	for t, ps := range r.spans {
		added[t] = make(map[int32]kgo.Offset)
		for _, p := range md.Topics[t].Partitions.Numbers() {
			if ps[p] == nil {
				ps[p] = &span{to: -1}
				added[t][p] = kgo.NewOffset().AtStart()
			}
		}
	}
	r.cl.AddConsumePartitions(added)
}

// print writes the records of fetches that are in range. full: as many were printed as were asked for.
func (r *reading) print(out io.Writer, fetches kgo.Fetches, limited bool) (full bool, err error) {
	fetches.EachRecord(func(rec *kgo.Record) {
		s := r.spans[rec.Topic][rec.Partition]
		inRange := rec.Offset >= s.from && (s.to < 0 || rec.Offset < s.to)
		s.next = rec.Offset + 1
		if full || err != nil || !inRange || rec.Attrs.IsControl() || !r.wants(rec) {
			return
		}
		if r.buf, err = r.write(r.buf[:0], rec); err != nil {
			return
		}
		if _, err = out.Write(r.buf); err != nil {
			return
		}
		if limited {
			r.left--
			full = r.left == 0
		}
	})
	if err != nil {
		return false, fmt.Errorf("print a record: %w", err)
	}
	r.dropDone(fetches)
	return full, nil
}

// wants tells a record's key from others. A key that is null is none.
func (r *reading) wants(rec *kgo.Record) bool {
	return r.key == nil || rec.Key != nil && string(rec.Key) == *r.key
}

// dropDone stops fetching the partitions whose range has ended.
func (r *reading) dropDone(fetches kgo.Fetches) {
	done := make(map[string][]int32)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if s := r.spans[p.Topic][p.Partition]; s != nil && s.done() {
			done[p.Topic] = append(done[p.Topic], p.Partition)
		}
	})
	if len(done) > 0 {
		r.cl.RemoveConsumePartitions(done)
	}
}

func (r *reading) follows() bool { return r.rng.to.kind == unbounded }

func (r *reading) finished() bool { return !r.follows() && r.all((*span).done) }

func (r *reading) all(is func(*span) bool) bool {
	for _, ps := range r.spans {
		for _, s := range ps {
			if !is(s) {
				return false
			}
		}
	}
	return true
}

// announce says once, to somebody at a terminal, why nothing more is printed.
func (r *reading) announce() {
	if r.announced || !r.errTTY || !r.all((*span).level) {
		return
	}
	r.announced = true
	fmt.Fprintln(r.err, "at the end, waiting; Ctrl-C stops")
}

// fetchError is the first error among fetches that is not the end of the poll's own time.
func (c *cli) fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if errors.Is(e.Err, context.DeadlineExceeded) && e.Topic == "" {
			continue
		}
		if errors.Is(e.Err, kerr.UnknownTopicID) || errors.Is(e.Err, kerr.UnknownTopicOrPartition) {
			return c.topicError(e.Topic, kerr.UnknownTopicID, "")
		}
		if client.IsDamaged(e.Err) {
			return withHint(fmt.Errorf("read topic %s, partition %d: the next records are damaged in the broker's file: %w", e.Topic, e.Partition, e.Err),
				"stop the broker and look at its directory: quire storage verify DIR")
		}
		return fmt.Errorf("read topic %s, partition %d: %w", e.Topic, e.Partition, brokerError(e.Err, ""))
	}
	return nil
}
