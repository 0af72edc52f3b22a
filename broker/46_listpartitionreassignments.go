package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListPartitionReassignments (46), version 0 (KIP-455). As in Kafka partitions without a reassignment under way, known or not, are left out.

func startListPartitionReassignments(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ListPartitionReassignmentsRequest)
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	v := b.view()
	add := func(t topicView, wanted func(n int32) bool) {
		rt := kmsg.NewListPartitionReassignmentsResponseTopic()
		rt.Topic = t.Name
		for n := range t.Partitions {
			p := &t.Partitions[n]
			if p.Target == nil || !wanted(int32(n)) {
				continue
			}
			rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			rp.Partition, rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = int32(n), p.Replicas, p.Adding, p.Removing
			rt.Partitions = append(rt.Partitions, rp)
		}
		if len(rt.Partitions) > 0 {
			resp.Topics = append(resp.Topics, rt)
		}
	}
	if req.Topics == nil {
		for _, t := range v.topics {
			add(t, func(int32) bool { return true })
		}
		return answer(resp)
	}
	for _, rt := range req.Topics {
		if t, ok := v.byName(rt.Topic); ok {
			add(t, func(n int32) bool { return slices.Contains(rt.Partitions, n) })
		}
	}
	return answer(resp)
}
