// Package bench loads a Kafka address and measures what it takes and gives.
package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Load says what to produce or consume.
type Load struct {
	Broker      string
	Topic       string
	RecordBytes int           // size of a record's value
	Duration    time.Duration // of producing, without the warm-up
	WarmUp      time.Duration // produced before, and not counted
	Rate        int           // records a second, open loop; 0: as fast as acknowledgements come
}

// Result is what a run took and gave.
type Result struct {
	Records int64
	Bytes   int64 // of values
	Elapsed time.Duration
	// Latency of acknowledgements in µs, counted from the intended send time when the load is paced; nil when consuming.
	Latency *hdrhistogram.Histogram
}

// PerSecond is the rate of records, MBPerSecond that of values in 10^6 bytes.
func (r Result) PerSecond() float64 { return float64(r.Records) / r.Elapsed.Seconds() }

// MBPerSecond is the rate of values in 10^6 bytes.
func (r Result) MBPerSecond() float64 { return float64(r.Bytes) / 1e6 / r.Elapsed.Seconds() }

// maxLatency is the longest latency that a histogram holds, in µs.
const maxLatency = 60_000_000

// Produce loads the topic with one idempotent acks=all client: uncompressed records without keys, spread over the partitions. Any record
// that fails fails the run.
func Produce(ctx context.Context, l Load) (Result, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.Broker), kgo.DefaultProduceTopic(l.Topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000), kgo.RecordPartitioner(kgo.UniformBytesPartitioner(64<<10, true, true, nil)))
	if err != nil {
		return Result{}, err
	}
	defer cl.Close()
	if l.WarmUp > 0 {
		warm := l
		warm.Duration = l.WarmUp
		if _, err := produce(ctx, cl, warm); err != nil {
			return Result{}, err
		}
	}
	return produce(ctx, cl, l)
}

func produce(ctx context.Context, cl *kgo.Client, l Load) (Result, error) {
	p := producing{latency: hdrhistogram.New(1, maxLatency, 3)}
	value := make([]byte, l.RecordBytes)
	fill(value)
	start := time.Now()
	for n := 0; ; n++ {
		intended := time.Now()
		if l.Rate > 0 {
			intended = start.Add(time.Duration(n) * time.Second / time.Duration(l.Rate))
			if wait := time.Until(intended); wait > 0 {
				time.Sleep(wait)
			}
		}
		if time.Since(start) >= l.Duration || ctx.Err() != nil {
			break
		}
		cl.Produce(ctx, &kgo.Record{Value: value}, func(r *kgo.Record, err error) { p.done(r, err, intended) })
	}
	if err := cl.Flush(ctx); err != nil {
		return Result{}, err
	}
	elapsed := time.Since(start)
	p.mu.Lock()
	defer p.mu.Unlock()
	return Result{Records: p.records, Bytes: p.bytes, Elapsed: elapsed, Latency: p.latency}, errors.Join(p.err, ctx.Err())
}

// producing collects acknowledgements, which arrive on the client's goroutines.
type producing struct {
	mu             sync.Mutex
	records, bytes int64
	latency        *hdrhistogram.Histogram
	err            error
}

func (p *producing) done(r *kgo.Record, err error, intended time.Time) {
	took := time.Since(intended)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.err = fmt.Errorf("a record failed: %w", err)
		return
	}
	p.records++
	p.bytes += int64(len(r.Value))
	_ = p.latency.RecordValue(min(max(took.Microseconds(), 1), maxLatency))
}

// fill makes bytes that do not compress.
func fill(b []byte) {
	rng := rand.NewPCG(1, 2)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, rng.Uint64())
		b = b[8:]
	}
}

// Consume reads all that the topic holds when it is called, with one client.
func Consume(ctx context.Context, l Load) (Result, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.Broker), kgo.ConsumeTopics(l.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return Result{}, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, l.Topic)
	if err != nil {
		return Result{}, err
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	var records, bytes atomic.Int64
	start := time.Now()
	for records.Load() < total {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return Result{}, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records.Add(1)
			bytes.Add(int64(len(r.Value)))
		})
	}
	return Result{Records: records.Load(), Bytes: bytes.Load(), Elapsed: time.Since(start)}, nil
}
