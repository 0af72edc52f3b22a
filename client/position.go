package client

import (
	"fmt"
	"time"
)

// Position is where a replay starts in each partition. The zero value is FromStart.
type Position struct {
	kind    positionKind
	offset  int64
	offsets map[int32]int64
	time    time.Time
	age     time.Duration
}

type positionKind uint8

const (
	atStart positionKind = iota
	atEnd
	atOffset
	atOffsets
	atTime
	atAge
)

// FromStart is the first record there is.
func FromStart() Position { return Position{} }

// FromEnd is after the last record there is when the replay begins: for a replay that goes on.
func FromEnd() Position { return Position{kind: atEnd} }

// FromOffset is the record at an offset of every partition; a partition that ends before has nothing to replay up to it. An
// offset whose record was deleted is an error, kerr.OffsetOutOfRange: nothing is left out unnoticed.
func FromOffset(offset int64) Position { return Position{kind: atOffset, offset: offset} }

// FromOffsets is FromOffset for each partition that is named, and FromStart for the others: with the offsets after the last
// ones handled, a replay goes on where another left off.
func FromOffsets(offsets map[int32]int64) Position {
	return Position{kind: atOffsets, offsets: offsets}
}

// FromTime is the first record whose timestamp is t or later, to the millisecond. Records after it with an earlier timestamp
// are replayed too.
func FromTime(t time.Time) Position { return Position{kind: atTime, time: t} }

// FromAge is FromTime of age ago, by this machine's clock when the replay begins.
func FromAge(age time.Duration) Position { return Position{kind: atAge, age: age} }

// String is for error messages: "offset 7", "2026-11-23T21:00:00Z".
func (p Position) String() string {
	switch p.kind {
	case atEnd:
		return "the end"
	case atOffset:
		return fmt.Sprintf("offset %d", p.offset)
	case atOffsets:
		return fmt.Sprintf("offsets %v", p.offsets)
	case atTime:
		return p.time.UTC().Format(time.RFC3339Nano)
	case atAge:
		return p.age.String() + " ago"
	}
	return "the start"
}

// timestamp is the time that the position stands for at now, if it is one.
func (p Position) timestamp(now time.Time) (time.Time, bool) {
	switch p.kind {
	case atTime:
		return p.time, true
	case atAge:
		return now.Add(-p.age), true
	}
	return time.Time{}, false
}
