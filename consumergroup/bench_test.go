package consumergroup

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill writes commits of groups, each of as many partitions of ten topics, into journal partitions as a coordinator would.
func fill(b *testing.B, partitions, groups, each int) []*memoryLog {
	logs := make([]*memoryLog, partitions)
	boxes := make([]outbox, partitions)
	for i := range logs {
		logs[i], boxes[i] = &memoryLog{}, outbox{maxBatch: 64 << 10}
	}
	for n := range each {
		for g := range groups {
			id := fmt.Sprintf("group-%05d", g)
			p := PartitionFor(id, partitions)
			e := &journal.OffsetCommit{
				Group: id, Topic: fmt.Sprintf("topic-%d", n%10), Partition: int32(n / 10),
				Value: &kmsg.OffsetCommitValue{Offset: int64(n), LeaderEpoch: 3, CommitTimestamp: 1_700_000_000_000, ExpireTimestamp: -1},
			}
			if err := boxes[p].write([]journal.Entry{e}, 1_700_000_000_000); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i := range boxes {
		for {
			batch, err := boxes[i].next()
			if err != nil {
				b.Fatal(err)
			}
			if batch == nil {
				break
			}
			logs[i].put(batch)
			boxes[i].commit()
		}
	}
	return logs
}

// BenchmarkLoad loads a million commits of 10,000 groups from 16 partitions, side by side: under 2 s on two cores is wanted.
func BenchmarkLoad(b *testing.B) {
	const partitions = 16
	logs := fill(b, partitions, 10_000, 100)
	o := options(partitions)
	o.Topics = func() consumer.Topics { return fakeTopics{} }
	b.ReportAllocs()
	for b.Loop() {
		c := New(o)
		for i := range logs {
			c.Lead(int32(i), logs[i])
		}
		for n := 0; n < partitions; {
			n = 0
			for _, s := range c.States() {
				if s == Serving {
					n++
				}
			}
			<-time.After(time.Millisecond)
		}
		b.StopTimer()
		if n := c.groups.Load(); n != 10_000 {
			b.Fatalf("%d groups", n)
		}
		if err := c.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkCommit is a commit of one offset through a shard, from 100 clients that each wait for their answers.
func BenchmarkCommit(b *testing.B) {
	const clients = 100
	o := options(16)
	topics := fakeTopics{"orders": topic("orders", 1, 8)}
	o.Topics = func() consumer.Topics { return topics }
	c := New(o)
	for i := range o.Partitions {
		c.Lead(int32(i), &memoryLog{})
	}
	defer c.Close(context.Background())
	for i := range c.shards {
		for c.shards[i].Load().queue.is() != Serving {
			<-time.After(time.Millisecond)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			done := make(chan struct{}, 1)
			group := fmt.Sprintf("group-%d", i)
			for n := range b.N / clients {
				c.Handle(&step.Call{Request: commit(group, "orders", 1, int64(n)), Answer: func(kmsg.Response) { done <- struct{}{} }})
				<-done
			}
		})
	}
	wg.Wait()
}
