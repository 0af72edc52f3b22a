package classic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestALoneConsumerGetsItsPartitionsAtOnce(t *testing.T) {
	h := newHarness(t)
	r := h.join(joining{offers: "range=a sticky=b"}).joined()
	if r.Generation != 1 || r.LeaderID != r.MemberID || *r.Protocol != "range" || *r.ProtocolType != "consumer" || len(r.Members) != 1 ||
		string(r.Members[0].ProtocolMetadata) != "a" || r.MemberID != "app-1" || r.SkipAssignment {
		t.Fatalf("joined: %+v", r)
	}
	a := h.sync(r.MemberID, r.MemberID+"=all")
	a.want(errNone)
	if s := a.got.(*kmsg.SyncGroupResponse); string(s.MemberAssignment) != "all" || *s.Protocol != "range" || *s.ProtocolType != "consumer" {
		t.Fatalf("synced: %+v", s)
	}
	h.beat(r.MemberID).want(errNone)
	if len(h.entries) != 1 {
		t.Fatalf("wrote %d entries", len(h.entries))
	}
	v := h.entries[0].Value
	m := v.Members[0]
	if v.Generation != 1 || *v.Protocol != "range" || *v.Leader != r.MemberID || v.ProtocolType != "consumer" || v.CurrentStateTimestamp != h.now.UnixMilli() ||
		m.MemberID != r.MemberID || string(m.Assignment) != "all" || string(m.Subscription) != "a" || m.ClientID != "app" || m.ClientHost != "/127.0.0.1" ||
		m.SessionTimeoutMillis != 10_000 || m.RebalanceTimeoutMillis != 60_000 {
		t.Fatalf("wrote %+v", v)
	}
}

// tooLong fits a compact string, but not the older ones.
var tooLong = strings.Repeat("x", 32_740)

func TestJoinErrors(t *testing.T) {
	pair := func(h *harness) { h.stable(joining{}, joining{instance: "i"}) }
	for name, tc := range map[string]struct {
		given  func(h *harness)
		config func(c *Config)
		join   joining
		want   error
		id     string // in the answer
	}{
		"no group":                  {join: joining{group: "none", id: "x"}, want: kerr.InvalidGroupID, id: "x"},
		"session too short":         {join: joining{session: 5999 * time.Millisecond, id: "x"}, want: kerr.InvalidSessionTimeout, id: "x"},
		"session too long":          {join: joining{session: 31 * time.Minute}, want: kerr.InvalidSessionTimeout},
		"shortest session":          {join: joining{session: 6 * time.Second}, want: kerr.MemberIDRequired, id: "app-1"},
		"no protocol":               {join: joining{offers: "none"}, want: kerr.InconsistentGroupProtocol},
		"no protocol in common":     {given: pair, join: joining{offers: "sticky"}, want: kerr.InconsistentGroupProtocol},
		"another type":              {given: pair, join: joining{kind: "connect"}, want: kerr.InconsistentGroupProtocol},
		"another type, known":       {given: pair, join: joining{kind: "connect", id: "app-1"}, want: kerr.InconsistentGroupProtocol, id: "app-1"},
		"new one needs an id":       {given: pair, join: joining{}, want: kerr.MemberIDRequired, id: "app-3"},
		"new one at version 4":      {given: pair, join: joining{version: 4}, want: kerr.MemberIDRequired, id: "app-3"},
		"id of nobody":              {given: pair, join: joining{id: "x"}, want: kerr.UnknownMemberID, id: "x"},
		"id of nobody, empty group": {join: joining{id: "x"}, want: kerr.UnknownMemberID, id: "x"},
		"instance of nobody":        {given: pair, join: joining{id: "app-1", instance: "x"}, want: kerr.UnknownMemberID, id: "app-1"},
		"fenced":                    {given: pair, join: joining{id: "app-1", instance: "i"}, want: kerr.FencedInstanceID, id: "app-1"},
		"long instance":             {join: joining{instance: tooLong}, want: kerr.InvalidRequest},
		"long type":                 {join: joining{kind: tooLong + tooLong}, want: kerr.InvalidRequest},
		"long protocol":             {join: joining{offers: tooLong + tooLong}, want: kerr.InvalidRequest},
		"an id for another, static": {given: func(h *harness) { h.call(joining{}.request()) }, join: joining{id: "app-1", instance: "i"}, want: kerr.UnknownServerError},
		"full":                      {given: pair, config: func(c *Config) { c.MaxSize = 2 }, join: joining{}, want: kerr.GroupMaxSizeReached},
		"full, static":              {given: pair, config: func(c *Config) { c.MaxSize = 2 }, join: joining{instance: "j"}, want: kerr.GroupMaxSizeReached},
		"too much metadata":         {config: func(c *Config) { c.MaxRecord = 100 }, join: joining{offers: "range=" + strings.Repeat("x", 400)}, want: kerr.GroupMaxSizeReached},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			if tc.given != nil {
				tc.given(h)
			}
			if tc.config != nil {
				tc.config(&h.config)
			}
			a := h.call(tc.join.request())
			a.want(tc.want)
			r := a.got.(*kmsg.JoinGroupResponse)
			if r.MemberID != tc.id || r.Generation != -1 || r.Protocol != nil || r.ProtocolType != nil || r.LeaderID != "" || len(r.Members) > 0 {
				t.Fatalf("answered %+v", r)
			}
		})
	}
}

