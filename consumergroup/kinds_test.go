package consumergroup

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// beat is a heartbeat of the new protocol; epoch 0 joins.
func beat(group, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, group, member, epoch
	if epoch == 0 {
		req.RebalanceTimeoutMillis = 60_000
		req.SubscribedTopicNames, req.Topics = []string{"orders"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

func (r *rig) beat(group, member string, epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
	r.t.Helper()
	return r.ask(beat(group, member, epoch)).(*kmsg.ConsumerGroupHeartbeatResponse)
}

// kinds is each group's type and state, as "type State".
func (r *rig) kinds() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for _, g := range r.ask(&kmsg.ListGroupsRequest{Version: 5}).(*kmsg.ListGroupsResponse).Groups {
		all[g.Group] = g.GroupType + " " + g.GroupState
	}
	return all
}

func (r *rig) reload() {
	for i := range r.logs {
		r.c.Lead(int32(i), r.logs[i])
	}
	synctest.Wait()
}

func TestConsumerGroup(t *testing.T) {
	inBubble(t, options(2), func(t *testing.T, r *rig) {
		first := r.beat("g", "m", 0)
		if first.ErrorCode != 0 || first.Assignment == nil || len(first.Assignment.Topics) != 1 || len(first.Assignment.Topics[0].Partitions) != 8 {
			t.Fatalf("%+v", first)
		}
		c := commit("g", "orders", 1, 11)
		c.Version, c.MemberID, c.Generation = 9, "m", first.MemberEpoch
		if code := commitCode(r.ask(c)); code != 0 {
			t.Fatalf("commit: code %d", code)
		}
		c.Generation++
		if code := commitCode(r.ask(c)); code != kerr.StaleMemberEpoch.Code {
			t.Errorf("commit ahead of the epoch: code %d", code)
		}
		fetch := fetchAllOf("g")
		fetch.Version, fetch.Groups[0].MemberID, fetch.Groups[0].MemberEpoch = 9, kmsg.StringPtr("m"), first.MemberEpoch+1
		if code := r.ask(fetch).(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode; code != kerr.StaleMemberEpoch.Code {
			t.Errorf("fetch ahead of the epoch: code %d", code)
		}
		for _, when := range []string{"now", "when loaded again"} {
			described := r.ask(&kmsg.ConsumerGroupDescribeRequest{Groups: []string{"g"}}).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
			if described.State != "Stable" || len(described.Members) != 1 || described.Members[0].MemberID != "m" {
				t.Errorf("%s: %+v", when, described)
			}
			if got := r.ask(&kmsg.DescribeGroupsRequest{Version: 6, Groups: []string{"g"}}).(*kmsg.DescribeGroupsResponse).Groups[0]; got.ErrorCode != 69 {
				t.Errorf("%s, as a classic group: %+v", when, got)
			}
			if got := r.beat("g", "m", first.MemberEpoch); got.ErrorCode != 0 || got.MemberEpoch != first.MemberEpoch {
				t.Errorf("%s: %+v", when, got)
			}
			r.reload()
		}
		if code := r.ask(&kmsg.DeleteGroupsRequest{Groups: []string{"g"}}).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode; code != kerr.NonEmptyGroup.Code {
			t.Errorf("deletion: code %d", code)
		}
		r.pass(50 * time.Second) // the session is over
		if got := r.beat("g", "m", first.MemberEpoch); got.ErrorCode != kerr.UnknownMemberID.Code {
			t.Errorf("after the session: %+v", got)
		}
		if got := r.kinds()["g"]; got != "consumer Empty" {
			t.Errorf("left: %q", got)
		}
		r.ask(&kmsg.DeleteGroupsRequest{Groups: []string{"g"}})
		r.reload()
		if got := r.kinds(); len(got) != 0 {
			t.Errorf("left over: %v", got)
		}
	})
}

// TestEmptyGroupChangesItsKind: as Kafka does it, at the first member of the other kind; offsets stay.
func TestEmptyGroupChangesItsKind(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		r.ask(commit("g", "orders", 0, 5))
		if code := r.beat("g", "m", 7).ErrorCode; code != kerr.GroupIDNotFound.Code {
			t.Errorf("a member of nothing: code %d", code)
		}
		refused := beat("g", "m", 0)
		refused.ServerAssignor = kmsg.StringPtr("nonsense")
		if code := r.ask(refused).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode; code != kerr.UnsupportedAssignor.Code {
			t.Errorf("an assignor there is not: code %d", code)
		}
		if got := r.kinds()["g"]; got != "classic Empty" {
			t.Errorf("after what was refused: %q", got)
		}
		epoch := r.beat("g", "m", 0).MemberEpoch
		for _, want := range []string{"consumer Stable", "consumer Stable"} {
			if got := r.kinds()["g"]; got != want {
				t.Errorf("%q, want %q", got, want)
			}
			r.reload()
		}
		if got := r.beat("g", "m", -1); got.ErrorCode != 0 {
			t.Errorf("leave in epoch %d: %+v", epoch, got)
		}
		r.member("g")
		for range 2 {
			if got := r.kinds()["g"]; got != "classic Stable" {
				t.Errorf("%q", got)
			}
			if got := r.committed("g")["orders"][0]; got != 5 {
				t.Errorf("offset %d", got)
			}
			r.reload()
		}
	})
}

// TestMigrationWithMembersAlive: a classic member goes on while its group changes to the new protocol and back.
func TestMigrationWithMembersAlive(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		r.assignment = consumerAssignment()
		id, generation := r.member("g")
		joined := r.beat("g", "new", 0)
		if joined.ErrorCode != 0 {
			t.Fatalf("%+v", joined)
		}
		for range 2 {
			if got := r.kinds()["g"]; got != "consumer Reconciling" {
				t.Errorf("%q", got)
			}
			r.reload()
		}
		if code := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.RebalanceInProgress.Code {
			t.Errorf("the classic member: code %d", code)
		}
		r.beat("g", "new", -1)
		for range 2 {
			if got := r.kinds()["g"]; !slices.Contains([]string{"classic Stable", "classic PreparingRebalance"}, got) {
				t.Errorf("%q", got)
			}
			r.reload()
		}
		if code := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; code == kerr.UnknownMemberID.Code {
			t.Errorf("the classic member is gone")
		}
	})
}

