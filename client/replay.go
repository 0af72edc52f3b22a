package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReplayOptions say what of a topic is replayed, and how. The zero value is everything there is now, partition by partition as it
// comes.
type ReplayOptions struct {
	From Position
	// Follow goes on with the records that come, and with partitions that are added, until the loop is left or the context ends.
	// Otherwise the replay ends with the last record that was there when it began.
	Follow bool
	// ByTime merges the partitions by record timestamp, equal ones by partition. Within a partition the order is always that of the
	// offsets, so where a partition's own timestamps go back, the whole does too. With Follow it holds for the records that were
	// there when the replay began; later ones come when they come.
	ByTime bool
	// Partitions to replay. Empty: all.
	Partitions []int32
	// BufferBytes bounds the keys and values held for merging by time, over all partitions together; each may exceed its share
	// by what one fetch brings. 0: 64 MiB.
	BufferBytes int
}

const (
	defaultReplayBytes = 64 << 20
	maxPartitionFetch  = 1 << 20
	minPartitionFetch  = 16 << 10
	maxFetch           = 16 << 20
	// fetchWait is how long a broker that has nothing keeps a fetch, as by Kafka's own consumer. A partition that is added or
	// resumed meanwhile waits as long.
	fetchWait = 500 * time.Millisecond
)

// Replay reads a topic's records. It is no member of any consumer group and commits nothing, so it disturbs nobody and can be
// repeated. Only committed records are seen (read_committed).
//
//	for r, err := range c.Replay(ctx, "orders", client.ReplayOptions{From: client.FromTime(t)}) {
//		if err != nil {
//			return err
//		}
//		...
//	}
//
// An error is the last thing that comes: an *Error, which wraps ctx's when that ended. Connections are made when the loop
// begins and closed when it ends, however it is left. Up to 16 MiB of fetched records are held for each broker, beside those
// for merging. A record is the caller's, but its key and value share the memory of their batch: who keeps few of many records
// copies them.
func (c *Client) Replay(ctx context.Context, topic string, o ReplayOptions) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		r := &replay{c: c, topic: topic, options: o, partitions: make(map[int32]*partition), order: &arrivals{}}
		if o.ByTime {
			r.order = &merge{}
		}
		ctx, err := r.begin(ctx)
		if err == nil {
			defer r.end()
			err = r.run(ctx, yield)
		}
		if err != nil {
			yield(nil, c.explain(err, "replay topic %q from %s", topic, o.From))
		}
	}
}

// replay is one loop over Replay, owned by the goroutine that runs it.
type replay struct {
	c       *Client
	topic   string
	options ReplayOptions
	kgo     *kgo.Client
	adm     *kadm.Client

	partitions map[int32]*partition
	order      order
	share      int // of BufferBytes, a partition
	looked     time.Time
}

// partition is how far a replay has got in one partition.
type partition struct {
	number int32
	from   int64 // records below are not replayed
	next   int64 // everything below was fetched
	to     int64 // the replay ends before it; -1: never
	end    int64 // of the partition when the replay began
	queue  queue // of order
}

func (p *partition) done() bool { return p.to >= 0 && p.next >= p.to }

// behind says whether p waits for what was there when the replay began.
func (p *partition) behind() bool { return !p.done() && p.next < p.end && !p.queue.paused }

// order decides which of the records fetched comes next.
type order interface {
	// add takes a partition whose queue or offsets have changed.
	add(p *partition)
	// next is the next record; nil when it is not known before more is fetched.
	next() *kgo.Record
}

// begin connects, and has Close end the context it returns.
func (r *replay) begin(ctx context.Context) (context.Context, error) {
	if r.options.BufferBytes == 0 {
		r.options.BufferBytes = defaultReplayBytes
	}
	c := r.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ctx, ErrClosed
	}
	cl, err := c.connect(
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // an offset that is gone is an error, not a jump
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they count for the end
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(maxFetch),
		kgo.FetchMaxPartitionBytes(maxPartitionFetch),
	)
	if err != nil {
		return ctx, err
	}
	r.kgo, r.adm = cl, kadm.NewClient(cl)
	ctx, cancel := context.WithCancelCause(ctx)
	c.replays[r] = cancel
	return ctx, nil
}

func (r *replay) end() {
	r.c.mu.Lock()
	r.c.replays[r](nil)
	delete(r.c.replays, r)
	r.c.mu.Unlock()
	r.kgo.Close()
}

func (r *replay) run(ctx context.Context, yield func(*Record, error) bool) error {
	if err := r.plan(ctx); err != nil {
		return causeOf(ctx, err)
	}
	r.assign()
	for {
		for k := r.order.next(); k != nil; k = r.order.next() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !yield(newRecord(k), nil) {
				return nil
			}
		}
		if r.finished() {
			return nil
		}
		r.balance()
		if err := r.poll(ctx); err != nil {
			return causeOf(ctx, err)
		}
	}
}

