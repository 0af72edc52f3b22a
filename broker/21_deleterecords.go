package broker

import (
	"context"
	"sync"

	"github.com/quirelog/quire/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteRecords (21), versions 0 to 2 (KIP-107). 1: no change in the body. 2: flexible. Offset -1 is the high watermark. The answer
// is where the partition starts from now on; the files below go with the next look at retention.

func startDeleteRecords(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DeleteRecordsRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, milliseconds(req.TimeoutMillis))
		defer cancel()
		v := b.view()
		resp := kmsg.NewPtrDeleteRecordsResponse()
		resp.Version = req.Version
		var all sync.WaitGroup
		resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
		slots := make(chan struct{}, reconcileAtOnce)
		for i := range req.Topics {
			t, rt := &req.Topics[i], &resp.Topics[i]
			rt.Topic = t.Topic
			rt.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(t.Partitions))
			for j := range t.Partitions {
				slots <- struct{}{}
				all.Go(func() {
					rt.Partitions[j] = b.deleteRecords(ctx, v, t.Topic, &t.Partitions[j])
					<-slots
				})
			}
		}
		all.Wait()
		return reply{msg: resp}
	}
}

func (b *Broker) deleteRecords(
	ctx context.Context, v *view, topic string, p *kmsg.DeleteRecordsRequestTopicPartition,
) kmsg.DeleteRecordsResponseTopicPartition {
	rp := kmsg.NewDeleteRecordsResponseTopicPartition()
	rp.Partition, rp.LowWatermark = p.Partition, -1
	replica, _, err := b.replica(v, false, topic, [16]byte{}, p.Partition)
	var low partition.Offset
	if err == nil {
		err = refuseInternal(topic, "it is not possible to delete records of")
	}
	if err == nil {
		low, err = replica.DeleteRecords(ctx, partition.Offset(p.Offset))
	}
	if rp.ErrorCode = errorCode(err); err == nil {
		rp.LowWatermark = int64(low)
	}
	return rp
}
