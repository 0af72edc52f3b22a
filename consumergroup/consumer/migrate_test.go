package consumer

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func classicJoin(id string, topics ...string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 3, "g", id, "consumer", 45_000, 60_000
	meta := kmsg.ConsumerMemberMetadata{Version: 1, Topics: topics}
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	return r
}

// classicGroup is a world whose group has one classic member c, which has all of foo.
func classicGroup(t *testing.T) (w *world, id string) {
	w = newWorld(t, map[string]int{"foo": 4})
	w.g, w.old = nil, classic.New("g", w.cfg.Classic)
	id = w.call(classicJoin("", "foo")).(*kmsg.JoinGroupResponse).MemberID
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 4, "g", id, 1
	foo, _ := w.topics.Topic("foo")
	var all []partition
	for p := range int32(4) {
		all = append(all, partition{foo.ID, p})
	}
	r.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: writeAssignment(all, []byte{0, 1}, w.topics)}}
	if code := w.call(r).(*kmsg.SyncGroupResponse).ErrorCode; code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	return w, id
}

func classicBeat(id string, generation int32) *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 4, "g", id, generation
	return r
}

func TestUpgradeAndDowngrade(t *testing.T) {
	w, id := classicGroup(t)
	n := w.ok(join("n", "foo"))
	if got := w.given(n); got != "" || n.MemberEpoch != 2 || w.old != nil {
		t.Fatalf("n joins the classic group and gets %s in epoch %d", got, n.MemberEpoch)
	}
	want := []string{"-GroupMetadata", "Member " + id, "ConsumerGroup", "TargetMember " + id, "Target", "Current " + id,
		"Member n", "ConsumerGroup", "TargetMember " + id, "TargetMember n", "Target", "Current n"}
	if got := w.kinds(); !slices.Equal(got, want) {
		t.Errorf("the upgrade writes\n%v, want\n%v", got, want)
	}
	if code := w.call(classicBeat(id, 1)).(*kmsg.HeartbeatResponse).ErrorCode; code != kerr.RebalanceInProgress.Code {
		t.Fatalf("the classic member is told %d", code)
	}
	j := w.call(classicJoin(id, "foo")).(*kmsg.JoinGroupResponse)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = 5, "g", id, j.Generation
	s := w.call(sync).(*kmsg.SyncGroupResponse)
	list, err := readAssignment(s.MemberAssignment, w.topics)
	if err != nil || len(list) != 2 || j.ErrorCode != 0 || j.Generation != 2 || j.LeaderID != "" {
		t.Fatalf("it joins again: %+v, and has %v, %v", j, list, err)
	}
	if got := w.ok(beat("n", 2)); len(got.Assignment.Topics[0].Partitions) != 2 {
		t.Fatalf("n is given %s", w.given(got))
	}
	w.restart(true)

	w.ok(beat("n", -1))
	if w.old == nil || w.old.Members() != 1 || w.old.State() != "PreparingRebalance" {
		t.Fatal("the last member of the new protocol has left, and the group is not a classic one that rebalances")
	}
	if _, ok := w.last[len(w.last)-1].(*journal.GroupMetadata); !ok || !slices.Contains(w.kinds(), "-ConsumerGroup") {
		t.Errorf("the downgrade writes %v", w.kinds())
	}
	if code := w.call(classicBeat(id, 2)).(*kmsg.HeartbeatResponse).ErrorCode; code == 0 {
		t.Error("the member is not told to join again")
	}
	w.restart(true)
}

