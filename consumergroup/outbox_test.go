package consumergroup

import (
	"testing"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestOutboxIsBounded: by what is to be appended, and by the replies that wait for it, in number and in bytes.
func TestOutboxIsBounded(t *testing.T) {
	write := func(o *outbox) {
		if err := o.write([]journal.Entry{&journal.OffsetCommit{Group: "g", Topic: "t"}}, 1); err != nil {
			t.Fatal(err)
		}
	}
	large := &kmsg.OffsetFetchResponse{Groups: []kmsg.OffsetFetchResponseGroup{{Topics: []kmsg.OffsetFetchResponseGroupTopic{
		{Partitions: make([]kmsg.OffsetFetchResponseGroupTopicPartition, 1<<14)}}}}}
	for _, tc := range []struct {
		name   string
		do     func(o *outbox)
		within int
	}{
		{"entries", write, 1 << 14},
		{"small replies", func(o *outbox) { o.hold(held{reply: step.Reply{Response: &kmsg.HeartbeatResponse{}}}) }, MaxQueued},
		{"large replies", func(o *outbox) { o.hold(held{reply: step.Reply{Response: large}}) }, 64},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := &outbox{maxBatch: 1 << 20}
			write(o)
			n := 0
			for ; !o.full(); n++ {
				if n > tc.within {
					t.Fatalf("not full after %d", n)
				}
				tc.do(o)
			}
			if n < tc.within/8 {
				t.Errorf("full after %d", n)
			}
		})
	}
}
