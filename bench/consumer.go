package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// targets are where a reading ends. offsets is set before known is closed.
type targets struct {
	known   chan struct{}
	offsets []int64 // of each partition
}

// consumer is one client that reads some of the partitions. Its goroutine owns it.
type consumer struct {
	run      *run
	cl       *kgo.Client
	parts    []int32
	checkers []*checker // by partition; nil: another consumer's
	next     []int64    // offset, by partition
	read     *meter     // latencies from the intended time to here
	counted  func(records int)
}

// newConsumer makes the consumer that reads every partition whose number is lane, modulo the number of consumers, from starts on.
// only is the run whose records are checked; 0: all.
func (r *run) newConsumer(lane int, starts []int64, only uint64, counted func(int)) (*consumer, error) {
	c := &consumer{
		run: r, checkers: make([]*checker, len(starts)), next: make([]int64, len(starts)), read: newMeter(), counted: counted,
	}
	assigned := make(map[int32]kgo.Offset)
	for p := int32(lane); p < int32(len(starts)); p += int32(r.load.Consumers) {
		c.parts = append(c.parts, p)
		c.checkers[p] = newChecker(p, only, r.topic.made, only == 0 && starts[p] > 0)
		c.next[p] = starts[p]
		assigned[p] = kgo.NewOffset().At(starts[p])
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic.name: assigned}), kgo.KeepControlRecords(),
		kgo.FetchMaxPartitionBytes(1 << 20), kgo.FetchMaxWait(500 * time.Millisecond),
	}, r.load.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("consumer %d: %w", lane, err)
	}
	c.cl = cl
	return c, nil
}

// receive reads until its partitions have reached the targets.
func (c *consumer) receive(ctx context.Context, t *targets) error {
	early, cancel := context.WithCancel(ctx)
	defer cancel()
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-t.known:
			cancel()
		case <-early.Done():
		}
	}()
	defer func() { cancel(); <-watching }()
	for early.Err() == nil {
		if err := c.poll(early); err != nil {
			return err
		}
	}
	for ctx.Err() == nil && !c.done(t) {
		stall, stop := context.WithTimeout(ctx, c.run.load.Stall)
		err := c.poll(stall)
		if err == nil && stall.Err() != nil && ctx.Err() == nil {
			err = c.stalled(t)
		}
		stop()
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (c *consumer) done(t *targets) bool {
	for _, p := range c.parts {
		if c.next[p] < t.offsets[p] {
			return false
		}
	}
	return true
}

func (c *consumer) stalled(t *targets) error {
	for _, p := range c.parts {
		if c.next[p] < t.offsets[p] {
			return fmt.Errorf("partition %d: nothing came for %s, at offset %d of %d", p, c.run.load.Stall, c.next[p], t.offsets[p])
		}
	}
	return nil
}

// poll takes what the brokers have sent. That ctx has ended is no error.
func (c *consumer) poll(ctx context.Context) error {
	fetches := c.cl.PollRecords(ctx, 0)
	now := c.run.clock.now()
	records := 0
	c.read.mu.Lock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		records += len(f.Records)
		c.take(f.Partition, f.Records, now)
	})
	c.read.mu.Unlock()
	if c.counted != nil && records > 0 {
		c.counted(records)
	}
	for _, e := range fetches.Errors() {
		if ctx.Err() == nil || !errors.Is(e.Err, ctx.Err()) {
			return fmt.Errorf("read partition %d: %w", e.Partition, e.Err)
		}
	}
	return nil
}

// take checks and counts what came of a partition.
func (c *consumer) take(partition int32, records []*kgo.Record, now int64) {
	if len(records) == 0 {
		return
	}
	checker, epoch := c.checkers[partition], c.run.clock.epoch()
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		c.read.count(len(r.Value))
		h, ok := checker.observe(r)
		if intended := h.intended - epoch; ok && h.run == c.run.id && intended >= c.run.window.from {
			c.read.observe(now - intended)
		}
	}
	c.next[partition] = records[len(records)-1].Offset + 1
}
