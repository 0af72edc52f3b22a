package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterPartitionReassignments (45), versions 0 and 1 (KIP-455). 1: whether the number of replicas may change (KIP-860). A reassignment begins
// here; the partition's leader carries it out: new replicas copy the log first, then they get votes, then the old ones leave.

func startAlterPartitionReassignments(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.AlterPartitionAssignmentsRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, milliseconds(req.TimeoutMillis))
		defer cancel()
		resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
		a := reassignments{b: b, view: b.view(), sameFactor: req.Version >= 1 && !req.AllowReplicationFactorChange}
		for _, t := range req.Topics {
			rt := kmsg.NewAlterPartitionAssignmentsResponseTopic()
			rt.Topic = t.Topic
			rt.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(t.Partitions))
			for i, p := range t.Partitions {
				rp := &rt.Partitions[i]
				rp.Default()
				rp.Partition = p.Partition
				a.add(rp, t.Topic, p.Replicas)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		a.propose(ctx)
		return reply{msg: resp}
	}
}

// reassignments are those of one request that can be begun, and where their outcomes go.
type reassignments struct {
	b          *Broker
	view       *view
	sameFactor bool
	moves      []controller.Reassignment
	answers    []*kmsg.AlterPartitionAssignmentsResponseTopicPartition
}

// add takes what a request wants of a partition, or says why not.
func (a *reassignments) add(rp *kmsg.AlterPartitionAssignmentsResponseTopicPartition, topic string, replicas []int32) {
	t, err := a.view.find(false, topic, [16]byte{}, rp.Partition)
	if err == nil {
		err = a.check(&t.Partitions[rp.Partition], replicas)
	}
	if rp.ErrorCode, rp.ErrorMessage = errorFields(err); err != nil {
		return
	}
	a.moves = append(a.moves, controller.Reassignment{Topic: t.ID, Partition: rp.Partition, Replicas: replicas})
	a.answers = append(a.answers, rp)
}

// check checks the replicas that a partition is to have; nil replicas take back what is under way.
func (a *reassignments) check(p *controller.Partition, replicas []int32) error {
	if replicas == nil {
		if p.Target == nil {
			return errNoReassignment
		}
		return nil
	}
	if len(replicas) == 0 {
		return fmt.Errorf("%w: the replica list is empty", errInvalidAssignment)
	}
	for i, id := range replicas {
		if slices.Contains(replicas[:i], id) {
			return fmt.Errorf("%w: broker %d is named more than once", errInvalidAssignment, id)
		}
		if _, ok := a.view.Brokers[id]; !ok {
			return fmt.Errorf("%w: broker %d is not registered", errInvalidAssignment, id)
		}
	}
	if have := len(p.Replicas) - len(p.Adding); a.sameFactor && len(replicas) != have {
		return fmt.Errorf("%w: the replication factor is changed from %d to %d", errInvalidFactor, have, len(replicas))
	}
	return nil
}

// propose begins all of them at once.
func (a *reassignments) propose(ctx context.Context) {
	if len(a.moves) == 0 {
		return
	}
	each, err := a.b.controller.Reassign(ctx, a.moves)
	for i, rp := range a.answers {
		outcome := err
		if err == nil {
			outcome = each[i]
		}
		rp.ErrorCode, rp.ErrorMessage = errorFields(outcome)
	}
}