func TestEveryVersionJoins(t *testing.T) {
	for version := int16(0); version <= 9; version++ {
		h := newHarness(t)
		asked := version
		if version == 0 {
			asked = -1
		}
		r := h.join(joining{version: asked, rebalance: time.Minute, session: 10 * time.Second}).joined()
		if r.Version != version {
			t.Fatalf("version %d is answered at %d", version, r.Version)
		}
		m, _ := h.g.Member(r.MemberID)
		if want := map[bool]time.Duration{true: 10 * time.Second, false: time.Minute}[version == 0]; m.Rebalance != want {
			t.Errorf("version %d: the rebalance timeout is %v, want %v", version, m.Rebalance, want)
		}
	}
}

func TestPendingMembers(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{})
	h.call(joining{session: 6 * time.Second}.request()).want(kerr.MemberIDRequired)
	h.beat("app-2").want(kerr.UnknownMemberID)
	h.call(syncing("app-2", 1)).want(kerr.UnknownMemberID)

	// A rebalance waits for it, but no longer than its session.
	leader := h.join(joining{id: ids[0]})
	leader.want(nil)
	h.pass(5999 * time.Millisecond)
	leader.want(nil)
	h.pass(time.Millisecond)
	if r := leader.joined(); r.Generation != 2 || len(r.Members) != 1 {
		t.Fatalf("joined %+v", r)
	}
	h.join(joining{id: "app-2"}).want(kerr.UnknownMemberID)
	// One that says that it goes is not waited for either, nor does that disturb a stable group.
	h.sync(ids[0])
	h.call(joining{}.request()).want(kerr.MemberIDRequired)
	h.call(leaving(5, "app-3")).want(errNone)
	if h.g.State() != "Stable" {
		t.Fatalf("the group is %s", h.g.State())
	}
	h.call(joining{}.request()).want(kerr.MemberIDRequired)
	again := h.join(joining{id: ids[0]})
	again.want(nil)
	h.call(leaving(1, "app-4")).want(errNone)
	again.want(errNone)
}

func TestPendingMembersAreBounded(t *testing.T) {
	g := New("g", &Config{})
	s := &step.Step{Now: time.Unix(0, 0)}
	for range maxPending + 5 {
		g.Join(s, &step.Call{Request: joining{}.request()})
	}
	for i, r := range s.Replies {
		want := kerr.MemberIDRequired
		if i >= maxPending {
			want = kerr.GroupMaxSizeReached
		}
		if got := r.Response.(*kmsg.JoinGroupResponse).ErrorCode; got != want.Code {
			t.Fatalf("join %d: %d, want %v", i, got, want)
		}
	}
	if g.Idle() || !g.Empty() {
		t.Fatal("a group that gave out ids is to be remembered")
	}
	s.Now = g.Deadline()
	g.Tick(s)
	if !g.Idle() || !g.Deadline().IsZero() {
		t.Fatalf("%d are left, deadline %v", len(g.pending), g.Deadline())
	}
}

func TestTheVotes(t *testing.T) {
	for want, offers := range map[string][]string{
		"range":  {"range sticky", "range sticky", "sticky range"},
		"sticky": {"range sticky", "sticky range", "sticky range"},
		"b":      {"a b", "b", "b a"}, // a has as many votes of those that offer it, but not all do
		"both":   {"both other", "other both"},
	} {
		h := newHarness(t)
		members := []joining{}
		for _, o := range offers {
			members = append(members, joining{offers: o})
		}
		h.stable(members...)
		if got := h.g.Protocol(); got != want {
			t.Errorf("%v: %q, want %q", offers, got, want)
		}
	}
	h := newHarness(t)
	if r := h.join(joining{offers: "a=1 a=2 b"}).joined(); *r.Protocol != "a" || string(r.Members[0].ProtocolMetadata) != "1" {
		t.Fatalf("a protocol named twice: %+v", r)
	}
}

