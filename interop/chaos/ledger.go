// Package chaos judges what a cluster did while faults were made: a Ledger has what producers, readers and onlookers saw, and Check says what of it must not
// have been; a Mesh has the wires between brokers, which can be cut one way.
package chaos

import (
	"cmp"
	"fmt"
	"slices"
)

// Value names a record: no two records of a run have the same.
type Value struct {
	Producer int32 // a producer that is begun anew after a fatal error is another one
	Number   int64 // from 0, in the order in which the producer sent it to its partition
}

// Time is of one monotonic clock, in nanoseconds.
type Time = int64

// Ack is a record that a producer was told is committed. It was told so at a time at or before Told.
type Ack struct {
	Value
	Partition int32
	Offset    int64 // below 0: it was not told where
	Told      Time
}

// Read is a record as a member of a group got it.
type Read struct {
	Value
	Group     string
	Partition int32
	Offset    int64
}

// Stored is a record as it lies in a partition, with the epoch of the producer that wrote it.
type Stored struct {
	Value
	Epoch int16
}

// Mark is an offset that never goes back, as a broker answered it: a partition's high watermark, or what a group has committed of a partition.
type Mark struct {
	Of              string // what never goes back: "high watermark" or a group's name
	Broker          int32
	Partition       int32
	Offset          int64
	Asked, Answered Time
}

// HighWatermark is Mark.Of of a partition's end.
const HighWatermark = "high watermark"

// Ledger is what was seen of one topic. Its fields are filled by whoever has seen it, and read by Check when all have ended.
type Ledger struct {
	Sent  map[int32]int64 // by producer: how many it has tried to send
	Acked []Ack
	Read  []Read // by readers, during the run
	Marks []Mark
	// Stored is what each partition holds in the end, by offset: the first record has offset 0, and there is no gap.
	Stored map[int32][]Stored
	Groups []string // which have read and committed everything in the end, if all is well
	// Bumps are the producers that raise their epoch of their own accord and send again then what may be stored already (librdkafka, when it is told that another partition
	// missed a sequence number: its issue 4953). Resent is how many records are stored twice for that reason, counted by Check.
	Bumps  map[int32]bool
	Resent int
	// Skips are groups of a client that may pass records over by itself (librdkafka 2.11.1: with a fetch under way while it validates an offset it seeks to where it fetches
	// and throws away what it has fetched and not handed out). Passed is how many records they have not read, counted by Check.
	Skips  []string
	Passed int
}

// maxFaults is how many faults of one kind Check lists.
const maxFaults = 10

// Check lists what is wrong:
//   - an acknowledged record is not at the offset that was acknowledged, or a reader got there another one than is stored;
//   - a record is stored twice, or was never sent;
//   - a group has never read a record that is stored, though each has committed all of them in the end;
//   - the records of one producer stand in another order in a partition than they were sent in;
//   - a mark is older than one that was answered before it was asked for, or a high watermark does not cover what had been acknowledged then.
func (l *Ledger) Check() []error {
	var faults []error
	for _, check := range []func() []error{l.checkAcked, l.checkRead, l.checkGroups, l.checkStored, l.checkMarks} {
		faults = append(faults, check()...)
	}
	return faults
}

// at is what is stored at an offset; false: nothing.
func (l *Ledger) at(partition int32, offset int64) (Value, bool) {
	stored := l.Stored[partition]
	if offset < 0 || offset >= int64(len(stored)) {
		return Value{}, false
	}
	return stored[offset].Value, true
}

func (l *Ledger) checkAcked() (faults []error) {
	for _, a := range l.Acked {
		if len(faults) >= maxFaults {
			break
		}
		switch v, ok := l.at(a.Partition, a.Offset); {
		case a.Offset < 0 && slices.ContainsFunc(l.Stored[a.Partition], func(s Stored) bool { return s.Value == a.Value }):
		case a.Offset < 0:
			faults = append(faults, fmt.Errorf("lost: %v was acknowledged and is nowhere in partition %d", a.Value, a.Partition))
		case !ok:
			faults = append(faults, fmt.Errorf("lost: %v was acknowledged at offset %d of partition %d, which ends at %d",
				a.Value, a.Offset, a.Partition, len(l.Stored[a.Partition])))
		case v != a.Value:
			faults = append(faults, fmt.Errorf("lost: %v was acknowledged at offset %d of partition %d, where %v is", a.Value, a.Offset, a.Partition, v))
		}
	}
	return faults
}

