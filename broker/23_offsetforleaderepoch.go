package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// OffsetForLeaderEpoch (23), versions 0 to 4 (KIP-101, KIP-279). 1: the epoch found. 2: the client's leader epoch
// (KIP-320). 3: replica id. 4: flexible.

func startOffsetForLeaderEpoch(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.OffsetForLeaderEpochRequest)
	return func(context.Context) reply {
		v := b.view()
		resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
		resp.Version = req.Version
		for i := range req.Topics {
			t := &req.Topics[i]
			rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
			rt.Topic = t.Topic
			for j := range t.Partitions {
				rt.Partitions = append(rt.Partitions, b.epochEnd(v, t.Topic, &t.Partitions[j]))
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return reply{msg: resp}
	}
}

func (b *Broker) epochEnd(
	v *view, topic string, p *kmsg.OffsetForLeaderEpochRequestTopicPartition,
) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	rp.Partition = p.Partition
	rp.LeaderEpoch, rp.EndOffset = -1, -1
	replica, _, err := b.replica(v, false, topic, [16]byte{}, p.Partition)
	if err == nil {
		_, err = marksIn(replica, p.CurrentLeaderEpoch)
	}
	if err != nil {
		rp.ErrorCode = errorCode(err)
		return rp
	}
	epoch, end := replica.EpochEnd(p.LeaderEpoch)
	rp.LeaderEpoch, rp.EndOffset = epoch, int64(end)
	return rp
}
