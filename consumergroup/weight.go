package consumergroup

import "github.com/twmb/franz-go/pkg/kmsg"

const (
	weightBase = 512 // of any request or response
	weightItem = 64  // of a struct of a list, beside its strings and bytes
)

// weight is about what a request holds in memory.
func weight(req kmsg.Request) int {
	n := weightBase
	switch r := req.(type) {
	case *kmsg.OffsetCommitRequest:
		for i := range r.Topics {
			n += weightItem + len(r.Topics[i].Topic)
			for j := range r.Topics[i].Partitions {
				n += weightItem + length(r.Topics[i].Partitions[j].Metadata)
			}
		}
	case *kmsg.OffsetFetchRequest:
		for i := range r.Topics {
			n += weightItem + len(r.Topics[i].Topic) + 4*len(r.Topics[i].Partitions)
		}
		for i := range r.Groups {
			n += weightItem + len(r.Groups[i].Group)
			for j := range r.Groups[i].Topics {
				n += weightItem + len(r.Groups[i].Topics[j].Topic) + 4*len(r.Groups[i].Topics[j].Partitions)
			}
		}
	case *kmsg.OffsetDeleteRequest:
		for i := range r.Topics {
			n += weightItem + len(r.Topics[i].Topic) + 4*len(r.Topics[i].Partitions)
		}
	case *kmsg.JoinGroupRequest:
		for i := range r.Protocols {
			n += weightItem + len(r.Protocols[i].Name) + len(r.Protocols[i].Metadata)
		}
	case *kmsg.SyncGroupRequest:
		for i := range r.GroupAssignment {
			n += weightItem + len(r.GroupAssignment[i].MemberID) + len(r.GroupAssignment[i].MemberAssignment)
		}
	case *kmsg.LeaveGroupRequest:
		n += 2 * weightItem * len(r.Members)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		n += texts(r.SubscribedTopicNames) + length(r.SubscribedTopicRegex)
		for i := range r.Topics {
			n += weightItem + 4*len(r.Topics[i].Partitions)
		}
	case *kmsg.DescribeGroupsRequest:
		n += texts(r.Groups)
	case *kmsg.ConsumerGroupDescribeRequest:
		n += texts(r.Groups)
	case *kmsg.DeleteGroupsRequest:
		n += texts(r.Groups)
	}
	return n
}

// responseWeight is about what a response holds in memory. Only those that can be large are looked at.
func responseWeight(r kmsg.Response) int {
	n := weightBase
	switch r := r.(type) {
	case *kmsg.OffsetFetchResponse:
		for i := range r.Topics {
			n += weightItem * len(r.Topics[i].Partitions)
		}
		for i := range r.Groups {
			for j := range r.Groups[i].Topics {
				n += weightItem * len(r.Groups[i].Topics[j].Partitions)
			}
		}
	case *kmsg.DescribeGroupsResponse:
		for i := range r.Groups {
			for j := range r.Groups[i].Members {
				m := &r.Groups[i].Members[j]
				n += 2*weightItem + len(m.ProtocolMetadata) + len(m.MemberAssignment)
			}
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for i := range r.Groups {
			for j := range r.Groups[i].Members {
				m := &r.Groups[i].Members[j]
				n += 4*weightItem + texts(m.SubscribedTopics) + weightItem*(len(m.Assignment.TopicPartitions)+len(m.TargetAssignment.TopicPartitions))
			}
		}
	case *kmsg.ListGroupsResponse:
		n += weightItem * len(r.Groups)
	case *kmsg.JoinGroupResponse:
		for i := range r.Members {
			n += weightItem + len(r.Members[i].ProtocolMetadata)
		}
	case *kmsg.SyncGroupResponse:
		n += len(r.MemberAssignment)
	}
	return n
}

func length(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func texts(all []string) (n int) {
	for _, s := range all {
		n += 16 + len(s)
	}
	return n
}
