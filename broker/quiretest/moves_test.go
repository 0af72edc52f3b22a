package quiretest

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// reassign gives every partition of the topic the replicas that change makes of those it has, and waits until that is done.
func (s *session) reassign(change func(partition int32, replicas []int32) []int32) {
	s.t.Helper()
	var req kadm.AlterPartitionAssignmentsReq
	want := map[int32][]int32{}
	for n, p := range s.partitions() {
		want[n] = change(n, slices.Clone(p.Replicas))
		req.Assign(s.topic, n, want[n])
	}
	resp, err := s.adm.AlterPartitionAssignments(s.ctx, req)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		s.t.Fatalf("reassign: %v", err)
	}
	var left kadm.ListPartitionReassignmentsResponses
	s.eventually("all reassignments are complete", func() bool {
		left, err = s.adm.ListPartitionReassignments(s.ctx, nil)
		return err == nil && len(left[s.topic]) == 0
	}, func() any { return left })
	var last kadm.PartitionDetails
	s.eventually("the replicas lead, and are in sync", func() bool { // any broker is asked, and may hear of it a little later
		last = s.partitions()
		for n, p := range last {
			if !slices.Equal(p.Replicas, want[n]) || len(p.ISR) != len(p.Replicas) || !slices.Contains(p.Replicas, p.Leader) {
				return false
			}
		}
		return true
	}, func() any { return last })
}

// TestClusterMovesPartitions moves all replicas away from one broker while there are others to take them, back to it, and down to one
// replica each. What was written is there each time.
func TestClusterMovesPartitions(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 4)
	const partitions = 6
	s := newSession(t, c, "orders", partitions)
	s.await(3)
	s.produce(partitions, 20)

	s.reassign(func(_ int32, replicas []int32) []int32 {
		for other := int32(2); ; other++ {
			if i := slices.Index(replicas, 1); i < 0 {
				return replicas
			} else if !slices.Contains(replicas, other) {
				replicas[i] = other
			}
		}
	})
	s.produce(partitions, 20)
	s.verify()

	s.reassign(func(int32, []int32) []int32 { return []int32{1, 2} })
	s.produce(partitions, 20)
	s.verify()

	s.reassign(func(n int32, _ []int32) []int32 { return []int32{1 + n%4} })
	s.produce(partitions, 20)
	s.verify()
}
