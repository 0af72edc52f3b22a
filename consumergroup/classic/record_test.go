package classic

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reload is the group as another coordinator finds it in the journal.
func (h *harness) reload() *Group {
	h.t.Helper()
	if len(h.entries) == 0 {
		return New("g", &h.config)
	}
	key, value, err := journal.Encode(h.entries[len(h.entries)-1])
	if err != nil {
		h.t.Fatal(err)
	}
	e, err := journal.Decode(key, value)
	if err != nil {
		h.t.Fatal(err)
	}
	g := Restore(e.(*journal.GroupMetadata), &h.config, h.now)
	check(h.t, g)
	return g
}

func TestRestore(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{instance: "i", offers: "range=x sticky"}, joining{offers: "range=y", session: time.Minute})
	var before, after kmsg.DescribeGroupsResponseGroup
	h.g.Describe(&before)
	generation, leader := h.g.Generation(), h.g.leader.ID
	h.now = h.now.Add(time.Hour)
	h.g = h.reload()
	h.g.Describe(&after)
	if !reflect.DeepEqual(before, after) || h.g.Generation() != generation || h.g.leader.ID != leader || h.g.Protocol() != "range" || h.g.Idle() {
		t.Fatalf("was\n%+v, is\n%+v", before, after)
	}
	// Members go on as if nothing had been: with heartbeats, and with a session that begins when the group is loaded.
	h.beat(ids[1]).want(errNone)
	h.sync(ids[0]).want(errNone)
	h.pass(10 * time.Second)
	if h.g.Members() != 1 || h.g.members[0].ID != ids[1] || h.g.members[0].Rebalance != time.Minute {
		t.Fatalf("%d members", h.g.Members())
	}
	// They may offer again what was not written.
	h.join(joining{id: ids[1], offers: "range=y sticky"}).want(errNone)
}

func TestRestoreOfAnUnfinishedGeneration(t *testing.T) {
	h := newHarness(t)
	id := h.stable(joining{})[0]
	h.join(joining{id: id})
	lost := h.join(joining{})
	lost.want(nil)
	h.join(joining{id: id}).want(errNone)
	h.g = h.reload()
	h.call(syncing(id, h.g.Generation()+1)).want(kerr.IllegalGeneration)
	h.join(joining{id: lost.joined().MemberID}).want(kerr.UnknownMemberID)
	h.join(joining{id: id}).want(errNone)
}