// causeOf is why ctx ended, if that is what failed.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (r *replay) finished() bool {
	for _, p := range r.partitions {
		if !p.done() {
			return false
		}
	}
	return true
}

// assign tells kgo what to fetch.
func (r *replay) assign() {
	r.share = max(r.options.BufferBytes/max(len(r.partitions), 1), minPartitionFetch)
	r.kgo.UpdateFetchMaxBytes(maxFetch, int32(min(r.share, maxPartitionFetch)))
	offsets := make(map[int32]kgo.Offset)
	for n, p := range r.partitions {
		r.order.add(p)
		if !p.done() {
			offsets[n] = kgo.NewOffset().At(p.next)
		}
	}
	r.kgo.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: offsets})
	r.looked = time.Now()
}

// poll waits for records and hands them to the order.
func (r *replay) poll(ctx context.Context) error {
	pollCtx, cancel := r.pollContext(ctx)
	fetches := r.kgo.PollFetches(pollCtx)
	late := pollCtx.Err() != nil
	cancel()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, e := range fetches.Errors() {
		if e.Topic == "" && late && errors.Is(e.Err, context.DeadlineExceeded) {
			continue // this poll's own
		}
		return fmt.Errorf("partition %d: %w", e.Partition, e.Err)
	}
	var done []int32
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if p := r.partitions[f.Partition]; p != nil && !p.done() {
			p.take(f.Records)
			r.order.add(p)
			if p.done() {
				done = append(done, p.number)
			}
		}
	})
	if len(done) > 0 {
		r.kgo.RemoveConsumePartitions(map[string][]int32{r.topic: done})
	}
	if late {
		r.skipEmpty(ctx)
	}
	if r.looks() && !time.Now().Before(r.nextLook()) {
		r.addNewPartitions(ctx)
	}
	return nil
}

// pollContext ends a poll when something else is to be looked for.
func (r *replay) pollContext(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case r.behind():
		return context.WithTimeout(ctx, fetchWait)
	case r.looks():
		return context.WithDeadline(ctx, r.nextLook())
	}
	return ctx, func() {}
}

// looks says whether partitions that are added are looked for.
func (r *replay) looks() bool { return r.options.Follow && len(r.options.Partitions) == 0 }

func (r *replay) nextLook() time.Time { return r.looked.Add(r.c.newPartitionsEvery) }

// behind says whether records are still to come that were there when the replay began.
func (r *replay) behind() bool {
	for _, p := range r.partitions {
		if p.behind() {
			return true
		}
	}
	return false
}

// skipEmpty is called when nothing has come for a while: what is left may be batches without records.
func (r *replay) skipEmpty(ctx context.Context) {
	for _, p := range r.partitions {
		if p.behind() {
			p.next = SkipEmpty(ctx, r.kgo, r.topic, p.number, p.next)
			r.order.add(p)
		}
	}
}

// take queues what of the records is replayed.
func (p *partition) take(records []*kgo.Record) {
	for _, k := range records {
		if k.Offset >= p.from && (p.to < 0 || k.Offset < p.to) && !k.Attrs.IsControl() {
			p.queue.push(k)
		}
		p.next = k.Offset + 1
	}
}

// balance stops fetching partitions that have their share queued, until half of it is used up: the others are waited for.
// kgo drops what it has fetched of a partition when it is paused, and fetches that again.
func (r *replay) balance() {
	var pause, resume []int32
	for n, p := range r.partitions {
		switch {
		case !p.queue.paused && p.queue.bytes >= r.share:
			pause = append(pause, n)
			p.queue.paused = true
		case p.queue.paused && p.queue.bytes <= r.share/2:
			resume = append(resume, n)
			p.queue.paused = false
		}
	}
	if len(pause) > 0 {
		r.kgo.PauseFetchPartitions(map[string][]int32{r.topic: pause})
	}
	if len(resume) > 0 {
		r.kgo.ResumeFetchPartitions(map[string][]int32{r.topic: resume})
	}
}

// addNewPartitions starts replaying the partitions that were added to the topic. If it fails it is tried again later.
func (r *replay) addNewPartitions(ctx context.Context) {
	r.looked = time.Now()
	md, err := r.adm.Metadata(ctx, r.topic)
	if err != nil {
		return
	}
	added := make(map[int32]kgo.Offset)
	for _, n := range md.Topics[r.topic].Partitions.Numbers() {
		if r.partitions[n] == nil {
			r.partitions[n] = &partition{number: n, to: -1}
			added[n] = kgo.NewOffset().AtStart()
		}
	}
	if len(added) > 0 {
		r.kgo.AddConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: added})
	}
}
