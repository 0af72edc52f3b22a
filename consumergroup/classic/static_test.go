package classic

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// subscription is what a consumer says that reads the topics, with bytes after them.
func subscription(data string, topics ...string) string {
	v := kmsg.ConsumerMemberMetadata{Version: 1, Topics: topics, UserData: []byte(data)}
	return string(v.AppendTo(nil))
}

// request is a join that offers "range" with exactly this metadata.
func (j joining) with(metadata string) *kmsg.JoinGroupRequest {
	req := j.request()
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte(metadata)}}
	return req
}

func TestStaticMemberStartsAgainWithoutARebalance(t *testing.T) {
	for name, tc := range map[string]struct {
		version int16
		leader  bool
	}{
		"leader":              {9, true},
		"follower":            {9, false},
		"leader, version 8":   {8, true},
		"follower, version 5": {5, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			ids := h.stable(joining{instance: "a", offers: "range=old"}, joining{instance: "b", offers: "range=old"})
			generation, leader, entries := h.g.Generation(), h.g.leader.ID, len(h.entries)
			old := ids[0]
			if (old == leader) != tc.leader {
				old = ids[1]
			}
			m, _ := h.g.Member(old)
			instance := *m.InstanceID
			r := h.join(joining{version: tc.version, instance: instance, offers: "range=new other"}).joined()
			skips := tc.leader && tc.version >= 9
			wantLeader := leader
			if skips {
				wantLeader = r.MemberID
			}
			if r.MemberID == old || r.Generation != generation || r.LeaderID != wantLeader || r.SkipAssignment != skips || (len(r.Members) == 2) != skips {
				t.Fatalf("joined %+v", r)
			}
			if h.g.State() != "Stable" || len(h.entries) != entries+1 {
				t.Fatalf("%s, %d entries", h.g.State(), len(h.entries)-entries)
			}
			a := h.sync(r.MemberID)
			a.want(errNone)
			if got := string(a.got.(*kmsg.SyncGroupResponse).MemberAssignment); got != "of-"+old {
				t.Fatalf("assigned %q", got)
			}
			// Whoever still uses the old id is fenced.
			stale := beat(old, generation)
			stale.InstanceID = &instance
			h.call(stale).want(kerr.FencedInstanceID)
			h.beat(old).want(kerr.UnknownMemberID)
			h.call(leaving(3, old+"/"+instance)).want(errNone)
		})
	}
}

func TestStaticMemberThatChangesWhatItReadsNeedsARebalance(t *testing.T) {
	for name, tc := range map[string]struct {
		metadata string
		stable   bool
	}{
		"same topics, other data":  {subscription("now", "t1", "t2"), true},
		"same topics, other order": {subscription("", "t2", "t1"), true},
		"not understood":           {"?", true},
		"another topic":            {subscription("", "t1", "t3"), false},
		"one less":                 {subscription("", "t1"), false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			first := h.call(joining{instance: "a"}.with(subscription("", "t1", "t2"))).joined()
			h.sync(first.MemberID)
			a := h.call(joining{instance: "a"}.with(tc.metadata))
			a.want(errNone)
			if got := h.g.State() == "Stable"; got != tc.stable {
				t.Fatalf("%s: %+v", h.g.State(), a.joined())
			}
		})
	}
}

func TestStaticMemberReplacedWhileItWaits(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a"}, joining{instance: "b"})
	leader := h.g.leader
	other := h.g.members[0]
	if other == leader {
		other = h.g.members[1]
	}
	// Its join waits.
	join := h.join(joining{id: leader.ID, instance: *leader.InstanceID})
	again := h.join(joining{instance: *leader.InstanceID})
	join.want(kerr.FencedInstanceID)
	again.want(nil)
	h.join(joining{id: other.ID, instance: *other.InstanceID}).want(errNone)
	if again.joined().LeaderID != again.joined().MemberID {
		t.Fatalf("the leader's place is its own: %+v", again.joined())
	}
	// Its sync waits: the leader may assign to the old id, so all join again.
	sync := h.sync(other.ID)
	h.join(joining{instance: *other.InstanceID}).want(nil)
	sync.want(kerr.FencedInstanceID)
	h.beat(leader.ID).want(kerr.RebalanceInProgress)
}

