package chaos

import (
	"strings"
	"testing"
)

// good is a history without a fault: number 2 of producer 1 was never acknowledged, and is there.
func good() *Ledger {
	v := func(p int32, n int64) Value { return Value{p, n} }
	return &Ledger{
		Sent:  map[int32]int64{1: 3, 2: 2},
		Acked: []Ack{{v(1, 0), 0, 0, 10}, {v(1, 1), 1, 0, 20}, {v(2, 0), 0, 1, 30}, {v(2, 1), 0, 3, 40}, {v(1, 2), 0, -1, 50}},
		Read: []Read{
			{v(1, 0), "workers", 0, 0}, {v(1, 2), "others", 0, 2}, {v(2, 0), "workers", 0, 1}, {v(2, 0), "workers", 0, 1}, {v(1, 2), "workers", 0, 2},
			{v(2, 1), "workers", 0, 3}, {v(1, 1), "workers", 1, 0},
		},
		Groups: []string{"workers"},
		Marks: []Mark{
			{HighWatermark, 1, 0, 2, 31, 33}, {HighWatermark, 2, 0, 3, 32, 35}, {HighWatermark, 1, 0, 2, 34, 36}, {HighWatermark, 3, 0, 4, 50, 51},
			{"workers", 1, 0, 1, 5, 7}, {"workers", 2, 0, 1, 8, 9}, {"workers", 2, 1, 0, 20, 21},
		},
		Stored: map[int32][]Stored{0: {{v(1, 0), 0}, {v(2, 0), 0}, {v(1, 2), 0}, {v(2, 1), 1}}, 1: {{v(1, 1), 0}}},
		Bumps:  map[int32]bool{2: true},
	}
}

func TestCheckFindsNothing(t *testing.T) {
	if faults := good().Check(); len(faults) > 0 {
		t.Fatal(faults)
	}
}

func TestCheckFinds(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Ledger)
		want  string
	}{
		"the last record is gone":      {func(l *Ledger) { l.Stored[0] = l.Stored[0][:3] }, "lost: {2 1}"},
		"another took its offset":      {func(l *Ledger) { l.Acked[3].Offset = 2 }, "lost: {2 1}"},
		"acknowledged, not told where": {func(l *Ledger) { l.Acked[4].Partition = 1 }, "lost: {1 2} was acknowledged and is nowhere in partition 1"},
		"a partition is gone":          {func(l *Ledger) { delete(l.Stored, 1) }, "lost: {1 1}"},
		"a reader saw another":         {func(l *Ledger) { l.Read[1].Number = 1 }, "{1 1} was read at offset 2"},
		"a reader saw what is gone":    {func(l *Ledger) { l.Read = append(l.Read, Read{Value{2, 1}, "workers", 0, 4}) }, "{2 1} was read at offset 4"},
		"a group passes one over":      {func(l *Ledger) { l.Read = append(l.Read[:4:4], l.Read[5:]...) }, "passed over: group workers has never read offset 2 of partition 0"},
		"stored twice":                 {func(l *Ledger) { l.Stored[1] = append(l.Stored[1], Stored{Value{1, 1}, 1}) }, "twice: {1 1}"},
		"stored twice in one epoch":    {func(l *Ledger) { l.Stored[0] = append(l.Stored[0], Stored{Value{2, 1}, 1}) }, "twice: {2 1}"},
		"stored in two partitions":     {func(l *Ledger) { l.Stored[1] = append(l.Stored[1], Stored{Value{2, 1}, 2}) }, "twice: {2 1}"},
		"never sent":                   {func(l *Ledger) { l.Stored[1] = append(l.Stored[1], Stored{Value{1, 3}, 0}) }, "never sent: {1 3}"},
		"of nobody":                    {func(l *Ledger) { l.Stored[1] = append(l.Stored[1], Stored{Value{9, 0}, 0}) }, "never sent: {9 0}"},
		"out of order": {func(l *Ledger) {
			l.Acked = nil
			l.Read = nil
			l.Stored[0][1], l.Stored[0][3] = l.Stored[0][3], l.Stored[0][1]
		}, "out of order: number 0 of producer 2"},
		"a mark behind an acknowledgement": {func(l *Ledger) { l.Marks[3].Offset = 3 }, "stale: broker 3 answered 3 for the high watermark"},
		"a mark behind an answer":          {func(l *Ledger) { l.Marks[2].Asked = 36 }, "stale: broker 1 answered 2 for the high watermark"},
		"a commit goes back":               {func(l *Ledger) { l.Marks[5].Offset = 0 }, "stale: broker 2 answered 0 for the workers"},
	} {
		t.Run(name, func(t *testing.T) {
			l := good()
			c.spoil(l)
			faults := l.Check()
			for _, f := range faults {
				if strings.HasPrefix(f.Error(), c.want) {
					return
				}
			}
			t.Errorf("faults %v, want one that begins %q", faults, c.want)
		})
	}
}

// A producer that is known to send again with another epoch may do so, in order.
func TestResentIsCounted(t *testing.T) {
	l := good()
	l.Stored[0] = append(l.Stored[0], Stored{Value{2, 0}, 2}, Stored{Value{2, 1}, 2})
	for _, group := range l.Groups {
		l.Read = append(l.Read, Read{Value{2, 0}, group, 0, 4}, Read{Value{2, 1}, group, 0, 5})
	}
	if faults := l.Check(); len(faults) > 0 || l.Resent != 2 {
		t.Errorf("%d resent, want 2; %v", l.Resent, faults)
	}
}

// A group of a client that is known to pass records over may do so, and it is counted.
func TestPassedOverIsCounted(t *testing.T) {
	l := good()
	l.Skips = []string{"others"}
	if faults := l.Check(); len(faults) > 0 || l.Passed != 4 {
		t.Errorf("%d passed over, want 4; %v", l.Passed, faults)
	}
}

// What was under way at the same time may be seen in either order.
func TestConcurrentMarksMayDiffer(t *testing.T) {
	l := &Ledger{Marks: []Mark{{HighWatermark, 1, 0, 9, 10, 20}, {HighWatermark, 2, 0, 5, 15, 30}, {HighWatermark, 2, 0, 9, 20, 31}}}
	if faults := l.Check(); len(faults) > 0 {
		t.Fatal(faults)
	}
}
