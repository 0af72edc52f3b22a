package consumergroup

import (
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestListGroups(t *testing.T) {
	inBubble(t, options(4), func(t *testing.T, r *rig) {
		r.ask(commit("b", "orders", 0, 1))
		r.ask(commit("a", "orders", 0, 1))
		r.member("c")
		for _, tc := range []struct {
			states, types []string
			want          []string
		}{
			{nil, nil, []string{"a", "b", "c"}},
			{[]string{" stable"}, nil, []string{"c"}},
			{[]string{"EMPTY", "Dead"}, nil, []string{"a", "b"}},
			{nil, []string{"Classic"}, []string{"a", "b", "c"}},
			{nil, []string{"consumer"}, []string{}},
			{nil, []string{"nonsense"}, []string{}},
		} {
			got := []string{}
			for _, g := range r.ask(&kmsg.ListGroupsRequest{Version: 5, StatesFilter: tc.states, TypesFilter: tc.types}).(*kmsg.ListGroupsResponse).Groups {
				got = append(got, g.Group)
				if kind := map[string]string{"c": "consumer"}[g.Group]; g.ProtocolType != kind || g.GroupType != "classic" {
					t.Errorf("%+v", g)
				}
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%v %v: %v, want %v", tc.states, tc.types, got, tc.want)
			}
		}
	})
}

func TestDescribeGroups(t *testing.T) {
	inBubble(t, options(4), func(t *testing.T, r *rig) {
		id, _ := r.member("g")
		r.ask(commit("simple", "orders", 0, 1))
		for version := int16(0); version <= 6; version++ {
			req := &kmsg.DescribeGroupsRequest{Version: version, Groups: []string{"nobody", "g", "simple"}}
			got := r.ask(req).(*kmsg.DescribeGroupsResponse).Groups
			if g := got[0]; g.Group != "nobody" || g.State != "Dead" || (g.ErrorCode == kerr.GroupIDNotFound.Code) != (version >= 6) {
				t.Errorf("version %d: %+v", version, g)
			}
			if g := got[1]; g.Group != "g" || g.State != "Stable" || len(g.Members) != 1 || g.Members[0].MemberID != id || g.Protocol != "range" {
				t.Errorf("version %d: %+v", version, g)
			}
			if g := got[2]; g.Group != "simple" || g.State != "Empty" || g.ErrorCode != 0 || g.ProtocolType != "" {
				t.Errorf("version %d: %+v", version, g)
			}
		}
		got := r.ask(&kmsg.ConsumerGroupDescribeRequest{Groups: []string{"g", "", "nobody"}}).(*kmsg.ConsumerGroupDescribeResponse).Groups
		for i, want := range []int16{kerr.GroupIDNotFound.Code, kerr.InvalidGroupID.Code, kerr.GroupIDNotFound.Code} {
			if got[i].ErrorCode != want {
				t.Errorf("%q: code %d, want %d", got[i].Group, got[i].ErrorCode, want)
			}
		}
		if got := r.ask(&kmsg.DescribeGroupsRequest{}).(*kmsg.DescribeGroupsResponse).Groups; len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestDeleteGroups(t *testing.T) {
	inBubble(t, options(4), func(t *testing.T, r *rig) {
		r.member("busy")
		left, _ := r.member("left")
		r.ask(&kmsg.LeaveGroupRequest{Version: 3, Group: "left", Members: []kmsg.LeaveGroupRequestMember{{MemberID: left}}})
		r.ask(commit("left", "orders", 0, 1))
		r.ask(commit("simple", "orders", 0, 1))
		r.ask(commit("", "orders", 0, 1))
		got := r.ask(&kmsg.DeleteGroupsRequest{Version: 2, Groups: []string{"left", "nobody", "busy", "simple", "", "left"}}).(*kmsg.DeleteGroupsResponse).Groups
		for i, want := range []int16{0, kerr.GroupIDNotFound.Code, kerr.NonEmptyGroup.Code, 0, 0, kerr.GroupIDNotFound.Code} {
			if got[i].ErrorCode != want {
				t.Errorf("%q: code %d, want %d", got[i].Group, got[i].ErrorCode, want)
			}
		}
		for i := range r.logs {
			r.c.Lead(int32(i), r.logs[i])
		}
		synctest.Wait()
		groups := r.ask(&kmsg.ListGroupsRequest{}).(*kmsg.ListGroupsResponse).Groups
		if len(groups) != 1 || groups[0].Group != "busy" {
			t.Errorf("left over: %+v", groups)
		}
	})
}

// TestNamelessGroups: a group with members needs a name.
func TestNamelessGroups(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		if code := r.ask(join("", "")).(*kmsg.JoinGroupResponse).ErrorCode; code != kerr.InvalidGroupID.Code {
			t.Errorf("join: code %d", code)
		}
		if code := r.ask(heartbeat("", "m", 1)).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.InvalidGroupID.Code {
			t.Errorf("heartbeat: code %d", code)
		}
		if code := r.ask(&kmsg.SyncGroupRequest{}).(*kmsg.SyncGroupResponse).ErrorCode; code != kerr.InvalidGroupID.Code {
			t.Errorf("sync: code %d", code)
		}
		if code := r.ask(&kmsg.LeaveGroupRequest{}).(*kmsg.LeaveGroupResponse).ErrorCode; code != kerr.InvalidGroupID.Code {
			t.Errorf("leave: code %d", code)
		}
		if code := r.ask(offsetDelete("", "orders", 0)).(*kmsg.OffsetDeleteResponse).ErrorCode; code != kerr.InvalidGroupID.Code {
			t.Errorf("offset delete: code %d", code)
		}
	})
}

// TestNoGroup: what members of a group that does not exist are told.
func TestNoGroup(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		if code := r.ask(heartbeat("g", "m", 1)).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.UnknownMemberID.Code {
			t.Errorf("heartbeat: code %d", code)
		}
		if code := r.ask(&kmsg.SyncGroupRequest{Group: "g"}).(*kmsg.SyncGroupResponse).ErrorCode; code != kerr.UnknownMemberID.Code {
			t.Errorf("sync: code %d", code)
		}
		if code := r.ask(join("g", "m")).(*kmsg.JoinGroupResponse).ErrorCode; code != kerr.UnknownMemberID.Code {
			t.Errorf("join: code %d", code)
		}
		leave := r.ask(&kmsg.LeaveGroupRequest{Version: 3, Group: "g", Members: []kmsg.LeaveGroupRequestMember{{MemberID: "m"}}}).(*kmsg.LeaveGroupResponse)
		if leave.ErrorCode != 0 || len(leave.Members) != 1 || leave.Members[0].ErrorCode != kerr.UnknownMemberID.Code {
			t.Errorf("leave: %+v", leave)
		}
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Version, beat.Group, beat.MemberID, beat.MemberEpoch = 1, "g", "m", 3
		if code := r.ask(beat).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode; code != kerr.GroupIDNotFound.Code {
			t.Errorf("consumer heartbeat: code %d", code)
		}
		if n := r.c.groups.Load(); n != 0 {
			t.Errorf("%d groups", n)
		}
	})
}
