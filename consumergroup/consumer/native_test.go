package consumer

import (
	"slices"
	"testing"
	"time"
)

func TestJoinRebalanceLeave(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 4})
	foo, _ := w.topics.Topic("foo")

	a := w.ok(join("a", "foo"))
	if got := w.given(a); got != "foo[0 1 2 3]" || a.MemberEpoch != 2 || a.HeartbeatIntervalMillis != 5000 || *a.MemberID != "a" {
		t.Fatalf("a joins and gets %s in epoch %d", got, a.MemberEpoch)
	}
	if got, want := w.kinds(), []string{"Member a", "ConsumerGroup", "TargetMember a", "Target", "Current a"}; !slices.Equal(got, want) {
		t.Errorf("joining writes %v, want %v", got, want)
	}
	if a = w.ok(beat("a", 2)); a.Assignment != nil || len(w.last) > 0 {
		t.Errorf("an idle heartbeat is told %s and writes %v", w.given(a), w.kinds())
	}

	b := w.ok(join("b", "foo"))
	if got := w.given(b); got != "" || b.MemberEpoch != 3 || w.g.State() != "Reconciling" {
		t.Fatalf("b joins and gets %s in epoch %d, group %s", got, b.MemberEpoch, w.g.State())
	}
	a = w.ok(owning("a", 2, of(foo, 0, 1, 2, 3)))
	if a.MemberEpoch != 2 || a.Assignment == nil || len(a.Assignment.Topics[0].Partitions) != 2 {
		t.Fatalf("a is told %s in epoch %d", w.given(a), a.MemberEpoch)
	}
	if b = w.ok(beat("b", 3)); b.Assignment != nil && w.given(b) != "" {
		t.Fatalf("b gets %s before a let go", w.given(b))
	}
	kept := a.Assignment.Topics[0].Partitions
	if a = w.ok(owning("a", 2, of(foo, kept...))); a.MemberEpoch != 3 || a.Assignment != nil {
		t.Fatalf("a revoked and is in epoch %d with %s", a.MemberEpoch, w.given(a))
	}
	if b = w.ok(beat("b", 3)); b.Assignment == nil || len(b.Assignment.Topics[0].Partitions) != 2 {
		t.Fatalf("b gets %s", w.given(b))
	}
	w.ok(beat("b", 3))
	if w.g.State() != "Stable" {
		t.Errorf("group is %s", w.g.State())
	}
	w.restart(true)

	w.ok(beat("b", -1))
	if got, want := w.kinds(), []string{"-Current b", "-TargetMember b", "-Member b", "ConsumerGroup"}; !slices.Equal(got, want) {
		t.Errorf("leaving writes %v, want %v", got, want)
	}
	if a = w.ok(beat("a", 3)); w.given(a) != "foo[0 1 2 3]" || a.MemberEpoch != 4 {
		t.Errorf("a gets %s in epoch %d", w.given(a), a.MemberEpoch)
	}
	w.tick(46 * time.Second)
	if !w.g.Empty() || w.g.State() != "Empty" || !w.g.EmptySince().Equal(w.now) || !w.g.Deadline().IsZero() {
		t.Errorf("after the session %d members, %s", w.g.Members(), w.g.State())
	}
	w.restart(false)
}
