// Package segment is the ordered set of segment files of one partition's log: Kafka's own record batches back to back, with
// a sparse checksummed index beside them, and the Raft entries that are not record batches in a small side file.
//
// What always holds: an entry's offset and Raft index are pure functions of the log prefix; only Raft's own entries use an
// index without an offset; index, term and offset never go back along the log.
package segment

import (
	"errors"

	"github.com/quirelog/quire/segment/batch"
)

// Offset is the position of a record in the partition.
type Offset = batch.Offset

// Index is the position of an entry in the partition's Raft log, 1 for the first. It is not an Offset.
type Index uint64

// Term is a Raft term; the leader epoch of a batch is its term.
type Term uint64

// Kind tells record batches from Raft's own entries. The other values are hashicorp/raft's LogType as they are.
type Kind uint8

// KindBatch is an entry whose data is one record batch.
const KindBatch Kind = 0

// Entry is one entry of the Raft log.
type Entry struct {
	Index Index
	Term  Term
	Kind  Kind
	// Data is one whole record batch (KindBatch) or Raft's payload.
	Data []byte
}

// EpochStart says that leader epoch Epoch begins at offset Start.
type EpochStart struct {
	Epoch int32
	Start Offset
}

// TimestampOffset is the answer to a lookup by timestamp.
type TimestampOffset struct {
	Offset    Offset
	Timestamp int64 // ms since the epoch
	Epoch     int32 // leader epoch of the record's batch
}

// Checkpoint is the point below which the log is known to be durable and committed, with the state that belongs to it.
type Checkpoint struct {
	Index Index  // last entry covered
	Term  Term   // its term
	End   Offset // offset after the last record covered
	Start Offset // log start offset
	State []byte // replication's own: Raft configuration, applied producer state
}

// Errors that callers decide on.
var (
	ErrNotFound         = errors.New("no such log entry")   // index below the first or above the last
	ErrOffsetOutOfRange = errors.New("offset out of range") // below the log start or above the end
	ErrDamaged          = errors.New("log is damaged below its synced mark")
	ErrFailed           = errors.New("log has failed") // an earlier write or sync failed: refused until reopened
	ErrClosed           = errors.New("log is closed")
)
