package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// clock is of all times in a ledger.
var clock = time.Now()

func now() chaos.Time { return time.Since(clock).Nanoseconds() }

// load writes to a topic, reads from it in a group and looks at its ends while faults are made, and notes all of it in a ledger.
type load struct {
	t          *testing.T
	c          *cluster
	topic      string
	partitions int
	pace       time.Duration // between two records of a producer
	wg         sync.WaitGroup
	quit       chan struct{}

	producers atomic.Int32
	acked     atomic.Int64
	committed atomic.Int64

	mu     sync.Mutex
	ledger chaos.Ledger
	last   []chaos.Time    // of each partition's newest acknowledgement
	pauses []time.Duration // the longest time without one, of each partition, since it was last asked for
}

// loadGroup is the group that reads.
const loadGroup = "readers"

// startLoad makes the topic and begins: producers idempotent producers with acks=all, two members of a group, and an onlooker a broker.
func startLoad(t *testing.T, c *cluster, topic string, partitions, producers int, pace time.Duration) *load {
	t.Helper()
	l := &load{t: t, c: c, topic: topic, partitions: partitions, pace: pace, quit: make(chan struct{}), last: make([]chaos.Time, partitions), pauses: make([]time.Duration, partitions)}
	l.ledger.Sent = map[int32]int64{}
	if _, err := c.admin().CreateTopic(t.Context(), int32(partitions), 3, nil, topic); err != nil {
		t.Fatal(err)
	}
	for i := range l.last {
		l.last[i] = now()
	}
	for range producers {
		l.wg.Go(l.produce)
	}
	for range 2 {
		l.wg.Go(l.read)
	}
	for _, b := range c.brokers {
		l.wg.Go(func() { l.look(b) })
	}
	return l
}

func (l *load) over() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// produce sends to all partitions in turn; after a fatal error, as another producer.
func (l *load) produce() {
	for !l.over() {
		id := l.producers.Add(1)
		if err := l.produceAs(id); err != nil {
			l.t.Logf("producer %d begins anew: %v", id, err)
		}
	}
}

func (l *load) produceAs(id int32) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.c.addrs()...), kgo.DefaultProduceTopic(l.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(2000), kgo.RetryTimeout(30*time.Second), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second)) // a broker that is stopped breaks no connection
	if err != nil {
		return err
	}
	defer cl.Close()
	failed := make(chan error, 1)
	tick := time.NewTicker(l.pace)
	defer tick.Stop()
	var number int64
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := cl.Flush(ctx); err != nil {
			l.t.Errorf("producer %d: what was sent is neither acknowledged nor refused after a minute: %v", id, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ledger.Sent[id] = number
	}()
	for ; ; number++ {
		v := chaos.Value{Producer: id, Number: number}
		p := int32(number+int64(id)) % int32(l.partitions)
		cl.Produce(context.Background(), &kgo.Record{Partition: p, Value: fmt.Appendf(nil, "%d %d", id, number)}, func(r *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
				return
			}
			l.ack(v, r)
		})
		select {
		case <-l.quit:
			number++
			return nil
		case err := <-failed:
			number++
			return err
		case <-tick.C:
		}
	}
}

func (l *load) ack(v chaos.Value, r *kgo.Record) {
	told := now()
	l.acked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Acked = append(l.ledger.Acked, chaos.Ack{Value: v, Partition: r.Partition, Offset: r.Offset, Told: told})
	l.pauses[r.Partition] = max(l.pauses[r.Partition], time.Duration(told-l.last[r.Partition]))
	l.last[r.Partition] = told
}

// longest is the longest time for which a partition has acknowledged nothing since this was last asked, and begins anew.
func (l *load) longest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now()
	for p := range l.pauses {
		l.pauses[p] = max(l.pauses[p], time.Duration(at-l.last[p]))
	}
	longest := slices.Max(l.pauses)
	clear(l.pauses)
	return longest
}

