package classic

import (
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestInitialDelay(t *testing.T) {
	const delay = 3 * time.Second
	for name, tc := range map[string]struct {
		joins     []time.Duration // after the first
		rebalance time.Duration
		want      time.Duration // when all are answered
	}{
		"alone":                          {nil, time.Minute, delay},
		"one more":                       {[]time.Duration{time.Second}, time.Minute, 2 * delay},
		"others, until none comes":       {[]time.Duration{time.Second, 4 * time.Second, 7 * time.Second}, time.Minute, 4 * delay},
		"up to the rebalance timeout":    {[]time.Duration{time.Second, 4 * time.Second, 6500 * time.Millisecond}, 7 * time.Second, 7 * time.Second},
		"a rebalance timeout below it":   {[]time.Duration{time.Second}, time.Second, delay},
		"two, and a quiet delay between": {[]time.Duration{time.Second, 2 * time.Second}, time.Minute, 2 * delay},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.config.InitialDelay = delay
			start := h.now
			all := []*answer{h.join(joining{rebalance: tc.rebalance})}
			for _, at := range tc.joins {
				h.pass(at - h.now.Sub(start))
				all = append(all, h.join(joining{rebalance: tc.rebalance}))
			}
			for h.now.Sub(start) < tc.want-time.Millisecond {
				h.pass(time.Millisecond)
			}
			all[0].want(nil)
			h.pass(time.Millisecond)
			for _, a := range all {
				if r := a.joined(); r.Generation != 1 || len(r.Members) > 0 && len(r.Members) != len(all) {
					t.Fatalf("joined %+v", r)
				}
			}
		})
	}
}

func TestAMemberThatLeavesIsReplacedAtOnce(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{}, joining{}, joining{})
	h.call(leaving(5, ids[0])).want(errNone)
	h.beat(ids[1]).want(kerr.RebalanceInProgress)
	first := h.join(joining{id: ids[1]})
	second := h.join(joining{id: ids[2]})
	if first.joined().Generation != second.joined().Generation || h.g.State() != "CompletingRebalance" {
		t.Fatalf("%+v, %+v", first.joined(), second.joined())
	}
}

func TestACrashedMemberIsReplacedWithinItsSession(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{session: 10 * time.Second}, joining{session: 10 * time.Second})
	for range 4 {
		h.pass(3 * time.Second)
		h.beat(ids[0])
	}
	// The second one's session ended after 10 s.
	if h.g.Members() != 1 || h.g.State() != "PreparingRebalance" {
		t.Fatalf("%d members in %s", h.g.Members(), h.g.State())
	}
	r := h.join(joining{id: ids[0]}).joined()
	h.sync(r.MemberID).want(errNone)
	h.beat(ids[1]).want(kerr.UnknownMemberID)
	h.pass(10 * time.Second)
	if !h.g.Empty() || h.g.EmptySince() != h.now || !h.g.Deadline().IsZero() {
		t.Fatalf("%s since %v, deadline %v", h.g.State(), h.g.EmptySince(), h.g.Deadline())
	}
	last := h.entries[len(h.entries)-1].Value
	if last.Generation != r.Generation+1 || len(last.Members) != 0 || last.Leader != nil || last.Protocol != nil || last.ProtocolType != "consumer" ||
		last.CurrentStateTimestamp != h.now.UnixMilli() {
		t.Fatalf("wrote %+v", last)
	}
}

func TestMembersThatDoNotRejoinAreDropped(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{rebalance: 20 * time.Second, session: time.Minute}, joining{rebalance: 30 * time.Second, session: time.Minute})
	old := h.g.leader.ID
	a := h.join(joining{rebalance: 10 * time.Second})
	a.want(nil)
	h.pass(30*time.Second - 1)
	a.want(nil)
	h.pass(1)
	r := a.joined()
	if h.g.Members() != 1 || r.LeaderID != r.MemberID || r.LeaderID == old {
		t.Fatalf("%d members, %+v", h.g.Members(), r)
	}
	h.join(joining{id: ids[0]}).want(kerr.UnknownMemberID)
}

