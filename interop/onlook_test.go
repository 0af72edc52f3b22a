package interop

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		case <-l.done:
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
	for _, group := range slices.Concat(l.ledger.Groups, l.ledger.Skips) {
		asked = now()
		offsets, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			continue
		}
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Err == nil && o.At >= 0 {
				add(group, o.Partition, o.At)
			}
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.Marks = append(l.ledger.Marks, marks...)
}

// probe writes to what a broker says that it leads, again and again and without waiting long for anything, so that it is seen when each partition takes writes again:
// the other producers learn it only when their own requests to a broker that is stopped have timed out.
func (l *load) probe(b *clusterBroker) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.RequestRetries(0))
	if err != nil {
		l.t.Error(err)
		return
	}
	defer cl.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for id, number := l.producers.Add(1), int64(0); ; {
		if !l.probeOnce(cl, b, id, &number) { // the last ones may be appended later, behind those that come next
			id, number = l.producers.Add(1), 0
		}
		select {
		case <-l.quit:
			return
		case <-tick.C:
		}
	}
}

// probeOnce writes one record to each partition, and returns false if there was no answer: what was answered is appended, or never will be.
func (l *load) probeOnce(cl *kgo.Client, b *clusterBroker, id int32, number *int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	led, err := leads(ctx, cl, b, l.topic)
	if err != nil || len(led) == 0 {
		return true
	}
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 300
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = l.topic
	values := map[int32]chaos.Value{}
	for _, p := range led {
		part := kmsg.NewProduceRequestTopicPartition()
		values[p] = chaos.Value{Producer: id, Number: *number}
		part.Partition, part.Records = p, stampedBatch(l.t, []int64{time.Now().UnixMilli()}, fmt.Appendf(nil, "%d %d", id, *number), kgo.NoCompression())
		topic.Partitions = append(topic.Partitions, part)
		*number++
	}
	req.Topics = append(req.Topics, topic)
	l.mu.Lock()
	l.ledger.Sent[id] = *number
	l.mu.Unlock()
	answer, err := cl.Broker(int(b.id)).Request(ctx, req)
	if err != nil {
		return false
	}
	told := now()
	for _, p := range answer.(*kmsg.ProduceResponse).Topics[0].Partitions {
		if p.ErrorCode == 0 {
			l.ack(chaos.Ack{Value: values[p.Partition], Partition: p.Partition, Offset: p.BaseOffset, Told: told})
		}
	}
	return true
}

// leads is what a broker says itself that it leads.
func leads(ctx context.Context, cl *kgo.Client, b *clusterBroker, topic string) (led []int32, err error) {
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	answer, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	for _, p := range answer.Topics[0].Partitions {
		if p.Leader == b.id {
			led = append(led, p.Partition)
		}
	}
	return led, nil
}
