package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// protocols are the options with which franz-go speaks each protocol.
var protocols = map[string][]kgo.Opt{
	"classic, eager":       {kgo.Balancers(kgo.RangeBalancer())},
	"classic, cooperative": {kgo.Balancers(kgo.CooperativeStickyBalancer())},
	"new":                  {kgo.ServerSideBalancer()},
}

// groupMember is a consumer that polls until it is closed, and commits what it has read after each poll.
type groupMember struct {
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}
}

// joinGroup starts a member that calls read for every record.
func joinGroup(t *testing.T, addr, group, topic string, read func(*kgo.Record), opts ...kgo.Opt) *groupMember {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100 * time.Millisecond),
	}, opts...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	m := &groupMember{client: c, done: make(chan struct{})}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			c.PollFetches(ctx).EachRecord(read)
			if err := c.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
				t.Logf("commit: %v", err) // after a rebalance: somebody else reads it again
			}
		}
	}()
	t.Cleanup(m.close)
	return m
}

// close leaves the group.
func (m *groupMember) close() {
	m.stop()
	<-m.done
	m.client.Close()
}

// seen counts records.
type seen struct {
	mu     sync.Mutex
	counts map[string]int
}

func (s *seen) read(r *kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int{}
	}
	s.counts[string(r.Value)]++
}

func (s *seen) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts)
}

func produceNumbers(t *testing.T, b *Broker, topic string, from, to int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, kgo.StringRecord(fmt.Sprint(i)))
	}
	if err := c.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func groupAdmin(t *testing.T, b *Broker) *kadm.Client {
	t.Helper()
	c, err := kadm.NewOptClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func committed(t *testing.T, a *kadm.Client, group string) (sum int64) {
	t.Helper()
	offsets, err := a.FetchOffsets(testContext(t), group)
	if err != nil {
		t.Fatal(err)
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += o.At })
	return sum
}

// In both protocols two members share the partitions, one takes over when the other leaves, and after a restart of the broker the group goes on behind
// what it has committed.
func TestGroupsEndToEnd(t *testing.T) {
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := groupConfig(t)
			b := startBroker(t, cfg)
			makeTopic(t, b, "t", 4)
			produceNumbers(t, b, "t", 0, 100)
			a := groupAdmin(t, b)

			var all seen
			one := joinGroup(t, b.Addr(), "g", "t", all.read, opts...)
			two := joinGroup(t, b.Addr(), "g", "t", all.read, opts...)
			waitFor(t, "all records are read", func() bool { return all.len() == 100 })
			waitFor(t, "all are committed", func() bool { return committed(t, a, "g") == 100 })
			one.close()
			produceNumbers(t, b, "t", 100, 200)
			waitFor(t, "the other one takes over", func() bool { return all.len() == 200 })
			waitFor(t, "all are committed", func() bool { return committed(t, a, "g") == 200 })
			two.close()
			closeBroker(t, b)

			b = startBroker(t, cfg)
			produceNumbers(t, b, "t", 200, 300)
			var after seen
			joinGroup(t, b.Addr(), "g", "t", after.read, opts...)
			waitFor(t, "the group goes on", func() bool { return after.len() == 100 })
			for v := range after.counts {
				if len(v) != 3 || v < "200" {
					t.Errorf("record %s is read again", v)
				}
			}
		})
	}
}
