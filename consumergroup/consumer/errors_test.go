package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// with changes a heartbeat.
func with(r *kmsg.ConsumerGroupHeartbeatRequest, change func(*kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
	change(r)
	return r
}

func instance(r *kmsg.ConsumerGroupHeartbeatRequest, id string) *kmsg.ConsumerGroupHeartbeatRequest {
	r.InstanceID = &id
	return r
}

func regexJoin(id, x string) *kmsg.ConsumerGroupHeartbeatRequest {
	return with(join(id), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, &x })
}

// TestRefused sends to a group of a (foo, 4 partitions), a static s for instance i, and p, which is away, for instance j. The codes are Kafka 4.3.1's.
func TestRefused(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	foo, _ := w.topics.Topic("foo")
	w.ok(join("a", "foo"))
	w.ok(instance(join("s", "bar"), "i"))
	w.ok(instance(join("p", "bar"), "j"))
	w.ok(instance(beat("p", -2), "j"))
	w.ok(owning("a", 2, of(foo, 0, 1, 2, 3))) // to epoch 4

	type request = kmsg.ConsumerGroupHeartbeatRequest
	empty := ""
	cases := []struct {
		name string
		r    *request
		want error
	}{
		{"no group", with(join("x", "foo"), func(r *request) { r.Group = " " }), kerr.InvalidRequest},
		{"no member id in version 1", join(""), kerr.InvalidRequest},
		{"no member id after joining", with(beat("", 3), func(r *request) { r.Version = 0 }), kerr.InvalidRequest},
		{"no member id on leaving", with(beat("", -1), func(r *request) { r.Version = 0 }), kerr.InvalidRequest},
		{"empty instance id", instance(join("x", "foo"), ""), kerr.InvalidRequest},
		{"empty rack id", with(join("x", "foo"), func(r *request) { r.RackID = &empty }), kerr.InvalidRequest},
		{"joining without rebalance timeout", with(join("x", "foo"), func(r *request) { r.RebalanceTimeoutMillis = -1 }), kerr.InvalidRequest},
		{"joining with partitions", with(join("x", "foo"), func(r *request) { r.Topics = append(r.Topics, of(foo, 1)) }), kerr.InvalidRequest},
		{"joining without partitions", with(join("x", "foo"), func(r *request) { r.Topics = nil }), kerr.InvalidRequest},
		{"joining without subscription", with(join("x"), func(r *request) { r.SubscribedTopicNames = nil }), kerr.InvalidRequest},
		{"pause of a dynamic member", beat("a", -2), kerr.InvalidRequest},
		{"epoch -3", beat("a", -3), kerr.InvalidRequest},
		{"unknown assignor", with(join("x", "foo"), func(r *request) { r.ServerAssignor = &empty }), kerr.UnsupportedAssignor},
		{"bad expression", regexJoin("x", "("), kerr.InvalidRegularExpression},
		{"expression that is good only inside of another", regexJoin("x", "a)|(b"), kerr.InvalidRegularExpression},
		{"long expression", regexJoin("x", strings.Repeat("a", maxRegexBytes+1)), kerr.InvalidRegularExpression},
		{"costly expression", regexJoin("x", strings.Repeat("(a{0,30}){0,30}", 20)), kerr.InvalidRegularExpression},
		{"unknown member", beat("x", 3), kerr.UnknownMemberID},
		{"leave of an unknown member", beat("x", -1), kerr.UnknownMemberID},
		{"epoch too high", beat("a", 5), kerr.FencedMemberEpoch},
		{"epoch too low", owning("a", 1), kerr.FencedMemberEpoch},
		{"previous epoch, owning nobody knows what", beat("a", 2), kerr.FencedMemberEpoch},
		{"previous epoch, owning too much", owning("a", 2, of(foo, 0, 7)), kerr.FencedMemberEpoch},
		{"previous epoch, owning a part", owning("a", 2, of(foo, 1)), nil},
		{"unknown instance", instance(beat("s", 3), "x"), kerr.UnknownMemberID},
		{"another's instance", instance(beat("x", 3), "i"), kerr.FencedInstanceID},
		{"leave of another's instance", instance(beat("x", -1), "i"), kerr.FencedInstanceID},
		{"joining for an instance that is there", instance(join("x", "foo"), "i"), kerr.UnreleasedInstanceID},
		{"joining again, since the answer was lost", instance(join("s", "bar"), "i"), nil},
		{"heartbeat of a member that is away", instance(beat("p", 4), "j"), kerr.FencedMemberEpoch},
		{"giant member id", join(strings.Repeat("x", 2<<20), "foo"), kerr.UnknownServerError},
		{"giant description", join("x", strings.Repeat("x", 2<<20)), kerr.UnknownServerError},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			before := len(w.g.members)
			resp := w.heartbeat(c.r)
			if got := kerr.ErrorForCode(resp.ErrorCode); got != c.want {
				t.Errorf("answered %v, want %v", got, c.want)
			}
			if c.want != nil && (len(w.last) > 0 || len(w.g.members) != before) {
				t.Errorf("refused, and wrote %v", w.kinds())
			}
		})
	}
}

