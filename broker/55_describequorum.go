package broker

import (
	"context"
	"time"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeQuorum (55), versions 0 to 2 (KIP-595). 1: when voters were last heard of (KIP-836). 2: directory ids and the
// nodes (KIP-853). Offsets are entries of the controller group's Raft log.

// metadataTopic is Kafka's name for the log of the cluster's metadata; its only partition is 0.
const metadataTopic = "__cluster_metadata"

func startDescribeQuorum(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeQuorumRequest)
	return func(ctx context.Context) reply {
		resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
		whole := len(req.Topics) == 1 && req.Topics[0].Topic == metadataTopic &&
			len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
		for _, t := range req.Topics {
			rt := kmsg.NewDescribeQuorumResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewDescribeQuorumResponseTopicPartition()
				rp.Partition = p.Partition
				err := errUnknownTopic
				if whole { // as in Kafka nothing else may be asked for beside it
					err = b.describeQuorum(ctx, &rp, resp)
				}
				rp.ErrorCode, rp.ErrorMessage = errorFields(err)
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return reply{msg: resp}
	}
}

// describeQuorum fills in the controller group. Its members have no listener for clients, so none is told.
func (b *Broker) describeQuorum(ctx context.Context, rp *kmsg.DescribeQuorumResponseTopicPartition, resp *kmsg.DescribeQuorumResponse) error {
	q, err := b.controller.Quorum(ctx)
	if err != nil {
		return err
	}
	rp.LeaderID, rp.LeaderEpoch, rp.HighWatermark = q.Leader, q.Epoch, q.Committed
	for _, m := range q.Voters {
		rp.CurrentVoters = append(rp.CurrentVoters, describeVoter(m))
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = m.Broker
		resp.Nodes = append(resp.Nodes, node)
	}
	return nil
}

// describeVoter says that a voter has been heard of just now if it is this broker: then the end of its log is known.
func describeVoter(m controller.Member) kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	s := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	s.ReplicaID, s.ReplicaDirectoryID, s.LogEndOffset = m.Broker, m.Incarnation, m.LogEnd
	s.LastFetchTimestamp, s.LastCaughtUpTimestamp = -1, -1
	if m.LogEnd >= 0 {
		s.LastFetchTimestamp = time.Now().UnixMilli()
		s.LastCaughtUpTimestamp = s.LastFetchTimestamp
	}
	return s
}