func TestMembersThatDoNotSyncAreDropped(t *testing.T) {
	for name, leaderSyncs := range map[string]bool{"the leader has": true, "the leader has not": false} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			a := h.join(joining{rebalance: 20 * time.Second, session: time.Minute})
			b := h.join(joining{rebalance: 20 * time.Second, session: time.Minute})
			a = h.join(joining{id: a.joined().MemberID, rebalance: 20 * time.Second, session: time.Minute})
			sleepy, awake := b.joined().MemberID, a.joined().MemberID
			if leader := h.g.leader.ID; leaderSyncs && leader == sleepy || !leaderSyncs && leader == awake {
				sleepy, awake = awake, sleepy
			}
			sync := h.sync(awake)
			if leaderSyncs {
				sync.want(errNone)
			} else {
				sync.want(nil)
			}
			for range 4 {
				h.pass(5*time.Second - 1)
				h.beat(sleepy).want(errNone) // it lives, but does not sync
				h.beat(awake).want(errNone)
			}
			h.pass(4)
			if _, there := h.g.Member(sleepy); there || h.g.State() != "PreparingRebalance" {
				t.Fatalf("still there: %v, %s", there, h.g.State())
			}
			if !leaderSyncs {
				sync.want(kerr.RebalanceInProgress)
			}
			h.join(joining{id: awake}).want(errNone)
		})
	}
}

func TestANewMemberWaitsFiveMinutesAtMost(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{rebalance: 20 * time.Minute})
	a := h.join(joining{})
	for range 5 * 60 {
		a.want(nil)
		h.pass(time.Second)
		h.beat(ids[0])
	}
	a.want(kerr.UnknownMemberID)
	if r := a.got.(*kmsg.JoinGroupResponse); r.MemberID != "" || h.g.Members() != 1 {
		t.Fatalf("%+v, %d members", r, h.g.Members())
	}
}

func TestWhoWaitsDoesNotExpire(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{rebalance: 10 * time.Minute}, joining{rebalance: 10 * time.Minute, session: 20 * time.Minute})
	waiting := h.join(joining{id: ids[0], rebalance: 10 * time.Minute, offers: "range=new"})
	h.pass(9 * time.Minute)
	waiting.want(nil)
	h.join(joining{id: ids[1], rebalance: 10 * time.Minute, session: 20 * time.Minute}).want(errNone)
	waiting.want(errNone)
	// Nor one whose sync waits.
	follower := ids[0]
	if h.g.leader.ID == follower {
		follower = ids[1]
	}
	h.sync(follower)
	h.pass(5 * time.Second)
	h.beat(h.g.leader.ID)
	h.pass(6 * time.Second)
	if _, there := h.g.Member(follower); !there {
		t.Fatal("it was dropped")
	}
}

func TestTheLastOneToLeaveEmptiesTheGroup(t *testing.T) {
	h := newHarness(t)
	id := h.stable(joining{})[0]
	h.call(leaving(0, id)).want(errNone)
	if !h.g.Empty() || h.g.Idle() || h.g.Generation() != 2 || len(h.entries) != 2 || h.g.ProtocolType() != "consumer" || h.g.Protocol() != "" {
		t.Fatalf("%s, generation %d, %d entries", h.g.State(), h.g.Generation(), len(h.entries))
	}
	if r := h.join(joining{}).joined(); r.Generation != 3 {
		t.Fatalf("joined %+v", r)
	}
}

