package step

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCode(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int16
	}{
		{nil, 0},
		{kerr.NotCoordinator, 16},
		{fmt.Errorf("member a: %w", kerr.UnknownMemberID), 25},
		{errors.New("anything"), -1},
	} {
		if got := Code(tc.err); got != tc.want {
			t.Errorf("%v: code %d, want %d", tc.err, got, tc.want)
		}
	}
}

// codes lists every error code that a response says.
func codes(r kmsg.Response) (all []int16) {
	switch r := r.(type) {
	case *kmsg.JoinGroupResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.SyncGroupResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.HeartbeatResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.ConsumerGroupHeartbeatResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.OffsetDeleteResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.ListGroupsResponse:
		all = append(all, r.ErrorCode)
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				all = append(all, p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		if r.Version >= 2 && r.Version <= 7 {
			all = append(all, r.ErrorCode)
		}
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				all = append(all, p.ErrorCode)
			}
		}
		for _, g := range r.Groups {
			all = append(all, g.ErrorCode)
		}
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			all = append(all, g.ErrorCode)
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, g := range r.Groups {
			all = append(all, g.ErrorCode)
		}
	case *kmsg.DeleteGroupsResponse:
		for _, g := range r.Groups {
			all = append(all, g.ErrorCode)
		}
	}
	return all
}

func TestFailureSaysTheErrorEverywhere(t *testing.T) {
	commit := &kmsg.OffsetCommitRequest{Topics: []kmsg.OffsetCommitRequestTopic{
		{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0}, {Partition: 1}}},
		{Topic: "b", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 2}}},
	}}
	topics := []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{0, 1}}, {Topic: "b", Partitions: []int32{2}}}
	for _, tc := range []struct {
		req  kmsg.Request
		want int // places that say the error
	}{
		{&kmsg.JoinGroupRequest{MemberID: "m"}, 1},
		{&kmsg.SyncGroupRequest{}, 1},
		{&kmsg.HeartbeatRequest{}, 1},
		{&kmsg.LeaveGroupRequest{}, 1},
		{&kmsg.ConsumerGroupHeartbeatRequest{}, 1},
		{&kmsg.OffsetDeleteRequest{}, 1},
		{&kmsg.ListGroupsRequest{}, 1},
		{commit, 3},
		{&kmsg.OffsetFetchRequest{Version: 1, Group: "g", Topics: topics}, 3},
		{&kmsg.OffsetFetchRequest{Version: 7, Group: "g", Topics: topics}, 1},
		{&kmsg.OffsetFetchRequest{Version: 8, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g"}, {Group: "h"}}}, 2},
		{&kmsg.DescribeGroupsRequest{Groups: []string{"g", "h"}}, 2},
		{&kmsg.ConsumerGroupDescribeRequest{Groups: []string{"g", "h"}}, 2},
		{&kmsg.DeleteGroupsRequest{Groups: []string{"g", "h"}}, 2},
	} {
		r := Failure(tc.req, fmt.Errorf("moving: %w", kerr.NotCoordinator))
		got := codes(r)
		if len(got) != tc.want {
			t.Errorf("%T: %d codes, want %d", r, len(got), tc.want)
		}
		for _, c := range got {
			if c != kerr.NotCoordinator.Code {
				t.Errorf("%T: code %d", r, c)
			}
		}
		if r.GetVersion() != tc.req.GetVersion() || r.Key() != tc.req.Key() {
			t.Errorf("%T at %d answers %T at %d", r, r.GetVersion(), tc.req, tc.req.GetVersion())
		}
		r.AppendTo(nil) // encodes
	}
}

func TestFailedFetchHasNoOffsets(t *testing.T) {
	req := &kmsg.OffsetFetchRequest{Topics: []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{4}}}}
	p := Failure(req, kerr.NotCoordinator).(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0]
	if p.Partition != 4 || p.Offset != -1 || p.LeaderEpoch != -1 || p.Metadata == nil || *p.Metadata != "" {
		t.Fatalf("%+v", p)
	}
}