func TestStaticMemberWithAnotherProtocolChangesTheGroups(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a", offers: "range sticky"}, joining{instance: "b", offers: "sticky range"})
	want := "sticky"
	if h.g.Protocol() == "sticky" {
		want = "range"
	}
	h.join(joining{instance: "a", offers: want}).want(nil)
	if h.g.State() != "PreparingRebalance" {
		t.Fatal(h.g.State())
	}
}

func TestStaticMembersAreKeptUntilTheirSessionEnds(t *testing.T) {
	h := newHarness(t)
	session := 3 * time.Minute
	h.stable(joining{instance: "a", session: session}, joining{instance: "b", session: session})
	leader := h.g.leader
	h.pass(time.Second)
	// A new member makes a rebalance that nobody else joins: it ends with all three, led by the one that is there.
	a := h.join(joining{instance: "c", session: session})
	a.want(nil)
	h.pass(time.Minute)
	r := a.joined()
	if r.LeaderID != r.MemberID || len(r.Members) != 3 || h.g.leader == leader {
		t.Fatalf("joined %+v", r)
	}
	h.sync(r.MemberID).want(errNone)
	// They have not synced either, within the rebalance timeout.
	h.pass(time.Minute)
	if h.g.Members() != 1 || h.g.State() != "PreparingRebalance" {
		t.Fatalf("%d members in %s", h.g.Members(), h.g.State())
	}
}

func TestARebalanceThatNobodyJoinsIsTriedAgain(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a", session: 10 * time.Minute}, joining{instance: "b", session: 10 * time.Minute})
	leader := h.g.leader
	h.join(joining{id: leader.ID, instance: *leader.InstanceID, session: 10 * time.Minute})
	h.call(leaving(3, "/"+*leader.InstanceID)).want(errNone) // the only one that had joined goes
	if h.g.State() != "PreparingRebalance" {
		t.Fatal(h.g.State())
	}
	h.pass(5 * time.Minute)
	if h.g.State() != "PreparingRebalance" || h.g.Members() != 1 {
		t.Fatalf("%s with %d", h.g.State(), h.g.Members())
	}
	generation := h.g.Generation()
	h.pass(6 * time.Minute)
	if !h.g.Empty() || h.g.Generation() != generation+1 {
		t.Fatalf("%s, generation %d", h.g.State(), h.g.Generation())
	}
}

func TestFullGroupTakesItsStaticMemberBack(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a"}, joining{instance: "b"})
	h.config.MaxSize = 2
	h.join(joining{instance: "a"}).want(errNone)
}

func TestWhatIsSubscribedTo(t *testing.T) {
	negative := binary.BigEndian.AppendUint16(nil, 0xffff)
	for name, tc := range map[string]struct {
		metadata string
		want     map[string]bool
	}{
		"two topics":        {subscription("x", "t1", "t2"), map[string]bool{"t1": true, "t2": true, "t3": false}},
		"version not known": {"\x7f\xff" + subscription("", "t1")[2:] + "more", map[string]bool{"t1": true, "t2": false}},
		"none":              {subscription(""), map[string]bool{"t1": false}},
		"empty":             {"", map[string]bool{"t1": true}},
		"garbage":           {"\x00\x00\x7f\xff\xff\xff", map[string]bool{"t1": true}},
		"negative version":  {string(negative), map[string]bool{"t1": true}},
	} {
		h := newHarness(t)
		if h.g.SubscribedTo("t1") {
			t.Fatal("a group that never was reads nothing")
		}
		r := h.call(joining{instance: "a"}.with(tc.metadata)).joined()
		h.sync(r.MemberID)
		for _, g := range []*Group{h.g, Restore(h.entries[0], &h.config, h.now)} {
			for topic, want := range tc.want {
				if g.SubscribedTo(topic) != want {
					t.Errorf("%s: %s, want %v", name, topic, want)
				}
			}
		}
		h.call(leaving(5, r.MemberID)).want(errNone)
		if h.g.SubscribedTo("t1") {
			t.Errorf("%s: an empty group reads nothing", name)
		}
	}
}

