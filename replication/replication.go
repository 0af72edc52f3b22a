// Package replication runs one Raft group a partition over the partition's own segment files: the record data is written
// once, and the Raft log is the log that consumers read.
//
// A Node is what the groups of one broker share, a Group is this broker's replica of one partition. hashicorp/raft decides
// who leads and what is committed; the stores that it asks for are thin: logStore over segment.Log, checkpoints (the
// log's checkpoint file) for snapshots, and votes (one bbolt file a broker) for terms and votes.
package replication

import (
	"errors"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// ServerID names a broker within Raft groups: "<broker id>-<incarnation>". It is the library's type, by a name that all rooms may use.
type ServerID = raft.ServerID

// GroupID names a partition's Raft group: topic id and partition.
type GroupID = transport.GroupID

// Errors that callers decide on.
var (
	ErrNotLeader      = errors.New("not the leader of this partition")
	ErrUnknownOutcome = errors.New("leadership was lost before the outcome was known") // the batch may still commit
	ErrClosed         = errors.New("replication group is closed")
	ErrDamaged        = errors.New("replica is fenced: its log is damaged")
	// ErrStateLost: the votes file knows this replica, but its log is gone, or the other way round. It may have promised
	// what it no longer remembers, so it must never vote as itself again.
	ErrStateLost = errors.New("replica is fenced: its log and its votes do not belong together")
)

// MaxInFlight is how many proposals a group takes at once (hashicorp/raft's MaxAppendEntries).
const MaxInFlight = 256

// Committed is a record batch that can no longer be lost.
type Committed struct {
	Index  segment.Index
	Term   segment.Term
	Header batch.Header // stamped with base offset and leader epoch
	// Data is the very slice that was proposed, where this broker proposed it in this term and has not been told that it
	// failed; else nil.
	Data []byte
}

// Machine is the replicated state of a partition. The group calls it from one goroutine at a time, and holds a lock while
// it does: the machine must not call Checkpoint or Close of the group.
type Machine interface {
	// Commit gets every batch once and in log order, counting from the checkpoint that was restored; after a restart it may see batches
	// below the state's own end again and skips them. It copies no data and must not block. The slice is the group's: it is
	// used again after the call.
	Commit(batches []Committed)
	// Capture encodes the applied state for a checkpoint.
	Capture() ([]byte, error)
	// Restore replaces the applied state by what Capture made; nil is the empty state.
	Restore(state []byte) error
	// Leading is called with true once this broker leads and everything of earlier terms is committed and applied, and with
	// false when it no longer leads. epoch is the Raft term that begins or ends.
	Leading(leads bool, epoch segment.Term)
}
