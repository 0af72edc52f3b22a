package consumergroup

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newcomer is a join that makes a member at once.
func newcomer(group string) *kmsg.JoinGroupRequest {
	r := join(group, "")
	r.Version = 3
	return r
}

// TestRoomForGroups fills the memory that groups may take. Strangers are refused then; who is a member goes on as before.
func TestRoomForGroups(t *testing.T) {
	o := options(1)
	o.MaxBytes = 64 << 10
	inBubble(t, o, func(t *testing.T, r *rig) {
		id, generation := r.member("mine")
		mine := commit("mine", "orders", 0, 1)
		mine.MemberID, mine.Generation = id, generation
		if code := commitCode(r.ask(mine)); code != 0 {
			t.Fatalf("the first commit: code %d", code)
		}
		large := newcomer("large")
		large.Protocols[0].Metadata = make([]byte, 46_500)
		joined := r.ask(large).(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 {
			t.Fatalf("a member that fits: code %d", joined.ErrorCode)
		}
		full := kerr.CoordinatorNotAvailable.Code
		if got := r.ask(newcomer("other")).(*kmsg.JoinGroupResponse).ErrorCode; got != full {
			t.Errorf("a member too many: code %d, want %d", got, full)
		}
		if got := commitCode(r.ask(commit("other", "orders", 0, 1))); got != full {
			t.Errorf("a group too many: code %d, want %d", got, full)
		}
		long := commit("mine", "orders", 1, 1)
		long.MemberID, long.Generation = id, generation
		long.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", 4000))
		refused := false
		for n := int32(1); n < 8; n++ {
			long.Topics[0].Partitions[0].Partition = n
			refused = refused || commitCode(r.ask(long)) == full
		}
		if !refused {
			t.Error("metadata is taken for ever")
		}
		if got := commitCode(r.ask(mine)); got != 0 {
			t.Errorf("a commit that takes nothing more: code %d", got)
		}
		if got := r.ask(join("mine", id)).(*kmsg.JoinGroupResponse).ErrorCode; got != 0 {
			t.Errorf("a member that joins again: code %d", got)
		}
		leave := &kmsg.LeaveGroupRequest{Version: 2, Group: "large", MemberID: joined.MemberID}
		if got := r.ask(leave).(*kmsg.LeaveGroupResponse).ErrorCode; got != 0 {
			t.Fatalf("leave: code %d", got)
		}
		if got := r.ask(newcomer("other")).(*kmsg.JoinGroupResponse).ErrorCode; got != 0 {
			t.Errorf("a member after there is room again: code %d", got)
		}
		if held := r.c.bytes.Load(); held <= 0 || held > o.MaxBytes {
			t.Errorf("the groups hold %d bytes", held)
		}
	})
}
