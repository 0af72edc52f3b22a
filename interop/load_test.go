package interop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/quirelog/quire/interop/members"
	"github.com/twmb/franz-go/pkg/kgo"
)

// now is of all times in a ledger: the machine's monotonic clock, which the clients' processes have too.
func now() chaos.Time { return members.Now() }

// load writes to a topic, reads from it in groups and looks at its ends while faults are made, and notes all of it in a ledger.
type load struct {
	t          *testing.T
	c          *cluster
	topic      string
	partitions int
	pace       time.Duration // between two records of a producer
	writers    sync.WaitGroup
	quit       chan struct{} // closed: the writers end
	watchers   sync.WaitGroup
	done       chan struct{} // closed: readers and onlookers end
	seats      []*seat       // the group of librdkafka

	producers atomic.Int32
	acked     atomic.Int64
	committed atomic.Int64

	mu     sync.Mutex
	ledger chaos.Ledger
	last   []chaos.Time    // of each partition's newest acknowledgement
	pauses []time.Duration // the longest time without one, of each partition, since it was last asked for
}

// longPause is worth a line with the time when it ended, which is also in the brokers' logs.
const longPause = 3 * time.Second

// The groups that read.
const (
	loadGroup   = "readers"
	rdkafkaLoad = "rdkafka-readers"
)

// startLoad makes the topic and begins: idempotent producers with acks=all of franz-go, and half as many of librdkafka; two members each of a group of franz-go and of
// one of librdkafka; an onlooker and a prober a broker.
func startLoad(t *testing.T, c *cluster, topic string, partitions, producers int, pace time.Duration) *load {
	t.Helper()
	l := &load{t: t, c: c, topic: topic, partitions: partitions, pace: pace, quit: make(chan struct{}), done: make(chan struct{}),
		last: make([]chaos.Time, partitions), pauses: make([]time.Duration, partitions)}
	l.ledger.Sent, l.ledger.Bumps, l.ledger.Groups = map[int32]int64{}, map[int32]bool{}, []string{loadGroup}
	rdkafka := needs(t, "QUIRE_INTEROP_CONFLUENT_GO")
	if rdkafka {
		l.ledger.Skips = append(l.ledger.Skips, rdkafkaLoad)
	}
	if _, err := c.admin().CreateTopic(t.Context(), int32(partitions), 3, nil, topic); err != nil {
		t.Fatal(err)
	}
	for i := range l.last {
		l.last[i] = now()
	}
	for range producers {
		l.writers.Go(l.produce)
	}
	for range 2 {
		l.watchers.Go(l.read)
	}
	for _, b := range c.brokers {
		l.watchers.Go(func() { l.look(b) })
		l.writers.Go(func() { l.probe(b) })
	}
	if rdkafka {
		l.startRdkafka(producers / 2)
	}
	return l
}

func over(quit <-chan struct{}) bool {
	select {
	case <-quit:
		return true
	default:
		return false
	}
}

// produce sends to all partitions in turn; after a fatal error, as another producer.
func (l *load) produce() {
	for !over(l.quit) {
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
			l.ack(chaos.Ack{Value: v, Partition: r.Partition, Offset: r.Offset, Told: now()})
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

func (l *load) ack(a chaos.Ack) {
	l.acked.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Acked = append(l.ledger.Acked, a)
	pause := time.Duration(a.Told - l.last[a.Partition])
	if pause > longPause {
		l.t.Logf("%s: nothing of partition %d was acknowledged for %v", time.Now().Format("15:04:05.000"), a.Partition, pause.Round(time.Millisecond))
	}
	l.pauses[a.Partition] = max(l.pauses[a.Partition], pause)
	l.last[a.Partition] = max(l.last[a.Partition], a.Told)
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

// silent says which partition has acknowledged nothing since then.
func (l *load) silent(since chaos.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, last := range l.last {
		if last <= since {
			return fmt.Errorf("partition %d has acknowledged nothing for %v", p, time.Duration(now()-last))
		}
	}
	return nil
}

// reached says how many records are missing to this many.
func (l *load) reached(records int64) error {
	if got := l.acked.Load(); got < records {
		return fmt.Errorf("%d records are acknowledged, want %d", got, records)
	}
	return nil
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
		<-l.done
		cancel()
	}()
	for !over(l.done) {
		fetches := cl.PollRecords(ctx, 5000)
		if ends := l.note(fetches); len(ends) > 0 && cl.CommitRecords(ctx, fetches.Records()...) == nil {
			for p, end := range ends {
				l.commits(loadGroup, p, end, now())
			}
		}
		cl.AllowRebalance()
	}
}

// note notes what was read and returns, by partition, the offset to read next.
func (l *load) note(fetches kgo.Fetches) map[int32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	ends := map[int32]int64{}
	fetches.EachRecord(func(r *kgo.Record) {
		v, err := valueOf(r)
		if err != nil {
			l.t.Errorf("read: %v", err)
		}
		l.ledger.Read = append(l.ledger.Read, chaos.Read{Value: v, Group: loadGroup, Partition: r.Partition, Offset: r.Offset})
		ends[r.Partition] = r.Offset + 1
	})
	return ends
}

// commits notes that a group was told at a time that this offset is committed: whoever asks later is answered at least that. It was asked for before everything.
func (l *load) commits(group string, partition int32, offset int64, told chaos.Time) {
	l.committed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Marks = append(l.ledger.Marks, chaos.Mark{Of: group, Broker: -1, Partition: partition, Offset: offset, Answered: told})
}

func valueOf(r *kgo.Record) (v chaos.Value, err error) {
	if _, err = fmt.Sscanf(string(r.Value), "%d %d", &v.Producer, &v.Number); err != nil {
		err = fmt.Errorf("partition %d, offset %d holds %.40q", r.Partition, r.Offset, r.Value)
	}
	return v, err
}