// TestUpgradeRefused: then the classic group is as it was, and nothing is written.
func TestUpgradeRefused(t *testing.T) {
	cases := []struct {
		name   string
		change func(w *world)
		r      *kmsg.ConsumerGroupHeartbeatRequest
		want   error
	}{
		{"policy disabled", func(w *world) { w.cfg.Migration = Disabled }, join("n", "foo"), kerr.GroupIDNotFound},
		{"policy downgrade", func(w *world) { w.cfg.Migration = Downgrades }, join("n", "foo"), kerr.GroupIDNotFound},
		{"policy upgrade", func(w *world) { w.cfg.Migration = Upgrades }, join("n", "foo"), nil},
		{"not joining", func(*world) {}, beat("n", 3), kerr.GroupIDNotFound},
		{"leaving", func(*world) {}, beat("n", -1), kerr.GroupIDNotFound},
		{"makes no sense", func(*world) {}, join(""), kerr.InvalidRequest},
		{"bad expression", func(*world) {}, regexJoin("n", "("), kerr.InvalidRegularExpression},
		{"full", func(w *world) { w.cfg.MaxSize = 1 }, join("n", "foo"), kerr.GroupMaxSizeReached},
		{"data of an assignor of its own", func(w *world) {
			for m := range w.old.All() {
				m.Assignment = (&kmsg.ConsumerMemberAssignment{UserData: []byte("x")}).AppendTo(nil)
			}
		}, join("n", "foo"), kerr.GroupIDNotFound},
		{"assignment that is none", func(w *world) {
			for m := range w.old.All() {
				m.Assignment = []byte("x")
			}
		}, join("n", "foo"), kerr.GroupIDNotFound},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w, id := classicGroup(t)
			c.change(w)
			if got := kerr.ErrorForCode(w.heartbeat(c.r).ErrorCode); got != c.want {
				t.Errorf("answered %v, want %v", got, c.want)
			}
			if c.want == nil {
				return
			}
			if len(w.last) > 0 || w.old == nil {
				t.Errorf("refused, and wrote %v", w.kinds())
			}
			if code := w.call(classicBeat(id, 1)).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
				t.Errorf("the classic member is told %d", code)
			}
		})
	}
}

func TestClassicMemberRefused(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	w.ok(join("n", "foo"))
	w.ok(instance(join("s", "foo"), "i"))
	j := w.call(classicJoin("c", "foo")).(*kmsg.JoinGroupResponse)
	if j.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(j.ErrorCode))
	}
	with := func(r *kmsg.JoinGroupRequest, change func(*kmsg.JoinGroupRequest)) *kmsg.JoinGroupRequest {
		change(r)
		return r
	}
	type request = kmsg.JoinGroupRequest
	sync := func(generation int32, protocol string) *kmsg.SyncGroupRequest {
		r := kmsg.NewPtrSyncGroupRequest()
		r.Version, r.Group, r.MemberID, r.Generation, r.Protocol = 5, "g", "c", generation, &protocol
		return r
	}
	owned := kmsg.ConsumerMemberMetadata{Version: 1, Topics: []string{"foo"},
		OwnedPartitions: []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "foo", Partitions: []int32{1}}}}
	cases := []struct {
		name string
		r    kmsg.Request
		want error
	}{
		{"short session", with(classicJoin("x", "foo"), func(r *request) { r.SessionTimeoutMillis = 5 }), kerr.InvalidSessionTimeout},
		{"no member id", with(classicJoin("", "foo"), func(r *request) { r.Version = 4 }), kerr.MemberIDRequired},
		{"other protocol type", with(classicJoin("x", "foo"), func(r *request) { r.ProtocolType = "connect" }), kerr.InconsistentGroupProtocol},
		{"other protocol", with(classicJoin("x", "foo"), func(r *request) { r.Protocols[0].Name = "mine" }), kerr.InconsistentGroupProtocol},
		{"no protocol", with(classicJoin("x", "foo"), func(r *request) { r.Protocols = nil }), kerr.InconsistentGroupProtocol},
		{"metadata of no consumer", with(classicJoin("x", "foo"), func(r *request) { r.Protocols[0].Metadata = []byte("?") }), kerr.InconsistentGroupProtocol},
		{"fenced unknowingly", with(classicJoin("x"), func(r *request) { r.Protocols[0].Metadata = owned.AppendTo(nil) }), kerr.UnknownMemberID},
		{"unknown instance", with(classicJoin("x", "foo"), func(r *request) { r.InstanceID = kmsg.StringPtr("?") }), kerr.UnknownMemberID},
		{"another's instance", with(classicJoin("x", "foo"), func(r *request) { r.InstanceID = kmsg.StringPtr("i") }), kerr.FencedInstanceID},
		{"heartbeat of nobody", classicBeat("x", 1), kerr.UnknownMemberID},
		{"heartbeat of one of the new protocol", classicBeat("n", 2), kerr.UnknownMemberID},
		{"heartbeat of another generation", classicBeat("c", j.Generation-1), kerr.IllegalGeneration},
		{"sync of another generation", sync(j.Generation-1, "range"), kerr.IllegalGeneration},
		{"sync of another protocol", sync(j.Generation, "mine"), kerr.InconsistentGroupProtocol},
		{"sync", sync(j.Generation, "range"), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			var code int16
			switch r := w.call(c.r).(type) {
			case *kmsg.JoinGroupResponse:
				code = r.ErrorCode
			case *kmsg.SyncGroupResponse:
				code = r.ErrorCode
			case *kmsg.HeartbeatResponse:
				code = r.ErrorCode
			}
			if got := kerr.ErrorForCode(code); got != c.want || len(w.last) > 0 {
				t.Errorf("answered %v, want %v; wrote %v", got, c.want, w.kinds())
			}
		})
	}
	w.t, w.cfg.Migration = t, Disabled
	if code := w.call(classicJoin("x", "foo")).(*kmsg.JoinGroupResponse).ErrorCode; code != kerr.InconsistentGroupProtocol.Code {
		t.Errorf("migration is disabled, and a classic member is answered %d", code)
	}
}

