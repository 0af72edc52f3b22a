// Package offsets is the committed offsets of one group: a table that entries of the journal change.
package offsets

import (
	"iter"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
)

// Committed is a committed offset.
type Committed struct {
	Offset      int64
	LeaderEpoch int32 // -1: unknown
	Metadata    string
	CommitTime  int64 // ms since the epoch
	ExpireTime  int64 // ms since the epoch; -1: as the broker's retention says (only OffsetCommit versions 2 to 4 say otherwise)
}

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Table is what one group has committed. Its zero value is empty. It is not safe for concurrent use.
type Table struct{}

// Apply makes an entry of the journal true.
func (t *Table) Apply(e *journal.OffsetCommit) { panic("unimplemented") }

// Get finds a committed offset.
func (t *Table) Get(topic string, partition int32) (Committed, bool) { panic("unimplemented") }

// All goes over the table, by topic and partition.
func (t *Table) All() iter.Seq2[Partition, Committed] { panic("unimplemented") }

// Len is how many offsets there are.
func (t *Table) Len() int { panic("unimplemented") }

// Expired lists what has expired at now, where retention counts from the later of commit and since, the moment when the group (or its
// subscription to the topic) ended. A retention of 0 keeps what has no ExpireTime of its own. (KIP-211)
func (t *Table) Expired(now time.Time, retention time.Duration, since time.Time) []Partition {
	panic("unimplemented")
}
