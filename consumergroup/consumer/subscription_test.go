package consumer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRegularExpression(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 1, "fool": 1, "bar": 1, "__consumer_offsets": 1})
	if got := w.given(w.ok(regexJoin("a", "fo+|ba"))); got != "foo[0]" {
		t.Errorf("a part of a name matched: %s", got)
	}
	want := []string{"Member a", "Regex", "ConsumerGroup", "TargetMember a", "Target", "Current a"}
	if got := w.kinds(); !slices.Equal(got, want) {
		t.Errorf("joining writes %v, want %v", got, want)
	}
	w.topics.set("fooo", 2)
	if got := w.given(w.ok(beat("a", 2))); got != "-" || len(w.last) > 0 {
		t.Errorf("resolved anew within %v: %s, %v", refreshInterval, got, w.kinds())
	}
	w.tick(refreshInterval)
	if got := w.given(w.ok(beat("a", 2))); got != "foo[0]fooo[0 1]" {
		t.Errorf("a new topic is not found: %s", got)
	}
	w.restart(true)
	w.topics.set("other", 1) // matches nothing: nothing is written
	if w.ok(beat("a", 3)); len(w.last) > 0 {
		t.Errorf("a topic that does not match makes it write %v", w.kinds())
	}

	w.ok(regexJoin("b", ".*"))
	if w.g.SubscribedTo("__consumer_offsets") || !w.g.SubscribedTo("bar") {
		t.Error("all topics are not all but internal ones")
	}
	w.ok(regexJoin("c", "__consumer_.*"))
	if !w.g.SubscribedTo("__consumer_offsets") {
		t.Error("an internal topic that is asked for does not match")
	}
	w.ok(beat("b", -1))
	if w.g.SubscribedTo("bar") || !slices.Contains(w.kinds(), "-Regex") {
		t.Errorf("the last subscriber of an expression leaves, and it stays: %v", w.kinds())
	}
}

func TestTopicsChange(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 1, "bar": 1})
	w.ok(join("a", "foo", "later"))
	w.topics.set("other", 3)
	if w.ok(beat("a", 2)); len(w.last) > 0 {
		t.Errorf("a topic that nobody reads makes the group write %v", w.kinds())
	}
	w.topics.set("foo", 2)
	if got := w.given(w.ok(beat("a", 2))); got != "foo[0 1]" {
		t.Errorf("the topic has grown, and a reads %s", got)
	}
	w.topics.set("later", 1)
	if got := w.given(w.ok(beat("a", 3))); got != "foo[0 1]later[0]" {
		t.Errorf("a topic was made, and a reads %s", got)
	}
	old, _ := w.topics.Topic("foo")
	w.topics.set("foo", 0)
	w.ok(owning("a", 4))
	w.topics.set("foo", 1)
	again, _ := w.topics.Topic("foo")
	if resp := w.ok(owning("a", 5)); old.ID == again.ID || w.given(resp) != "later[0]foo[0]" {
		t.Errorf("the topic was made again, and a reads %s", w.given(resp))
	}
}

func TestUnsubscribe(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 2, "bar": 2})
	foo, _ := w.topics.Topic("foo")
	bar, _ := w.topics.Topic("bar")
	w.cfg.Interval = time.Minute // so that there is no new target for now
	w.ok(join("a", "foo", "bar"))
	r := owning("a", 2, of(foo, 0, 1), of(bar, 0, 1))
	r.SubscribedTopicNames = []string{"foo"}
	if got := w.given(w.ok(r)); got != "foo[0 1]" || w.g.State() != "Assigning" {
		t.Errorf("a reads %s of what it does not subscribe to any more, group %s", got, w.g.State())
	}
	w.ok(owning("a", 2, of(foo, 0, 1)))
	w.tick(time.Minute - 30*time.Second)
	w.ok(beat("a", 2))
	w.tick(30 * time.Second)
	if got := w.ok(beat("a", 2)); got.MemberEpoch != 3 || w.g.State() != "Stable" {
		t.Errorf("a is in epoch %d, group %s", got.MemberEpoch, w.g.State())
	}
}

func TestAssignorByMajority(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 2})
	for i, name := range []string{"range", "uniform", "range", ""} {
		w.ok(with(join(fmt.Sprint("m", i), "foo"), func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			if name != "" {
				r.ServerAssignor = &name
			}
		}))
	}
	if got := w.g.assignor().Name(); got != "range" {
		t.Errorf("two of three ask for range, %s assigns", got)
	}
	w.ok(beat("m0", -1))
	w.ok(beat("m2", -1))
	if got := w.g.assignor().Name(); got != "uniform" {
		t.Errorf("one of one asks for uniform, %s assigns", got)
	}
}

func TestDescribe(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 2})
	foo, _ := w.topics.Topic("foo")
	w.ok(join("a", "foo"))
	w.ok(join("b", "foo"))
	w.ok(owning("a", 2, of(foo, 0, 1)))
	d := kmsg.NewConsumerGroupDescribeResponseGroup()
	w.g.Describe(&d, w.topics)
	if d.State != "Reconciling" || d.Epoch != 3 || d.AssignmentEpoch != 3 || d.AssignorName != "uniform" || len(d.Members) != 2 {
		t.Fatalf("described as %+v", d)
	}
	a := d.Members[0]
	show := func(as kmsg.Assignment) string {
		out := ""
		for _, tp := range as.TopicPartitions {
			out += fmt.Sprint(tp.Topic, tp.Partitions)
		}
		return out
	}
	if a.MemberID != "a" || a.MemberEpoch != 2 || a.MemberType != 1 || show(a.Assignment) != "foo[0 1]" || len(a.TargetAssignment.TopicPartitions[0].Partitions) != 1 {
		t.Errorf("a, which still has to give a partition back, is described as %+v", a)
	}
}

func TestOwnTiming(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 1})
	own := Timing{Session: 10 * time.Second, Heartbeat: 2 * time.Second}
	w.cfg.Group = func(id string) (Timing, bool) { return own, id == "g" }
	if got := w.ok(join("a", "foo")).HeartbeatIntervalMillis; got != 2000 {
		t.Errorf("heartbeat interval %d ms", got)
	}
	own.Heartbeat = 3 * time.Second
	if got := w.ok(beat("a", 2)).HeartbeatIntervalMillis; got != 3000 {
		t.Errorf("after a change heartbeat interval %d ms", got)
	}
	if w.tick(10 * time.Second); !w.g.Empty() {
		t.Error("the group's own session timeout is not used")
	}
}

func TestTombstonesOfNobody(t *testing.T) {
	w := newWorld(t, map[string]int{"foo": 1})
	w.ok(join("a", "foo"))
	w.ok(regexJoin("b", "fo."))
	log := slices.Clone(w.log)
	w.ok(beat("a", -1))
	w.ok(beat("b", -1))
	g := New("g", w.cfg)
	for _, r := range w.log[len(log):] { // compaction has left nothing but these
		g.Apply(r.entry)
	}
	if !g.Empty() || len(g.owners)+len(g.names)+len(g.resolved) != 0 {
		t.Errorf("tombstones have made %+v", persistent(g))
	}
}