func TestGroupIsFull(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	w.cfg.MaxSize = 2
	w.ok(join("a", "foo"))
	w.ok(join("b", "foo"))
	if resp := w.heartbeat(join("c", "foo")); resp.ErrorCode != kerr.GroupMaxSizeReached.Code {
		t.Errorf("a third of two is answered %d", resp.ErrorCode)
	}
	w.ok(join("a", "foo"))
}

func TestCommitAndFetch(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	foo, _ := w.topics.Topic("foo")
	if _, err := w.g.CheckCommit("", -1, 9); err != nil {
		t.Errorf("commit to an empty group from outside: %v", err)
	}
	w.ok(join("a", "foo"))
	w.ok(join("b", "foo"))
	w.ok(owning("a", 2, of(foo, 0, 1, 2, 3)))
	kept := w.g.members["a"].assigned[0]
	w.ok(owning("a", 2, of(foo, 0, 1)))
	w.ok(beat("b", 3))
	got := w.g.members["b"].assigned[0] // given in epoch 3

	cases := []struct {
		name    string
		member  string
		epoch   int32
		version int16
		part    partition
		want    error
	}{
		{"from outside", "", -1, 9, kept.partition, kerr.UnknownMemberID},
		{"unknown", "x", 3, 9, kept.partition, kerr.UnknownMemberID},
		{"current epoch", "a", 3, 9, kept.partition, nil},
		{"current epoch, old version", "a", 3, 8, kept.partition, kerr.UnsupportedVersion},
		{"newer epoch", "a", 4, 9, kept.partition, kerr.StaleMemberEpoch},
		{"older epoch, had all the time", "a", 2, 9, kept.partition, nil},
		{"older epoch, has no more", "a", 2, 9, got.partition, kerr.StaleMemberEpoch},
		{"older epoch, got since", "b", 2, 9, got.partition, kerr.StaleMemberEpoch},
	}
	for _, c := range cases {
		check, err := w.g.CheckCommit(c.member, c.epoch, c.version)
		if err == nil && check != nil {
			err = check(c.part.topic, c.part.id)
		}
		if step.Code(err) != step.Code(c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	a, x := "a", "x"
	for _, c := range []struct {
		member *string
		epoch  int32
		want   error
	}{{nil, -1, nil}, {&a, 3, nil}, {&a, 2, kerr.StaleMemberEpoch}, {&x, 3, kerr.UnknownMemberID}, {nil, 3, kerr.UnknownMemberID}} {
		if err := w.g.CheckFetch(c.member, c.epoch); step.Code(err) != step.Code(c.want) {
			t.Errorf("fetch by %v in epoch %d: %v, want %v", c.member, c.epoch, err, c.want)
		}
	}
}

func TestRebalanceTimeout(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	foo, _ := w.topics.Topic("foo")
	w.ok(with(join("a", "foo"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = 20_000 }))
	w.ok(join("b", "foo"))
	for range 4 { // it lives, and does not revoke
		w.ok(owning("a", 2, of(foo, 0, 1, 2, 3)))
		w.ok(beat("b", 3))
		w.tick(5 * time.Second)
	}
	if resp := w.heartbeat(beat("a", 2)); resp.ErrorCode != kerr.UnknownMemberID.Code {
		t.Errorf("a did not revoke in time, and is answered %d", resp.ErrorCode)
	}
	if b := w.ok(beat("b", 3)); w.given(b) != "foo[0 1 2 3]" {
		t.Errorf("b is given %s", w.given(b))
	}
}

func TestStaticMemberReturns(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	w.ok(instance(join("a", "foo"), "i"))
	w.ok(join("b", "foo"))
	w.ok(instance(owning("a", 2), "i"))
	had := w.given(w.ok(instance(with(join("a", "foo"), func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 3 }), "i")))

	w.ok(instance(beat("a", -2), "i"))
	w.tick(30 * time.Second)
	w.ok(beat("b", 3))
	if w.g.epoch != 3 {
		t.Errorf("a pause has moved the group to epoch %d", w.g.epoch)
	}
	w.restart(true)
	back := w.ok(instance(join("a2", "foo"), "i"))
	if got := w.given(back); got != had || back.MemberEpoch != 3 {
		t.Errorf("the instance comes back to %s in epoch %d, it had %s", got, back.MemberEpoch, had)
	}
	w.ok(instance(beat("a2", -2), "i"))
	w.tick(46 * time.Second)
	if w.g.instances["i"] != "" {
		t.Error("a static member is away for longer than its session, and still there")
	}
}
