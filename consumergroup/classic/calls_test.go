package classic

import (
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// states brings a group with a static member "i" and a dynamic one into each of its states, and says who leads.
var states = map[string]func(h *harness) (leader, follower *Member){
	"Stable": func(h *harness) (*Member, *Member) {
		h.stable(joining{instance: "i"}, joining{})
		return pair(h)
	},
	"PreparingRebalance": func(h *harness) (*Member, *Member) {
		h.stable(joining{instance: "i"}, joining{})
		h.step(h.g.Rebalance)
		return pair(h)
	},
	"CompletingRebalance": func(h *harness) (*Member, *Member) {
		h.stable(joining{instance: "i"}, joining{})
		h.step(h.g.Rebalance)
		for _, m := range h.g.members {
			j := joining{id: m.ID}
			if m.InstanceID != nil {
				j.instance = *m.InstanceID
			}
			h.join(j)
		}
		return pair(h)
	},
}

func pair(h *harness) (leader, follower *Member) {
	for _, m := range h.g.members {
		if m == h.g.leader {
			leader = m
		} else {
			follower = m
		}
	}
	return leader, follower
}

// inEach runs a test in each state, and in a group that has no members.
func inEach(t *testing.T, do func(t *testing.T, h *harness, leader, follower *Member)) {
	for name, enter := range states {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			leader, follower := enter(h)
			if h.g.State() != name {
				t.Fatalf("the group is %s", h.g.State())
			}
			do(t, h, leader, follower)
		})
	}
	t.Run("Empty", func(t *testing.T) { do(t, newHarness(t), nil, nil) })
}

// static and dynamic are the member with the instance id, and the other one; of nobody in an empty group.
func (h *harness) sorts() (static, dynamic *Member) {
	static, dynamic = &Member{ID: "nobody"}, &Member{ID: "nobody"}
	for _, m := range h.g.members {
		if m.InstanceID != nil {
			static = m
		} else {
			dynamic = m
		}
	}
	return static, dynamic
}

