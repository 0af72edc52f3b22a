package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// stickyBytes is how many bytes without keys go to one partition before the next one's turn.
	stickyBytes = 64 << 10
	// chunkBytes and chunkRecords bound what is handed back for reuse in one piece.
	chunkBytes, chunkRecords = 64 << 10, 128
)

// producer is one client that sends. Its goroutine owns all fields but those of the acknowledgements, which the client's promises own:
// it calls them one at a time.
type producer struct {
	run      *run
	cl       *kgo.Client
	lane     int
	rng      *rand.Rand
	sent     []uint64 // of each partition
	part     int32    // to send to, without keys
	partLeft int      // bytes until the next partition's turn
	free     chan *chunk
	late     *meter // how late records are sent
	fail     context.CancelCauseFunc

	acks *meter
	hook *answers // nil: the broker does not answer (acks=0)
}

// answers notes when the last answer to a produce came. Promises use it for all records of the answer: it costs no look at the clock,
// and leaves out how long the promises of a full batch take.
type answers struct {
	clock clock
	at    atomic.Int64
}

const keyProduce, keyFetch = 0, 1 // kmsg.Produce, kmsg.Fetch

// OnBrokerRead implements kgo.HookBrokerRead.
func (a *answers) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == keyProduce {
		a.at.Store(a.clock.now())
	}
}

// chunk is records that are sent one after the other, and reused when all were acknowledged.
type chunk struct {
	p     *producer
	slots []slot
	left  atomic.Int32
	done  func(*kgo.Record, error) // acknowledged, bound once
}

type slot struct {
	record kgo.Record
	filled uint32 // checksum of the value's filling
}

func (r *run) newProducer(lane int, fail context.CancelCauseFunc) (*producer, error) {
	p := &producer{
		run: r, lane: lane, fail: fail, rng: rand.New(rand.NewPCG(r.id, uint64(lane))), sent: make([]uint64, r.topic.partitions),
		acks: newMeter(), late: newMeter(),
	}
	p.part = p.rng.Int32N(r.topic.partitions)
	opts := r.producerOptions()
	if r.load.Acks != "0" {
		p.hook = &answers{clock: r.clock}
		opts = append(opts, kgo.WithHooks(p.hook))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("producer %d: %w", lane, err)
	}
	p.cl = cl
	p.makeChunks()
	return p, nil
}

func (r *run) producerOptions() []kgo.Opt {
	l := r.load
	opts := append([]kgo.Opt{
		kgo.DefaultProduceTopic(r.topic.name), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[l.Compression], kgo.NoCompression()), kgo.ProducerBatchMaxBytes(l.BatchBytes),
		kgo.ProducerLinger(l.Linger), kgo.MaxBufferedRecords(l.Window + chunkRecords), kgo.RecordDeliveryTimeout(l.Stall),
	}, l.Client...)
	if l.BatchBytes > 64<<20 {
		opts = append(opts, kgo.BrokerMaxWriteBytes(l.BatchBytes+1<<20))
	}
	switch l.Acks {
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	return opts
}

// keyPartitions says where Kafka's own clients put each key (murmur2).
func (r *run) keyPartitions() []int32 {
	if r.load.Keys == 0 {
		return nil
	}
	of := kgo.StickyKeyPartitioner(nil).ForTopic(r.topic.name)
	parts, record := make([]int32, r.load.Keys), kgo.Record{}
	for i := range parts {
		record.Key = appendKey(record.Key[:0], i)
		parts[i] = int32(of.Partition(&record, int(r.topic.partitions)))
	}
	return parts
}

func (p *producer) makeChunks() {
	l := p.run.load
	n := min(max(chunkBytes/l.RecordBytes, 1), chunkRecords, l.Window)
	chunks := l.Window / n
	p.free = make(chan *chunk, chunks)
	for range chunks {
		c := &chunk{p: p, slots: make([]slot, n)}
		c.done = c.acknowledged
		values, keys := make([]byte, n*l.RecordBytes), make([]byte, n*keyBytes)
		fill(values, p.rng, l.Text)
		for i := range c.slots {
			s := &c.slots[i]
			s.record.Value = values[i*l.RecordBytes : (i+1)*l.RecordBytes : (i+1)*l.RecordBytes]
			s.filled = fillSum(s.record.Value)
			if l.Keys > 0 {
				s.record.Key = keys[i*keyBytes : (i+1)*keyBytes : (i+1)*keyBytes]
			}
		}
		p.free <- c
	}
}

// send sends until the load is over, and waits for the acknowledgements.
func (p *producer) send(ctx context.Context) error {
	pace := pacer{clock: p.run.clock, window: p.run.window, rate: p.run.load.Rate, lane: int64(p.lane), of: int64(p.run.load.Producers)}
	var c *chunk
	used := 0
	for {
		first, count, late := pace.next(ctx)
		if count == 0 {
			break
		}
		p.noteLate(pace.intended(first), late)
		now := time.Now()
		for i := range int64(count) {
			if c == nil || used == len(c.slots) {
				if c = p.take(ctx); c == nil {
					return context.Cause(ctx)
				}
				used = 0
			}
			p.sendOne(ctx, c, &c.slots[used], pace.intended(first+i), now)
			used++
		}
	}
	if err := p.cl.Flush(ctx); err != nil {
		return context.Cause(ctx)
	}
	return context.Cause(ctx)
}

// take waits for a chunk that is free; nil: ctx has ended.
func (p *producer) take(ctx context.Context) *chunk {
	select {
	case c := <-p.free:
		c.left.Store(int32(len(c.slots)))
		return c
	case <-ctx.Done():
		return nil
	}
}

func (p *producer) sendOne(ctx context.Context, c *chunk, s *slot, intended int64, now time.Time) {
	r := &s.record
	if keys := p.run.keyParts; keys != nil {
		key := p.rng.IntN(len(keys))
		r.Key, r.Partition = appendKey(r.Key[:0], key), keys[key]
	} else {
		if p.partLeft <= 0 {
			p.part, p.partLeft = (p.part+1)%int32(len(p.sent)), stickyBytes
		}
		p.partLeft -= len(r.Value)
		r.Partition = p.part
	}
	head{
		run: p.run.id, producer: uint32(p.lane), partition: r.Partition, sequence: p.sent[r.Partition],
		intended: intended + p.run.clock.epoch(),
	}.stamp(r.Value, r.Key, s.filled)
	p.sent[r.Partition]++
	r.Timestamp = now
	p.cl.Produce(ctx, r, c.done)
}

func (p *producer) noteLate(intended, late int64) {
	if p.run.load.Rate == 0 || intended < p.run.window.from {
		return
	}
	p.late.mu.Lock()
	p.late.observe(late)
	p.late.mu.Unlock()
}

// acknowledged is the promise of each record of c.
func (c *chunk) acknowledged(r *kgo.Record, err error) {
	p := c.p
	if err != nil {
		p.fail(fmt.Errorf("a record to partition %d failed: %w", r.Partition, err))
		return // its chunk is not used again: the run is over
	}
	at := int64(0)
	if p.hook != nil {
		at = p.hook.at.Load()
	} else {
		at = p.run.clock.now()
	}
	intended := intendedOf(r.Value) - p.run.clock.epoch()
	p.acks.mu.Lock()
	p.acks.count(len(r.Value))
	if intended >= p.run.window.from {
		p.acks.observe(at - intended)
	}
	p.acks.mu.Unlock()
	if c.left.Add(-1) == 0 {
		p.free <- c
	}
}
