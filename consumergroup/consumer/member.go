package consumer

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a member is doing, as the journal has it.
const (
	stable     int8 = 0 // it has what the target gave it in its epoch
	unrevoked  int8 = 1 // it has to give partitions back
	unreleased int8 = 2 // it waits for partitions that others have to give back
)

// The epochs that are none.
const (
	left   int32 = -1
	paused int32 = -2 // a static member that will be back
)

// partition names a partition.
type partition struct {
	topic [16]byte
	id    int32
}

// held is a partition that a member has, and the epoch in which it got it.
type held struct {
	partition
	since int32
}

// current is where a member stands. It is replaced, never changed in place; both lists are sorted.
type current struct {
	epoch    int32
	previous int32 // accepted in a heartbeat too, since the answer that told of epoch may be lost
	state    int8
	assigned []held
	revoking []held
}

// member is one member of a group.
type member struct {
	id   string
	desc *journal.MemberValue // replaced, never changed in place; its topics are sorted and differ
	current

	// Timers, not in the journal; zero: not running.
	session   time.Time // until the next heartbeat
	rebalance time.Time // until it has revoked (or, a classic member, joined again)
	sync      time.Time // until a classic member has fetched its assignment
}

// newcomer is how a member is described before it said anything.
func newcomer() *journal.MemberValue {
	return &journal.MemberValue{Regex: new(string), RebalanceTimeoutMs: -1}
}

// description is what is known of the member, which may be nil: a new one.
func (m *member) description() *journal.MemberValue {
	if m == nil {
		return newcomer()
	}
	return m.desc
}

func (c *current) reconciledTo(epoch int32) bool { return c.state == stable && c.epoch == epoch }

func (c *current) equal(o *current) bool {
	return c.epoch == o.epoch && c.previous == o.previous && c.state == o.state &&
		slices.Equal(c.assigned, o.assigned) && slices.Equal(c.revoking, o.revoking)
}

// regex is the member's regular expression, "" where it has none.
func (m *member) regex() string { return regexOf(m.desc) }

func regexOf(d *journal.MemberValue) string {
	if d.Regex == nil {
		return ""
	}
	return *d.Regex
}

// sizeOf is about the bytes that a description takes in the journal.
func sizeOf(d *journal.MemberValue) int {
	n := 64 + len(d.ClientID) + len(d.ClientHost)
	for _, s := range []*string{d.InstanceID, d.RackID, d.Regex, d.Assignor} {
		if s != nil {
			n += len(*s)
		}
	}
	for _, t := range d.Topics {
		n += len(t) + 3
	}
	if d.Classic != nil {
		for _, p := range d.Classic.Protocols {
			n += len(p.Name) + len(p.Metadata) + 6
		}
	}
	return n
}

func (m *member) rebalanceTimeout() time.Duration {
	return time.Duration(m.desc.RebalanceTimeoutMs) * time.Millisecond
}

func comparePartitions(a, b partition) int {
	if c := bytes.Compare(a.topic[:], b.topic[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.id, b.id)
}

func compareHeld(a, b held) int { return comparePartitions(a.partition, b.partition) }

// holds looks p up in a sorted list.
func holds(list []held, p partition) (held, bool) {
	i, ok := slices.BinarySearchFunc(list, p, func(h held, p partition) int { return comparePartitions(h.partition, p) })
	if !ok {
		return held{}, false
	}
	return list[i], true
}

// split parts have into what want names and the rest. Both are sorted.
func split(have []held, want []partition) (kept, lost []held) {
	for _, h := range have {
		for len(want) > 0 && comparePartitions(want[0], h.partition) < 0 {
			want = want[1:]
		}
		if len(want) > 0 && want[0] == h.partition {
			kept = append(kept, h)
		} else {
			lost = append(lost, h)
		}
	}
	return kept, lost
}

// reports says whether what a member says to own has a partition of the list; a member that says nothing may own all.
func reports(owned []kmsg.ConsumerGroupHeartbeatRequestTopic, list []held) bool {
	if owned == nil {
		return true
	}
	for _, t := range owned {
		for _, p := range t.Partitions {
			if _, ok := holds(list, partition{t.TopicID, p}); ok {
				return true
			}
		}
	}
	return false
}

// within says whether a member owns nothing beyond the list; what says nothing does not.
func within(owned []kmsg.ConsumerGroupHeartbeatRequestTopic, list []held) bool {
	if owned == nil {
		return false
	}
	for _, t := range owned {
		for _, p := range t.Partitions {
			if _, ok := holds(list, partition{t.TopicID, p}); !ok {
				return false
			}
		}
	}
	return true
}