func TestRejoiningWithoutNeed(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{offers: "range=x"}, joining{offers: "range=x"})
	generation := h.g.Generation()
	leader := h.g.leader.ID
	follower := ids[0]
	if follower == leader {
		follower = ids[1]
	}
	// A follower that has nothing new is told what it knew, stable or not.
	r := h.join(joining{id: follower, offers: "range=x"}).joined()
	if r.Generation != generation || r.LeaderID != leader || len(r.Members) != 0 || *r.Protocol != "range" || h.g.State() != "Stable" {
		t.Fatalf("joined %+v in %s", r, h.g.State())
	}
	// The leader wants a rebalance.
	first := h.join(joining{id: leader, offers: "range=x"})
	first.want(nil)
	h.beat(follower).want(kerr.RebalanceInProgress)
	h.sync(follower).want(kerr.RebalanceInProgress)
	h.join(joining{id: follower, offers: "range=x"}).want(errNone)
	if len(first.joined().Members) != 2 || h.g.State() != "CompletingRebalance" {
		t.Fatalf("joined %+v in %s", first.joined(), h.g.State())
	}
	if r := h.join(joining{id: leader, offers: "range=x"}).joined(); r.Generation != generation+1 || len(r.Members) != 2 {
		t.Fatalf("the leader, again: %+v", r)
	}
	// Whoever has changed what it offers wants one in any state.
	waiting := h.sync(follower)
	h.join(joining{id: leader, offers: "range=y"}).want(nil)
	waiting.want(kerr.RebalanceInProgress)
	h.join(joining{id: follower, offers: "range=x"}).want(errNone)
	h.sync(h.g.leader.ID)
	h.join(joining{id: follower, offers: "range=z"}).want(nil)
	if h.g.State() != "PreparingRebalance" {
		t.Fatal(h.g.State())
	}
}

func TestACallThatIsRepeatedIsAnswered(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{}, joining{})
	first := h.join(joining{id: h.g.leader.ID})
	second := h.join(joining{id: h.g.leader.ID})
	first.want(kerr.RebalanceInProgress)
	second.want(nil)
	for _, id := range ids {
		if id != h.g.leader.ID {
			h.join(joining{id: id}).want(errNone)
			a := h.sync(id)
			b := h.sync(id)
			a.want(kerr.RebalanceInProgress)
			h.sync(h.g.leader.ID, id+"=x").want(errNone)
			if string(b.got.(*kmsg.SyncGroupResponse).MemberAssignment) != "x" {
				t.Fatalf("synced %+v", b.got)
			}
		}
	}
}

func TestAGroupThatBecameTooLargeLosesTheLast(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{}, joining{}, joining{})
	h.config.MaxSize = 2
	first, second := h.join(joining{id: h.g.leader.ID}), (*answer)(nil)
	for _, id := range ids {
		switch {
		case id == h.g.leader.ID:
		case second == nil:
			second = h.join(joining{id: id})
			second.want(nil)
		default:
			h.join(joining{id: id}).want(kerr.GroupMaxSizeReached)
		}
	}
	if len(first.joined().Members) != 2 || h.g.Members() != 2 || second.joined().Generation != first.joined().Generation {
		t.Fatalf("joined %+v", first.joined())
	}
}

func TestProtocolTypesAreOpaque(t *testing.T) {
	for _, kind := range []string{"connect", "sr"} {
		h := newHarness(t)
		h.stable(joining{kind: kind, offers: "v0=\xff"}, joining{kind: kind, offers: "v0"})
		if h.g.ProtocolType() != kind || h.g.Protocol() != "v0" || h.g.SubscribedTo("any") {
			t.Fatalf("%s: %s, %s", kind, h.g.ProtocolType(), h.g.Protocol())
		}
		for h.g.Members() > 0 {
			h.call(leaving(5, h.g.members[0].ID)).want(errNone)
		}
		// What was of one type may become another once it is empty.
		if r := h.join(joining{}).joined(); *r.ProtocolType != "consumer" {
			t.Fatal(fmt.Sprint(r))
		}
	}
}