// read is a member of a group that commits what it has read.
func (l *load) read() {
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.c.addrs()...), kgo.ConsumerGroup(loadGroup), kgo.ConsumeTopics(l.topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BlockRebalanceOnPoll(), kgo.SessionTimeout(10*time.Second), kgo.FetchMaxWait(300*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		l.t.Error(err)
		return
	}
	defer cl.CloseAllowingRebalance()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-l.quit
		cancel()
	}()
	for !l.over() {
		fetches := cl.PollRecords(ctx, 5000)
		l.note(fetches)
		if err := cl.CommitRecords(ctx, fetches.Records()...); err == nil && !fetches.Empty() {
			l.committed.Add(1)
		}
		cl.AllowRebalance()
	}
}

func (l *load) note(fetches kgo.Fetches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		v, err := valueOf(r)
		if err != nil {
			l.t.Errorf("read: %v", err)
		}
		l.ledger.Read = append(l.ledger.Read, chaos.Read{Value: v, Partition: r.Partition, Offset: r.Offset})
	})
}

func valueOf(r *kgo.Record) (v chaos.Value, err error) {
	if _, err = fmt.Sscanf(string(r.Value), "%d %d", &v.Producer, &v.Number); err != nil {
		err = fmt.Errorf("partition %d, offset %d holds %.40q", r.Partition, r.Offset, r.Value)
	}
	return v, err
}

// look asks one broker again and again for the ends and the group's offsets of the partitions that it answers for.
func (l *load) look(b *clusterBroker) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.RetryTimeout(time.Second), kgo.RequestRetries(0), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		l.t.Error(err)
		return
	}
	adm := kadm.NewClient(cl)
	defer adm.Close()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-tick.C:
			l.lookOnce(cl, adm, b)
		}
	}
}

func (l *load) lookOnce(cl *kgo.Client, adm *kadm.Client, b *clusterBroker) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	asked := now()
	var marks []chaos.Mark
	add := func(of string, partition int32, offset int64) {
		marks = append(marks, chaos.Mark{Of: of, Broker: b.id, Partition: partition, Offset: offset, Asked: asked, Answered: now()})
	}
	if resp, err := endsAt(ctx, cl, b.id, l.topic, l.partitions); err == nil {
		for _, p := range resp {
			if kerr.ErrorForCode(p.ErrorCode) == nil {
				add(chaos.HighWatermark, p.Partition, p.Offset)
			}
		}
	}
	asked = now()
	if offsets, err := adm.FetchOffsets(ctx, loadGroup); err == nil {
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Err == nil && o.At >= 0 {
				add(loadGroup, o.Partition, o.At)
			}
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Marks = append(l.ledger.Marks, marks...)
}

// finish ends the load, reads the whole topic and judges the run.
func (l *load) finish() {
	l.t.Helper()
	close(l.quit)
	l.wg.Wait()
	if l.t.Failed() {
		return
	}
	l.c.await(time.Minute, func(ctx context.Context) error { return inSync(ctx, l.c.admin(), l.topic, 3) })
	l.ledger.Stored = l.stored()
	for _, fault := range l.ledger.Check() {
		l.t.Error(fault)
	}
	l.t.Logf("%d records acknowledged by %d producers, %d read in the group, %d commits, %d marks", len(l.ledger.Acked), l.producers.Load(), len(l.ledger.Read),
		l.committed.Load(), len(l.ledger.Marks))
}

// stored reads the topic from its start to its end.
func (l *load) stored() map[int32][]chaos.Value {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	ends, err := l.c.admin().ListEndOffsets(ctx, l.topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		l.t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.c.addrs()...), kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	stored, left := map[int32][]chaos.Value{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			l.t.Fatalf("%d records of the topic cannot be read", left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			v, err := valueOf(r)
			if err != nil || r.Offset != int64(len(stored[r.Partition])) {
				l.t.Fatalf("partition %d: offset %d after %d records: %v", r.Partition, r.Offset, len(stored[r.Partition]), err)
			}
			stored[r.Partition] = append(stored[r.Partition], v)
			left--
		})
	}
	return stored
}
