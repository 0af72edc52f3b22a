package broker

import "context"

// ListPartitionReassignments (46), version 0 (KIP-455). None is ever under way, and as in Kafka partitions without one, known
// or not, are left out.

func startListPartitionReassignments(_ context.Context, _ *Broker, r *request) finish {
	return answer(r.msg.ResponseKind())
}
