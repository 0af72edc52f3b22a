package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments (45), versions 0 and 1 (KIP-455). 1: whether the number of replicas may change (KIP-860). A
// partition is where it is to be, or its assignment names brokers that are not there: nothing is ever under way.

func startAlterPartitionReassignments(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.AlterPartitionAssignmentsRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
		v := b.view()
		for _, t := range req.Topics {
			rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
				rp.Partition = p.Partition
				rp.ErrorCode, rp.ErrorMessage = errorFields(v.reassign(t.Topic, p.Partition, p.Replicas))
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return reply{msg: resp}
	}
}

// reassign checks the replicas that a partition is to have; nil replicas cancel what is under way.
func (v *view) reassign(topic string, n int32, replicas []int32) error {
	t, err := v.find(false, topic, [16]byte{}, n)
	if err != nil {
		return err
	}
	if replicas == nil {
		return errNoReassignment
	}
	if len(replicas) == 0 {
		return fmt.Errorf("%w: the replica list is empty", errInvalidAssignment)
	}
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return fmt.Errorf("%w: broker %d is named more than once", errInvalidAssignment, id)
		}
		if _, ok := v.Brokers[id]; !ok {
			return fmt.Errorf("%w: broker %d is not registered", errInvalidAssignment, id)
		}
	}
	if !slices.Equal(replicas, t.Partitions[n].Replicas) {
		return fmt.Errorf("%w: this version does not move replicas", errInvalidAssignment)
	}
	return nil
}