func (l *Ledger) checkRead() (faults []error) {
	for _, r := range l.Read {
		if len(faults) >= maxFaults {
			break
		}
		if v, ok := l.at(r.Partition, r.Offset); !ok || v != r.Value {
			faults = append(faults, fmt.Errorf("%v was read at offset %d of partition %d, where in the end is %v (there: %v)", r.Value, r.Offset, r.Partition, v, ok))
		}
	}
	return faults
}

func (l *Ledger) checkGroups() (faults []error) {
	type key struct {
		group     string
		partition int32
	}
	read := map[key][]bool{}
	for _, group := range slices.Concat(l.Groups, l.Skips) {
		for partition, values := range l.Stored {
			read[key{group, partition}] = make([]bool, len(values))
		}
	}
	for _, r := range l.Read {
		if of := read[key{r.Group, r.Partition}]; r.Offset >= 0 && r.Offset < int64(len(of)) {
			of[r.Offset] = true
		}
	}
	l.Passed = 0
	for k, of := range read {
		if slices.Contains(l.Skips, k.group) {
			for _, ok := range of {
				if !ok {
					l.Passed++
				}
			}
			continue
		}
		if first := slices.Index(of, false); first >= 0 {
			faults = append(faults, fmt.Errorf("passed over: group %s has never read offset %d of partition %d", k.group, first, k.partition))
		}
	}
	return faults[:min(len(faults), maxFaults)]
}

// place is where a record was seen first.
type place struct {
	seen      bool
	partition int32
	epoch     int16
}

func (l *Ledger) checkStored() (faults []error) {
	seen := map[int32][]place{}
	for producer, n := range l.Sent {
		seen[producer] = make([]place, n)
	}
	l.Resent = 0
	for partition, values := range l.Stored {
		last := map[int32]Stored{}
		for offset, v := range values {
			if len(faults) >= maxFaults {
				return faults
			}
			if v.Number < 0 || v.Number >= int64(len(seen[v.Producer])) {
				faults = append(faults, fmt.Errorf("never sent: %v at offset %d of partition %d", v.Value, offset, partition))
				continue
			}
			switch first := &seen[v.Producer][v.Number]; {
			case !first.seen:
				*first = place{true, partition, v.Epoch}
			case l.Bumps[v.Producer] && first.partition == partition && v.Epoch > first.epoch:
				first.epoch = v.Epoch
				l.Resent++
			default:
				faults = append(faults, fmt.Errorf("twice: %v, again at offset %d of partition %d", v.Value, offset, partition))
			}
			before, ok := last[v.Producer]
			if anew := l.Bumps[v.Producer] && v.Epoch > before.Epoch; ok && v.Number <= before.Number && !anew {
				faults = append(faults, fmt.Errorf("out of order: number %d of producer %d at offset %d of partition %d, behind number %d",
					v.Number, v.Producer, offset, partition, before.Number))
			}
			last[v.Producer] = v
		}
	}
	return faults
}

// known is something that holds from a time on: the offset of a mark is at least this.
type known struct {
	at     Time
	offset int64
	what   string
}

func (l *Ledger) checkMarks() (faults []error) {
	type key struct {
		of        string
		partition int32
	}
	facts, marks := map[key][]known{}, map[key][]Mark{}
	for _, a := range l.Acked {
		k := key{HighWatermark, a.Partition}
		facts[k] = append(facts[k], known{a.Told, max(a.Offset, -1) + 1, "an acknowledgement"})
	}
	for _, m := range l.Marks {
		k := key{m.Of, m.Partition}
		facts[k] = append(facts[k], known{m.Answered, m.Offset, fmt.Sprintf("an answer of broker %d", m.Broker)})
		marks[k] = append(marks[k], m)
	}
	for k, ms := range marks {
		faults = append(faults, goesBack(facts[k], ms)...)
	}
	return faults[:min(len(faults), maxFaults)]
}

// goesBack finds marks that are below what was known before they were asked for.
func goesBack(facts []known, marks []Mark) (faults []error) {
	slices.SortFunc(facts, func(a, b known) int { return cmp.Compare(a.at, b.at) })
	slices.SortFunc(marks, func(a, b Mark) int { return cmp.Compare(a.Asked, b.Asked) })
	var most known
	for _, m := range marks {
		for len(facts) > 0 && facts[0].at < m.Asked {
			if facts[0].offset > most.offset {
				most = facts[0]
			}
			facts = facts[1:]
		}
		if m.Offset < most.offset && len(faults) < maxFaults {
			faults = append(faults, fmt.Errorf("stale: broker %d answered %d for the %s of partition %d, %d ms after %s had it at %d",
				m.Broker, m.Offset, m.Of, m.Partition, (m.Asked-most.at)/1e6, most.what, most.offset))
		}
	}
	return faults
}
