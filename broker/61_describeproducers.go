package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeProducers (61), version 0 (KIP-664): the idempotent producers that a partition remembers. None is in a transaction.

func startDescribeProducers(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeProducersRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
		v := b.view()
		answered := map[topicPartition]bool{} // a small request may not ask for the same long answer again and again
		for _, t := range req.Topics {
			rt := kmsg.NewDescribeProducersResponseTopic()
			rt.Topic = t.Topic
			for _, n := range t.Partitions {
				if key := (topicPartition{t.Topic, n}); !answered[key] {
					answered[key] = true
					rt.Partitions = append(rt.Partitions, b.describeProducers(v, t.Topic, n))
				}
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return reply{msg: resp}
	}
}

func (b *Broker) describeProducers(v *view, topic string, n int32) kmsg.DescribeProducersResponseTopicPartition {
	rp := kmsg.NewDescribeProducersResponseTopicPartition()
	rp.Partition = n
	if err := checkTopicName(topic); err != nil {
		rp.ErrorCode, rp.ErrorMessage = errorFields(err)
		return rp
	}
	p, _, err := b.replica(v, false, topic, [16]byte{}, n)
	if err == nil {
		_, err = p.Marks(-1) // whether it leads
	}
	if err != nil {
		rp.ErrorCode, rp.ErrorMessage = errorFields(fmt.Errorf("producers of %s-%d: %w", topic, n, err))
		return rp
	}
	for _, state := range p.Producers() {
		ap := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		ap.ProducerID, ap.ProducerEpoch = state.ID, int32(state.Epoch)
		ap.LastSequence, ap.LastTimestamp = state.LastSequence, state.LastTimestamp
		ap.CoordinatorEpoch, ap.CurrentTxnStartOffset = -1, -1
		rp.ActiveProducers = append(rp.ActiveProducers, ap)
	}
	return rp
}
