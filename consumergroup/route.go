package consumergroup

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Handle answers any group request (OffsetCommit, OffsetFetch, JoinGroup, Heartbeat, LeaveGroup, SyncGroup, DescribeGroups, ListGroups,
// DeleteGroups, OffsetDelete, ConsumerGroupHeartbeat, ConsumerGroupDescribe), now or later. It does not wait. What is refused at once is
// answered by the caller's goroutine.
func (c *Coordinator) Handle(call *step.Call) {
	if err := admit(call, c.o.MaxBatch); err != nil {
		call.Answer(step.Failure(call.Request, err))
		return
	}
	switch req := call.Request.(type) {
	case *kmsg.ListGroupsRequest:
		c.list(call, req)
	case *kmsg.OffsetFetchRequest:
		if req.Version < 8 {
			c.send(c.partition(req.Group), call)
			return
		}
		spread(c, call, req.Groups, func(g kmsg.OffsetFetchRequestGroup) string { return g.Group },
			func(part []kmsg.OffsetFetchRequestGroup) kmsg.Request {
				return &kmsg.OffsetFetchRequest{Version: req.Version, Groups: part, RequireStable: req.RequireStable}
			},
			func(r kmsg.Response) *[]kmsg.OffsetFetchResponseGroup { return &r.(*kmsg.OffsetFetchResponse).Groups })
	case *kmsg.DescribeGroupsRequest:
		spread(c, call, req.Groups, itself,
			func(part []string) kmsg.Request {
				return &kmsg.DescribeGroupsRequest{Version: req.Version, Groups: part}
			},
			func(r kmsg.Response) *[]kmsg.DescribeGroupsResponseGroup {
				return &r.(*kmsg.DescribeGroupsResponse).Groups
			})
	case *kmsg.ConsumerGroupDescribeRequest:
		spread(c, call, req.Groups, itself,
			func(part []string) kmsg.Request {
				return &kmsg.ConsumerGroupDescribeRequest{Version: req.Version, Groups: part}
			},
			func(r kmsg.Response) *[]kmsg.ConsumerGroupDescribeResponseGroup {
				return &r.(*kmsg.ConsumerGroupDescribeResponse).Groups
			})
	case *kmsg.DeleteGroupsRequest:
		spread(c, call, req.Groups, itself,
			func(part []string) kmsg.Request { return &kmsg.DeleteGroupsRequest{Version: req.Version, Groups: part} },
			func(r kmsg.Response) *[]kmsg.DeleteGroupsResponseGroup { return &r.(*kmsg.DeleteGroupsResponse).Groups })
	default:
		c.send(c.partition(groupOf(call.Request)), call)
	}
}

func (c *Coordinator) partition(group string) int32 { return PartitionFor(group, len(c.shards)) }

func itself(id string) string { return id }

// groupOf is the group of a request that names one.
func groupOf(req kmsg.Request) string {
	switch req := req.(type) {
	case *kmsg.OffsetCommitRequest:
		return req.Group
	case *kmsg.HeartbeatRequest:
		return req.Group
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return req.Group
	case *kmsg.JoinGroupRequest:
		return req.Group
	case *kmsg.SyncGroupRequest:
		return req.Group
	case *kmsg.LeaveGroupRequest:
		return req.Group
	case *kmsg.OffsetDeleteRequest:
		return req.Group
	case *kmsg.OffsetFetchRequest:
		return req.Group
	}
	return ""
}

// admit refuses what no group could take in: ids that are no key of the journal, and members that would take most of a journal batch each.
// A classic group needs a name; offsets may be committed, read and deleted under an empty one, for clients of old.
func admit(call *step.Call, maxBatch int) error {
	id := groupOf(call.Request)
	var member, instance string
	limited := false
	switch req := call.Request.(type) {
	case *kmsg.OffsetCommitRequest:
		member = req.MemberID
	case *kmsg.JoinGroupRequest:
		member, instance, limited = req.MemberID, deref(req.InstanceID), true
	case *kmsg.SyncGroupRequest:
		member, limited = req.MemberID, true
	case *kmsg.ConsumerGroupHeartbeatRequest:
		member, instance, limited = req.MemberID, deref(req.InstanceID), true
		if length(req.SubscribedTopicRegex) > maxName {
			return fmt.Errorf("a regular expression of %d bytes: %w", length(req.SubscribedTopicRegex), kerr.InvalidRegularExpression)
		}
	}
	switch call.Request.(type) {
	case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest, *kmsg.HeartbeatRequest, *kmsg.LeaveGroupRequest, *kmsg.OffsetDeleteRequest:
		if id == "" {
			return fmt.Errorf("the group id is empty: %w", kerr.InvalidGroupID)
		}
	}
	switch {
	case len(id) > maxName:
		return fmt.Errorf("a group id of %d bytes: %w", len(id), kerr.InvalidGroupID)
	case max(len(member), len(instance), len(call.ClientID)) > maxName:
		return fmt.Errorf("an id of a member of more than %d bytes: %w", maxName, kerr.InvalidRequest)
	case limited && weight(call.Request) > maxBatch/2:
		return fmt.Errorf("a request of %d bytes cannot be kept: %w", weight(call.Request), kerr.UnknownServerError)
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// spread sends a request that names several groups to their partitions, and puts the answers together in the order in which they were named.
func spread[Q, G any](
	c *Coordinator, call *step.Call, named []Q, group func(Q) string, sub func([]Q) kmsg.Request, groups func(kmsg.Response) *[]G,
) {
	parts := map[int32][]int{} // positions in named, by partition
	for i, q := range named {
		p := c.partition(group(q))
		parts[p] = append(parts[p], i)
	}
	whole := call.Request.ResponseKind()
	out := make([]G, len(named))
	*groups(whole) = out
	if len(parts) == 0 {
		call.Answer(whole)
		return
	}
	var left atomic.Int32
	left.Store(int32(len(parts)))
	for p, at := range parts {
		part := make([]Q, len(at))
		for i, n := range at {
			part[i] = named[n]
		}
		one := *call
		one.Request = sub(part)
		one.Answer = func(r kmsg.Response) {
			for i, g := range *groups(r) {
				out[at[i]] = g
			}
			if left.Add(-1) == 0 {
				call.Answer(whole)
			}
		}
		c.send(p, &one)
	}
}

// list asks all partitions that are led here. One that is being loaded makes the answer COORDINATOR_LOAD_IN_PROGRESS; one that is led no
// more has no part in it.
func (c *Coordinator) list(call *step.Call, req *kmsg.ListGroupsRequest) {
	var led []int32
	for i := range c.shards {
		if c.shards[i].Load() != nil {
			led = append(led, int32(i))
		}
	}
	whole := req.ResponseKind().(*kmsg.ListGroupsResponse)
	whole.Groups = []kmsg.ListGroupsResponseGroup{}
	if len(led) == 0 {
		call.Answer(whole)
		return
	}
	answers := make([]*kmsg.ListGroupsResponse, len(led))
	var left atomic.Int32
	left.Store(int32(len(led)))
	for i, p := range led {
		one := *call
		one.Answer = func(r kmsg.Response) {
			answers[i] = r.(*kmsg.ListGroupsResponse)
			if left.Add(-1) == 0 {
				call.Answer(merged(whole, answers))
			}
		}
		c.send(p, &one)
	}
}

func merged(whole *kmsg.ListGroupsResponse, answers []*kmsg.ListGroupsResponse) *kmsg.ListGroupsResponse {
	for _, a := range answers {
		switch a.ErrorCode {
		case 0:
			whole.Groups = append(whole.Groups, a.Groups...)
		case kerr.NotCoordinator.Code:
		default:
			return a
		}
	}
	slices.SortFunc(whole.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return cmp.Compare(a.Group, b.Group) })
	return whole
}