func TestStaticMemberOfAnotherType(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a", kind: "connect", offers: "v0=" + subscription("", "t1")})
	h.join(joining{instance: "a", kind: "connect", offers: "v0=" + subscription("", "t2")}).want(errNone)
	if h.g.State() != "Stable" || !h.g.EmptySince().IsZero() {
		t.Fatalf("%s: what a worker says is its own business", h.g.State())
	}
}

func TestStaticMemberThatMakesTheGroupTooLarge(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a", offers: "range=short"})
	entries := len(h.entries)
	h.config.MaxRecord = 1000
	h.join(joining{instance: "a", offers: "range=" + strings.Repeat("x", 1500)}).want(errNone)
	if h.g.State() != "CompletingRebalance" || len(h.entries) != entries {
		t.Fatalf("%s, %d entries more", h.g.State(), len(h.entries)-entries)
	}
}

func TestStaticMemberBeginsASessionWhenItStartsAgain(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a"})
	h.pass(9 * time.Second)
	h.join(joining{instance: "a"}).want(errNone)
	h.pass(9 * time.Second)
	if h.g.Members() != 1 {
		t.Fatal("it was dropped")
	}
	h.pass(time.Second)
	if h.g.Members() != 0 {
		t.Fatal("it is still there")
	}
}

func TestStaticMemberThatStartsAgainBeforeItsFirstGeneration(t *testing.T) {
	h := newHarness(t)
	id := h.stable(joining{session: 10 * time.Minute, rebalance: 10 * time.Minute})[0]
	h.join(joining{instance: "a"}).want(nil)
	again := h.join(joining{instance: "a"})
	h.pass(time.Minute)
	again.want(nil) // it waits, so it lives
	h.join(joining{id: id, session: 10 * time.Minute}).want(errNone)
	again.want(errNone)
}

func TestARebalanceWithoutTimeIsNotTriedForEver(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{instance: "a", rebalance: 1}, joining{instance: "b", rebalance: 1})
	leader := h.g.leader
	h.step(h.g.Rebalance)
	h.pass(9 * time.Second) // the harness counts the ticks
	if h.g.State() != "PreparingRebalance" || h.g.leader != leader {
		t.Fatal(h.g.State())
	}
}

// A static member that was silent for its session, and whose partitions others have, commits nothing any more, until it has joined again.
func TestStaticMemberThatWasThrownOutCommitsNothing(t *testing.T) {
	h := newHarness(t)
	const session = 6 * time.Second
	ids := h.stable(joining{instance: "a", session: session}, joining{instance: "b", session: session})
	instance, generation := "a", h.g.Generation()
	commit := func(id string, of *string, want error) {
		t.Helper()
		h.step(func(s *step.Step) {
			if err := h.g.CheckCommit(s, id, of, generation); step.Code(err) != step.Code(want) {
				t.Fatalf("%s: %v, want %v", h.g.State(), err, want)
			}
		})
	}
	h.pass(session - time.Second)
	h.beat(ids[1]).want(errNone)
	commit(ids[0], &instance, nil) // silent, but a member; and this counts as a heartbeat
	h.pass(session - time.Second)
	h.beat(ids[1]).want(errNone)
	h.pass(time.Second)
	commit(ids[0], &instance, kerr.UnknownMemberID)
	commit(ids[0], nil, kerr.UnknownMemberID) // before version 7 a commit does not say that it is a static member's
	other := h.join(joining{id: ids[1], instance: "b", session: session}).joined()
	commit(ids[0], &instance, kerr.UnknownMemberID)
	h.sync(other.MemberID).want(errNone)
	generation = h.g.Generation() // as if it had heard of the new one
	commit(ids[0], &instance, kerr.UnknownMemberID)
	h.join(joining{instance: "a", session: session})
	commit(ids[0], &instance, kerr.FencedInstanceID)
	commit(ids[0], nil, kerr.UnknownMemberID)
}