func TestLeavingWhileOneWaits(t *testing.T) {
	h := newHarness(t)
	h.config.InitialDelay = time.Second
	a := h.join(joining{})
	h.call(leaving(5, "app-1")).want(errNone)
	a.want(kerr.UnknownMemberID)
	h.pass(time.Second)
	if !h.g.Empty() || h.g.Generation() != 1 {
		t.Fatalf("%s, generation %d", h.g.State(), h.g.Generation())
	}
	h.config.InitialDelay = 0
	h.stable(joining{}, joining{})
	first := h.join(joining{id: h.g.leader.ID})
	for _, m := range h.g.members {
		if m != h.g.leader {
			h.join(joining{id: m.ID})
		}
	}
	first.want(errNone)
	follower := h.g.members[0]
	if follower == h.g.leader {
		follower = h.g.members[1]
	}
	sync := h.sync(follower.ID)
	h.call(leaving(5, follower.ID)).want(errNone)
	sync.want(kerr.UnknownMemberID)
}

func TestAGroupTooLargeForTheJournal(t *testing.T) {
	h := newHarness(t)
	r := h.join(joining{}).joined()
	h.config.MaxRecord = 1000
	h.sync(r.MemberID, r.MemberID+"="+strings.Repeat("x", 1000)).want(kerr.UnknownServerError)
	if len(h.entries) != 0 || h.g.State() != "PreparingRebalance" {
		t.Fatalf("%d entries, %s", len(h.entries), h.g.State())
	}
	if err := h.g.Store(&step.Step{}); err != nil {
		t.Fatal(err) // without the assignment it fits
	}
	h.g.members[0].Assignment = make([]byte, 1000)
	if err := h.g.Store(&step.Step{}); step.Code(err) != kerr.GroupMaxSizeReached.Code {
		t.Fatal(err)
	}
}

func TestFail(t *testing.T) {
	h := newHarness(t)
	h.stable(joining{}, joining{})
	join := h.join(joining{id: h.g.leader.ID})
	s := &step.Step{Now: h.now}
	h.g.Fail(s, kerr.NotCoordinator)
	if len(s.Replies) != 1 {
		t.Fatalf("%d replies", len(s.Replies))
	}
	s.Replies[0].Call.Answer(s.Replies[0].Response)
	join.want(kerr.NotCoordinator)
	if r := join.got.(*kmsg.JoinGroupResponse); r.MemberID != h.g.leader.ID {
		t.Fatalf("%+v", r)
	}
	r := h.join(joining{id: h.g.leader.ID})
	for _, m := range h.g.members {
		if m != h.g.leader {
			h.join(joining{id: m.ID})
			sync := h.sync(m.ID)
			h.step(func(s *step.Step) { h.g.Fail(s, kerr.RebalanceInProgress) })
			sync.want(kerr.RebalanceInProgress)
		}
	}
	r.want(errNone)
}

func TestTheFirstJoinWaitsForNobody(t *testing.T) {
	h := newHarness(t)
	h.call(joining{}.request()).want(kerr.MemberIDRequired)
	h.join(joining{instance: "a"}).want(errNone) // though another has an id to come back with
}

func TestAnAnswerToASyncBeginsASession(t *testing.T) {
	for name, leads := range map[string]bool{"assigned": true, "abandoned": false} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			leader, follower := states["CompletingRebalance"](h)
			h.pass(5 * time.Second)
			sync := h.sync(follower.ID)
			h.beat(leader.ID)
			h.pass(9 * time.Second)
			if leads {
				h.sync(leader.ID).want(errNone)
			} else {
				h.join(joining{offers: "range other"}).want(nil)
				sync.want(kerr.RebalanceInProgress)
			}
			h.pass(9 * time.Second)
			if _, there := h.g.Member(follower.ID); !there {
				t.Fatal("it was dropped")
			}
		})
	}
}

func TestASessionOfNoLength(t *testing.T) {
	h := newHarness(t)
	h.config.MinSession = 0
	a := h.join(joining{version: 3})
	b := h.join(joining{version: 3, session: 1})
	b.want(nil)
	h.join(joining{version: 3, id: a.joined().MemberID}).want(errNone)
	h.sync(b.joined().MemberID)
	h.pass(5 * time.Millisecond)
	if h.g.Members() != 2 { // one lives, one waits
		t.Fatalf("%d members in %s", h.g.Members(), h.g.State())
	}
}