func TestHeartbeats(t *testing.T) {
	inEach(t, func(t *testing.T, h *harness, _, _ *Member) {
		static, dynamic := h.sorts()
		want := map[string]error{
			"Stable": errNone, "CompletingRebalance": errNone, "PreparingRebalance": kerr.RebalanceInProgress, "Empty": kerr.UnknownMemberID,
		}[h.g.State()]
		for name, tc := range map[string]struct {
			change func(r *kmsg.HeartbeatRequest)
			want   error
		}{
			"static":          {func(r *kmsg.HeartbeatRequest) { r.MemberID, r.InstanceID = static.ID, kmsg.StringPtr("i") }, want},
			"dynamic":         {func(*kmsg.HeartbeatRequest) {}, want},
			"no group":        {func(r *kmsg.HeartbeatRequest) { r.Group = "" }, kerr.InvalidGroupID},
			"nobody":          {func(r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" }, kerr.UnknownMemberID},
			"no id":           {func(r *kmsg.HeartbeatRequest) { r.MemberID = "" }, kerr.UnknownMemberID},
			"old generation":  {func(r *kmsg.HeartbeatRequest) { r.Generation-- }, inGroup(h, kerr.IllegalGeneration)},
			"next generation": {func(r *kmsg.HeartbeatRequest) { r.Generation++ }, inGroup(h, kerr.IllegalGeneration)},
			"other instance":  {func(r *kmsg.HeartbeatRequest) { r.InstanceID = kmsg.StringPtr("x") }, kerr.UnknownMemberID},
			"fenced":          {func(r *kmsg.HeartbeatRequest) { r.InstanceID = kmsg.StringPtr("i") }, inGroup(h, kerr.FencedInstanceID)},
		} {
			req := beat(dynamic.ID, h.g.Generation())
			tc.change(req)
			t.Log(name)
			h.call(req).want(tc.want)
		}
	})
}

// inGroup is an error that only members can get: nobody else is known.
func inGroup(h *harness, err error) error {
	if h.g.Empty() {
		return kerr.UnknownMemberID
	}
	return err
}

func TestSyncs(t *testing.T) {
	inEach(t, func(t *testing.T, h *harness, leader, follower *Member) {
		static, dynamic := h.sorts()
		for name, tc := range map[string]struct {
			change func(r *kmsg.SyncGroupRequest)
			want   error
		}{
			"no group":       {func(r *kmsg.SyncGroupRequest) { r.Group = "" }, kerr.InvalidGroupID},
			"nobody":         {func(r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" }, kerr.UnknownMemberID},
			"old generation": {func(r *kmsg.SyncGroupRequest) { r.Generation-- }, inGroup(h, kerr.IllegalGeneration)},
			"other instance": {func(r *kmsg.SyncGroupRequest) { r.InstanceID = kmsg.StringPtr("x") }, kerr.UnknownMemberID},
			"fenced":         {func(r *kmsg.SyncGroupRequest) { r.InstanceID = kmsg.StringPtr("i") }, inGroup(h, kerr.FencedInstanceID)},
			"other type":     {func(r *kmsg.SyncGroupRequest) { r.ProtocolType = kmsg.StringPtr("connect") }, inGroup(h, kerr.InconsistentGroupProtocol)},
			"other protocol": {func(r *kmsg.SyncGroupRequest) { r.Protocol = kmsg.StringPtr("sticky") }, inGroup(h, kerr.InconsistentGroupProtocol)},
			"no type":        {func(r *kmsg.SyncGroupRequest) { r.ProtocolType = nil }, kerr.InconsistentGroupProtocol},
			"no protocol":    {func(r *kmsg.SyncGroupRequest) { r.Protocol = nil }, kerr.InconsistentGroupProtocol},
		} {
			req := syncing(dynamic.ID, h.g.Generation())
			tc.change(req)
			t.Log(name)
			h.call(req).want(tc.want)
		}
		old := syncing(static.ID, h.g.Generation())
		old.Version, old.ProtocolType, old.Protocol, old.InstanceID = 4, nil, nil, kmsg.StringPtr("i")
		switch h.g.State() {
		case "Empty":
			h.call(old).want(kerr.UnknownMemberID)
		case "PreparingRebalance":
			h.call(old).want(kerr.RebalanceInProgress)
		case "Stable":
			a := h.call(old)
			a.want(errNone)
			if got := string(a.got.(*kmsg.SyncGroupResponse).MemberAssignment); got != "of-"+static.ID {
				t.Fatalf("assigned %q", got)
			}
		default:
			testAssigning(t, h, leader, follower)
		}
	})
}

// testAssigning lets the follower and then the leader sync, who forgets the follower and names somebody that there is not.
func testAssigning(t *testing.T, h *harness, leader, follower *Member) {
	waiting := h.sync(follower.ID)
	waiting.want(nil)
	a := h.sync(leader.ID, leader.ID+"=first", "nobody=none", leader.ID+"=second")
	for who, tc := range map[string]struct {
		a    *answer
		want string
	}{"leader": {a, "second"}, "follower": {waiting, ""}} {
		tc.a.want(errNone)
		if got := string(tc.a.got.(*kmsg.SyncGroupResponse).MemberAssignment); got != tc.want {
			t.Fatalf("%s: %q", who, got)
		}
	}
	if v := h.entries[len(h.entries)-1].Value; len(v.Members) != 2 || v.Generation != h.g.Generation() || h.g.State() != "Stable" {
		t.Fatalf("wrote %+v", v)
	}
}

func TestLeaving(t *testing.T) {
	inEach(t, func(t *testing.T, h *harness, _, _ *Member) {
		static, dynamic := h.sorts()
		a := h.call(leaving(5, "nobody", "/x", "", dynamic.ID+"/i", dynamic.ID, dynamic.ID, "/i"))
		a.want(errNone)
		r := a.got.(*kmsg.LeaveGroupResponse)
		wants := []error{kerr.UnknownMemberID, kerr.UnknownMemberID, kerr.UnknownMemberID, inGroup(h, kerr.FencedInstanceID), errNone, kerr.UnknownMemberID, errNone}
		if static.ID == "nobody" {
			wants[3], wants[4], wants[6] = kerr.UnknownMemberID, kerr.UnknownMemberID, kerr.UnknownMemberID
		} else {
			wants[3] = kerr.FencedInstanceID
		}
		for i, m := range r.Members {
			if m.ErrorCode != step.Code(wants[i]) {
				t.Errorf("member %d: %d, want %v", i, m.ErrorCode, wants[i])
			}
		}
		if len(r.Members) != len(wants) || r.Members[6].MemberID != "" || *r.Members[6].InstanceID != "i" {
			t.Errorf("answered %+v", r.Members)
		}
		if !h.g.Empty() {
			t.Errorf("the group is %s", h.g.State())
		}
		none := leaving(5)
		none.Group = ""
		h.call(none).want(kerr.InvalidGroupID)
		h.call(leaving(2, "nobody")).want(kerr.UnknownMemberID)
		h.call(leaving(4)).want(errNone)
	})
}

func TestCommits(t *testing.T) {
	inEach(t, func(t *testing.T, h *harness, _, _ *Member) {
		static, dynamic := h.sorts()
		instance, other := "i", "x"
		ok := map[string]error{"CompletingRebalance": kerr.RebalanceInProgress, "Empty": kerr.UnknownMemberID}[h.g.State()]
		outside := error(kerr.UnknownMemberID)
		if h.g.Empty() {
			outside = nil
		}
		fromNone := func(err error) error { // without a generation an empty group takes all
			if h.g.Empty() {
				return nil
			}
			return err
		}
		for name, tc := range map[string]struct {
			member     string
			instance   *string
			generation int32
			want       error
		}{
			"dynamic":                {dynamic.ID, nil, h.g.Generation(), ok},
			"static":                 {static.ID, &instance, h.g.Generation(), ok},
			"from outside":           {"", nil, -1, outside},
			"of nobody":              {"x", nil, h.g.Generation(), kerr.UnknownMemberID},
			"old generation":         {dynamic.ID, nil, h.g.Generation() - 1, inGroup(h, kerr.IllegalGeneration)},
			"no generation":          {dynamic.ID, nil, -1, fromNone(kerr.IllegalGeneration)},
			"no member":              {"", nil, h.g.Generation(), kerr.UnknownMemberID},
			"fenced":                 {dynamic.ID, &instance, h.g.Generation(), inGroup(h, kerr.FencedInstanceID)},
			"other instance":         {static.ID, &other, h.g.Generation(), kerr.UnknownMemberID},
			"instance, no member id": {"", &instance, -1, fromNone(kerr.FencedInstanceID)},
		} {
			if h.g.Empty() && tc.generation < 0 && name == "old generation" {
				tc.want = nil
			}
			h.step(func(s *step.Step) {
				if got := h.g.CheckCommit(s, tc.member, tc.instance, tc.generation); step.Code(got) != step.Code(tc.want) {
					t.Errorf("%s: %v, want %v", name, got, tc.want)
				}
			})
		}
	})
}

func TestACommitIsAHeartbeat(t *testing.T) {
	h := newHarness(t)
	id := h.stable(joining{session: 10 * time.Second})[0]
	for range 5 {
		h.pass(9 * time.Second)
		h.step(func(s *step.Step) {
			if err := h.g.CheckCommit(s, id, nil, h.g.Generation()); err != nil {
				t.Fatal(err)
			}
		})
	}
	h.pass(10 * time.Second)
	if !h.g.Empty() {
		t.Fatal("it lives on")
	}
}

func TestDescribing(t *testing.T) {
	inEach(t, func(t *testing.T, h *harness, _, _ *Member) {
		static, _ := h.sorts()
		var d kmsg.DescribeGroupsResponseGroup
		h.g.Describe(&d)
		stable, members := h.g.State() == "Stable", h.g.Members()
		if d.State != h.g.State() || len(d.Members) != members || (d.Protocol == "range") != stable || (d.ProtocolType == "consumer") != (members > 0) {
			t.Fatalf("%+v", d)
		}
		for _, m := range d.Members {
			if m.ClientID != "app" || m.ClientHost != "/127.0.0.1" || (m.MemberID == static.ID) != (m.InstanceID != nil) {
				t.Errorf("%+v", m)
			}
			if stable && string(m.MemberAssignment) != "of-"+m.MemberID || !stable && m.ProtocolMetadata != nil {
				t.Errorf("%+v", m)
			}
		}
	})
}
