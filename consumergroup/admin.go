package consumergroup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	consumerProtocol = "consumer" // the protocol type of consumers
	dead             = "Dead"     // what DescribeGroups says of a group that there is not

	classicType  = "classic" // group types (KIP-848)
	consumerType = "consumer"
)

// listGroups: version 4 filters by state (KIP-518), version 5 by type (KIP-848), both without regard to case; a filter that names nothing known
// lets nothing through.
func (r *registry) listGroups(req *kmsg.ListGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListGroupsResponse)
	resp.Groups = []kmsg.ListGroupsResponseGroup{}
	for id, g := range r.groups {
		listed := kmsg.NewListGroupsResponseGroup()
		listed.Group, listed.GroupState = id, g.state()
		if g.consumer != nil {
			listed.ProtocolType, listed.GroupType = consumerProtocol, consumerType
		} else {
			listed.ProtocolType, listed.GroupType = g.classic.ProtocolType(), classicType
		}
		if passes(req.StatesFilter, listed.GroupState) && passes(req.TypesFilter, listed.GroupType) {
			resp.Groups = append(resp.Groups, listed)
		}
	}
	return resp
}

func passes(filter []string, value string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(strings.TrimSpace(f), value) })
}

// describeGroups tells of classic groups. Others are Dead, from version 6 on with GROUP_ID_NOT_FOUND (KIP-1043).
func (r *registry) describeGroups(req *kmsg.DescribeGroupsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
	for _, id := range req.Groups {
		into := kmsg.NewDescribeGroupsResponseGroup()
		into.Group = id
		if g := r.groups[id]; g != nil && g.consumer == nil {
			g.classic.Describe(&into)
		} else if into.State = dead; req.Version >= 6 {
			into.ErrorCode, into.ErrorMessage = kerr.GroupIDNotFound.Code, message("there is no classic group %q", id)
		}
		resp.Groups = append(resp.Groups, into)
	}
	return resp
}

// describeConsumerGroups tells of groups of the new protocol.
func (r *registry) describeConsumerGroups(req *kmsg.ConsumerGroupDescribeRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
	topics := r.c.o.Topics()
	for _, id := range req.Groups {
		into := kmsg.NewConsumerGroupDescribeResponseGroup()
		into.Group = id
		if g := r.groups[id]; g != nil && g.consumer != nil {
			g.consumer.Describe(&into, topics)
		} else if id == "" {
			into.ErrorCode = kerr.InvalidGroupID.Code
		} else {
			into.ErrorCode, into.ErrorMessage = kerr.GroupIDNotFound.Code, message("there is no consumer group %q", id)
		}
		resp.Groups = append(resp.Groups, into)
	}
	return resp
}

func message(format string, args ...any) *string {
	text := fmt.Sprintf(format, args...)
	return &text
}

// deleteGroups deletes groups that have no members.
func (r *registry) deleteGroups(s *step.Step, c *step.Call, req *kmsg.DeleteGroupsRequest) {
	resp := req.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, id := range req.Groups {
		into := kmsg.NewDeleteGroupsResponseGroup()
		into.Group = id
		switch g := r.groups[id]; {
		case g == nil:
			into.ErrorCode, into.ErrorMessage = kerr.GroupIDNotFound.Code, message("there is no group %q", id)
		case !g.empty():
			into.ErrorCode, into.ErrorMessage = kerr.NonEmptyGroup.Code, message("group %q has members", id)
		default:
			r.erase(s, g)
		}
		resp.Groups = append(resp.Groups, into)
	}
	s.Reply(c, resp)
}