// consumerAssignment gives all of orders.
func consumerAssignment() []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: "orders", Partitions: []int32{0, 1, 2, 3, 4, 5, 6, 7}}}
	return a.AppendTo(nil)
}

// TestConsumerGroupKeepsOffsetsAfterItsMembers: retention counts from when they left, also over a change of the coordinator, though the commit is old.
func TestConsumerGroupKeepsOffsetsAfterItsMembers(t *testing.T) {
	o := options(1)
	o.OffsetsRetention = time.Hour
	inBubble(t, o, func(t *testing.T, r *rig) {
		epoch := r.beat("g", "m", 0).MemberEpoch
		c := commit("g", "orders", 1, 11)
		c.Version, c.MemberID, c.Generation = 9, "m", epoch
		r.ask(c)
		for range 3 * 60 * 2 {
			r.pass(30 * time.Second)
			if got := r.beat("g", "m", epoch); got.ErrorCode != 0 {
				t.Fatalf("%+v", got)
			}
		}
		r.beat("g", "m", -1)
		for _, reload := range []bool{false, true} {
			if reload {
				r.reload()
			}
			r.pass(50 * time.Minute)
			if got := r.committed("g"); got["orders"][1] != 11 {
				t.Fatalf("reloaded %v: %v", reload, got)
			}
		}
		r.pass(15 * time.Minute)
		if got := r.kinds(); len(got) != 0 {
			t.Errorf("left over: %v", got)
		}
	})
}
