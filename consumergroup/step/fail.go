package step

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fail answers c with err, which is or wraps a *kerr.Error (UNKNOWN_SERVER_ERROR otherwise), in the form of its request's response.
func (s *Step) Fail(c *Call, err error) { s.Reply(c, Failure(c.Request, err)) }

// Code is the Kafka error code of err: 0 for nil, UNKNOWN_SERVER_ERROR for what is no *kerr.Error.
func Code(err error) int16 {
	var ke *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ke):
		return ke.Code
	}
	return kerr.UnknownServerError.Code
}

// Failure is the response to req that says err: at the top, or at every item where the response has none there. req is one of the requests
// that a group coordinator is sent; any other is a mistake of the program.
func Failure(req kmsg.Request, err error) kmsg.Response {
	code := Code(err)
	whole := req.ResponseKind()
	switch r := whole.(type) {
	case *kmsg.JoinGroupResponse:
		r.ErrorCode, r.Generation, r.MemberID = code, -1, req.(*kmsg.JoinGroupRequest).MemberID
	case *kmsg.SyncGroupResponse:
		r.ErrorCode, r.MemberAssignment = code, []byte{}
	case *kmsg.HeartbeatResponse:
		r.ErrorCode = code
	case *kmsg.LeaveGroupResponse:
		r.ErrorCode = code
	case *kmsg.ConsumerGroupHeartbeatResponse:
		r.ErrorCode, r.ErrorMessage = code, message(err)
	case *kmsg.OffsetDeleteResponse:
		r.ErrorCode = code
	case *kmsg.ListGroupsResponse:
		r.ErrorCode = code
	default:
		failItems(whole, req, err)
	}
	return whole
}

// failItems is Failure for the responses that say errors at every item.
func failItems(whole kmsg.Response, req kmsg.Request, err error) {
	switch r := whole.(type) {
	case *kmsg.OffsetCommitResponse:
		failCommit(r, req.(*kmsg.OffsetCommitRequest), Code(err))
	case *kmsg.OffsetFetchResponse:
		failFetch(r, req.(*kmsg.OffsetFetchRequest), Code(err))
	case *kmsg.DescribeGroupsResponse:
		for _, id := range req.(*kmsg.DescribeGroupsRequest).Groups {
			g := kmsg.NewDescribeGroupsResponseGroup()
			g.Group, g.ErrorCode, g.ErrorMessage = id, Code(err), message(err)
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, id := range req.(*kmsg.ConsumerGroupDescribeRequest).Groups {
			g := kmsg.NewConsumerGroupDescribeResponseGroup()
			g.Group, g.ErrorCode, g.ErrorMessage = id, Code(err), message(err)
			r.Groups = append(r.Groups, g)
		}
	case *kmsg.DeleteGroupsResponse:
		for _, id := range req.(*kmsg.DeleteGroupsRequest).Groups {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group, g.ErrorCode, g.ErrorMessage = id, Code(err), message(err)
			r.Groups = append(r.Groups, g)
		}
	default:
		panic(fmt.Sprintf("a group coordinator has no answer to a %T", req))
	}
}

// message is what an error message of a response says; null where there is no error.
func message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}

func failCommit(into *kmsg.OffsetCommitResponse, req *kmsg.OffsetCommitRequest, code int16) {
	into.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		asked, t := &req.Topics[i], &into.Topics[i]
		t.Topic, t.TopicID = asked.Topic, asked.TopicID
		t.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(asked.Partitions))
		for j := range asked.Partitions {
			t.Partitions[j].Partition, t.Partitions[j].ErrorCode = asked.Partitions[j].Partition, code
		}
	}
}

// failFetch: versions 0 and 1 have errors at partitions alone, 2 to 7 one at the top, 8 and above (KIP-709) one a group.
func failFetch(into *kmsg.OffsetFetchResponse, req *kmsg.OffsetFetchRequest, code int16) {
	into.ErrorCode = code
	for i := range req.Groups {
		g := kmsg.NewOffsetFetchResponseGroup()
		g.Group, g.ErrorCode = req.Groups[i].Group, code
		into.Groups = append(into.Groups, g)
	}
	if req.Version > 1 {
		return
	}
	for i := range req.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, p := range req.Topics[i].Partitions {
			failed := kmsg.NewOffsetFetchResponseTopicPartition()
			failed.Partition, failed.Offset, failed.LeaderEpoch, failed.Metadata, failed.ErrorCode = p, -1, -1, new(string), code
			t.Partitions = append(t.Partitions, failed)
		}
		into.Topics = append(into.Topics, t)
	}
}