func TestLeaveGroup(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	w.ok(join("n", "foo"))
	w.ok(join("o", "foo"))
	w.ok(instance(join("s", "foo"), "i"))
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, "g"
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "n"}, {MemberID: "n"}, {MemberID: "x"}, {InstanceID: kmsg.StringPtr("i")},
		{MemberID: "o", InstanceID: kmsg.StringPtr("i")}, {InstanceID: kmsg.StringPtr("j")}}
	var codes []int16
	for _, m := range w.call(r).(*kmsg.LeaveGroupResponse).Members {
		codes = append(codes, m.ErrorCode)
	}
	unknown := kerr.UnknownMemberID.Code
	if want := []int16{0, 0, unknown, 0, kerr.FencedInstanceID.Code, unknown}; !slices.Equal(codes, want) || w.g.Members() != 1 {
		t.Errorf("answered %v, want %v, %d members left", codes, want, w.g.Members())
	}
	r.Version, r.Members, r.MemberID = 2, nil, "o"
	if code := w.call(r).(*kmsg.LeaveGroupResponse).ErrorCode; code != 0 || !w.g.Empty() {
		t.Errorf("version 2 is answered %d", code)
	}
}

// BenchmarkIdleHeartbeat is what a member costs that has nothing to say.
func BenchmarkIdleHeartbeat(b *testing.B) {
	w := newWorld(b, map[string]int{"foo": 30})
	for _, id := range []string{"a", "b", "c"} {
		w.ok(join(id, "foo"))
	}
	for range 3 {
		for _, id := range []string{"a", "b", "c"} {
			w.ok(owning(id, w.g.members[id].epoch))
		}
	}
	r := beat("a", w.g.members["a"].epoch)
	c := &step.Call{Request: r, ClientID: "client", ClientHost: "/127.0.0.1"}
	s := &step.Step{Now: w.now}
	b.ReportAllocs()
	for b.Loop() {
		s.Replies = s.Replies[:0]
		w.g.Heartbeat(s, c, w.topics)
	}
	if len(s.Entries) > 0 {
		b.Fatal("an idle heartbeat writes")
	}
}

// BenchmarkRebalanceOfMany is the heartbeat that computes a target for 1,000 members and 10,000 partitions.
func BenchmarkRebalanceOfMany(b *testing.B) {
	w := newWorld(b, map[string]int{"a": 5000, "b": 5000})
	for n := range 1000 {
		w.g.write(&step.Step{}, &journal.Member{Group: "g", Member: fmt.Sprint("m", n), Value: &journal.MemberValue{Topics: []string{"a", "b"}}})
	}
	n := 0
	for b.Loop() {
		n++
		s := &step.Step{Now: w.now}
		w.g.Heartbeat(s, &step.Call{Request: join(fmt.Sprint("new", n), "a", "b")}, w.topics)
	}
}