func TestRestoreOfWhatOthersWrote(t *testing.T) {
	ptr := kmsg.StringPtr
	now := time.Unix(100, 0)
	member := func(id, instance string) kmsg.GroupMetadataValueMember {
		m := kmsg.GroupMetadataValueMember{MemberID: id, SessionTimeoutMillis: 10_000, RebalanceTimeoutMillis: 60_000}
		if instance != "" {
			m.InstanceID = &instance
		}
		return m
	}
	old := member("a", "")
	old.RebalanceTimeoutMillis = -1
	for name, tc := range map[string]struct {
		value kmsg.GroupMetadataValue
		check func(t *testing.T, g *Group)
	}{
		"empty": {kmsg.GroupMetadataValue{ProtocolType: "consumer", Generation: 7, CurrentStateTimestamp: 5000}, func(t *testing.T, g *Group) {
			if !g.Empty() || g.Idle() || g.EmptySince() != time.UnixMilli(5000) || g.Generation() != 7 || !g.Deadline().IsZero() {
				t.Errorf("%s since %v", g.State(), g.EmptySince())
			}
		}},
		"empty, no time": {kmsg.GroupMetadataValue{CurrentStateTimestamp: -1}, func(t *testing.T, g *Group) {
			if !g.EmptySince().IsZero() {
				t.Errorf("since %v", g.EmptySince())
			}
		}},
		"old, leader not known": {kmsg.GroupMetadataValue{ProtocolType: "consumer", Protocol: ptr("range"), Leader: ptr("x"),
			Members: []kmsg.GroupMetadataValueMember{old}}, func(t *testing.T, g *Group) {
			if m, _ := g.Member("a"); m.Rebalance != 10*time.Second || g.leader != m {
				t.Errorf("%+v", m)
			}
		}},
		"the same member twice": {kmsg.GroupMetadataValue{Protocol: ptr("range"), Members: []kmsg.GroupMetadataValueMember{member("a", "i"), member("a", ""),
			member("b", "i")}}, func(t *testing.T, g *Group) {
			if g.Members() != 1 {
				t.Errorf("%d members", g.Members())
			}
		}},
		"no protocol, no timeouts": {kmsg.GroupMetadataValue{Members: []kmsg.GroupMetadataValueMember{{MemberID: "a", SessionTimeoutMillis: -5}}},
			func(t *testing.T, g *Group) {
				s := &step.Step{Now: now}
				g.Tick(s)
				g.Tick(s)
				if !g.Empty() {
					t.Errorf("%s", g.State())
				}
			}},
		"too many members": {kmsg.GroupMetadataValue{Protocol: ptr("range"), Members: []kmsg.GroupMetadataValueMember{member("a", ""), member("b", ""),
			member("c", ""), member("d", "")}}, func(t *testing.T, g *Group) {
			if g.State() != "PreparingRebalance" || g.Deadline() != now.Add(10*time.Second) {
				t.Errorf("%s until %v", g.State(), g.Deadline())
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := Restore(&journal.GroupMetadata{Group: "g", Value: &tc.value}, &Config{MaxSize: 3}, now)
			check(t, g)
			tc.check(t, g)
			check(t, g)
		})
	}
}

func TestFromMembers(t *testing.T) {
	h := newHarness(t)
	metadata := []byte(subscription("", "t1"))
	members := func(offers ...string) (all []*Member) {
		for i, o := range offers {
			m := &Member{ID: string(rune('a' + i)), ClientID: "app", ClientHost: "/h", Session: 10 * time.Second, Rebalance: 20 * time.Second}
			for _, name := range strings.Fields(o) {
				m.Protocols = append(m.Protocols, journal.ClassicProtocol{Name: name, Metadata: metadata})
			}
			all = append(all, m)
		}
		return all
	}
	for _, none := range [][]*Member{nil, members("range", "sticky"), members("")} {
		if _, err := FromMembers("g", &h.config, 4, none, h.now); step.Code(err) != kerr.InconsistentGroupProtocol.Code {
			t.Fatalf("of %d members: %v", len(none), err)
		}
	}
	g, err := FromMembers("g", &h.config, 4, members("range sticky", "sticky"), h.now)
	if err != nil {
		t.Fatal(err)
	}
	h.g = g
	for m := range g.All() {
		m.Assignment = append([]byte("of-"), m.ID...)
		if m.Waiting() {
			t.Errorf("%s waits", m.ID)
		}
	}
	h.step(func(s *step.Step) {
		if err := g.Store(s); err != nil {
			t.Error(err)
		}
	})
	if g.Generation() != 4 || g.Protocol() != "sticky" || g.State() != "Stable" || !g.SubscribedTo("t1") || g.SubscribedTo("t2") || g.ID() != "g" {
		t.Fatalf("%+v", g)
	}
	h.g = h.reload()
	if got := string(h.sync("b").got.(*kmsg.SyncGroupResponse).MemberAssignment); got != "of-b" {
		t.Fatalf("assigned %q", got)
	}
	h.step(h.g.Rebalance)
	h.step(h.g.Rebalance)
	h.beat("a").want(kerr.RebalanceInProgress)
}

func TestMemberIDs(t *testing.T) {
	c, instance := &Config{}, "i"
	a, b := c.NewMemberID("app", nil), c.NewMemberID("app", &instance)
	if len(a) != len("app")+memberIDSuffix || !strings.HasPrefix(a, "app-") || !strings.HasPrefix(b, "i-") || a[4:] == b[2:] || a[4+14] != '4' {
		t.Fatalf("%q, %q", a, b)
	}
}
