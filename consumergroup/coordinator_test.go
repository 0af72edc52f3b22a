package consumergroup

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestPartitionFor compares with Kafka 4.3.1: Utils.abs(group.hashCode()) % partitions.
func TestPartitionFor(t *testing.T) {
	for _, tc := range []struct {
		group      string
		of16, of50 int32
	}{
		{"", 0, 0},
		{"order-processors", 0, 30},
		{"console-consumer-12345", 2, 6},
		{"grüppe", 12, 12},
		{"日本", 7, 47},
		{"👍x", 8, 4},
		{"polygenelubricants", 0, 0}, // its hash is the smallest int
		{"connect-sink", 6, 22},
		{"a-group", 3, 29},
		{"payments", 13, 13},
	} {
		if a, b := PartitionFor(tc.group, 16), PartitionFor(tc.group, 50); a != tc.of16 || b != tc.of50 {
			t.Errorf("%q: %d of 16 and %d of 50, want %d and %d", tc.group, a, b, tc.of16, tc.of50)
		}
	}
}

func TestCommitAndFetch(t *testing.T) {
	inBubble(t, options(4), func(t *testing.T, r *rig) {
		for i, group := range []string{"a", "b", "c", "d", "e"} {
			if code := commitCode(r.ask(commit(group, "orders", 3, int64(10+i)))); code != 0 {
				t.Fatalf("commit of %s: code %d", group, code)
			}
		}
		got := r.ask(fetchAllOf("e", "a", "nobody", "c")).(*kmsg.OffsetFetchResponse).Groups
		for i, want := range []struct {
			group  string
			offset int64
		}{{"e", 14}, {"a", 10}, {"nobody", -1}, {"c", 12}} {
			g := got[i]
			if g.Group != want.group || g.ErrorCode != 0 || (len(g.Topics) == 0) != (want.offset < 0) {
				t.Fatalf("%+v, want %+v", g, want)
			}
			if want.offset >= 0 && (g.Topics[0].Topic != "orders" || g.Topics[0].Partitions[0].Offset != want.offset) {
				t.Fatalf("%+v, want %+v", g, want)
			}
		}
	})
}

func TestMembersOfAClassicGroup(t *testing.T) {
	inBubble(t, options(2), func(t *testing.T, r *rig) {
		id, generation := r.member("g")
		if got := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse); got.ErrorCode != 0 {
			t.Fatalf("heartbeat: code %d", got.ErrorCode)
		}
		late := commit("g", "orders", 0, 5)
		late.MemberID, late.Generation = id, generation-1
		if code := commitCode(r.ask(late)); code != kerr.IllegalGeneration.Code {
			t.Fatalf("commit of an old generation: code %d", code)
		}
		late.Generation = generation
		if code := commitCode(r.ask(late)); code != 0 {
			t.Fatalf("commit: code %d", code)
		}
		r.pass(11 * time.Second) // the session is over
		if got := r.ask(heartbeat("g", id, generation)).(*kmsg.HeartbeatResponse); got.ErrorCode != kerr.UnknownMemberID.Code {
			t.Fatalf("heartbeat after the session: code %d", got.ErrorCode)
		}
		if got := r.committed("g"); got["orders"][0] != 5 {
			t.Fatalf("offsets %v", got)
		}
	})
}

func TestNotLed(t *testing.T) {
	inBubble(t, options(2), func(t *testing.T, r *rig) {
		r.c.Resign(0)
		r.c.Resign(1)
		for _, req := range []kmsg.Request{commit("g", "orders", 0, 1), fetchAllOf("g"), join("g", ""), heartbeat("g", "m", 1)} {
			a := r.start(req)
			if a.response() == nil { // at once
				t.Fatalf("no answer to %T", req)
			}
		}
		if code := commitCode(r.ask(commit("g", "orders", 0, 1))); code != kerr.NotCoordinator.Code {
			t.Fatalf("code %d", code)
		}
		r.c.Lead(0, r.logs[0])
		r.c.Lead(1, r.logs[1])
		synctest.Wait()
		if code := commitCode(r.ask(commit("g", "orders", 0, 1))); code != 0 {
			t.Fatalf("code %d", code)
		}
	})
}
