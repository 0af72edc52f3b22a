// Package replication runs one Raft group a partition over the partition's own segment files: the record data is written
// once, and the Raft log is the log that consumers read.
package replication

import (
	"context"
	"errors"
	"log/slog"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs"
)

// ServerID names a broker within Raft groups: broker id and incarnation.
type ServerID string

// GroupID names a partition's Raft group: topic id and partition. Topics made again under an old name share nothing.
type GroupID struct {
	Topic     [16]byte
	Partition int32
}

// Errors that callers decide on.
var (
	ErrNotLeader      = errors.New("not the leader of this partition")
	ErrUnknownOutcome = errors.New("leadership was lost before the outcome was known") // the batch may still commit
	ErrClosed         = errors.New("replication group is closed")
	ErrDamaged        = errors.New("replica is fenced: its log is damaged")
)

// Committed is a record batch that can no longer be lost.
type Committed struct {
	Index  segment.Index
	Term   segment.Term
	Header batch.Header // stamped with base offset and leader epoch
	// Data is the very slice that was proposed, where this broker proposed it in this term; else nil.
	Data []byte
}

// Machine is the replicated state of a partition. The group calls it from one goroutine at a time.
type Machine interface {
	// Commit gets every batch once and in log order, counting from the checkpoint that was restored; after a restart it may see batches
	// below the state's own end again and skips them. It copies no data and must not block.
	Commit(batches []Committed)
	// Capture encodes the applied state for a checkpoint.
	Capture() ([]byte, error)
	// Restore replaces the applied state by what Capture made; nil is the empty state.
	Restore(state []byte) error
	// Leading is called with true once this broker leads and everything of earlier terms is committed and applied, and with
	// false when it no longer leads. epoch is the Raft term.
	Leading(leads bool, epoch segment.Term)
}

// NodeOptions say what all groups of one broker share.
type NodeOptions struct {
	FS     vfs.FS // nil: the operating system
	Dir    string // votes.db lies here
	Self   ServerID
	Logger *slog.Logger // nil: discards
	// TailCacheBytes bounds the entries kept in memory for followers, over all groups; 0: 64 MiB. Groups of one voter keep none.
	TailCacheBytes int64
}

// Node is what all Raft groups of one broker share: the votes file, the transport, the elector and the tail cache.
type Node struct{}

// OpenNode opens the votes file.
func OpenNode(o NodeOptions) (*Node, error) { panic("unimplemented") }

// Close closes what is shared; the groups must be closed before.
func (n *Node) Close() error { panic("unimplemented") }

// DropVotes forgets a group's votes, the last step of its deletion.
func (n *Node) DropVotes(id GroupID) error { panic("unimplemented") }

// GroupOptions of OpenGroup.
type GroupOptions struct {
	ID  GroupID
	Log *segment.Log // the group owns it until Close, but for reads
	// Voters is the group's first configuration, used only where neither the log nor the votes know of any.
	Voters  []ServerID
	Machine Machine
}

// Group is one partition's Raft group on this broker.
type Group struct{}

// OpenGroup restores the machine from the log's checkpoint and starts the group; a lone voter leads within milliseconds.
// ErrDamaged when the log is damaged below its synced mark.
func (n *Node) OpenGroup(o GroupOptions) (*Group, error) { panic("unimplemented") }

// Propose gives data, one validated record batch, to the group for good: nobody may touch it again but the group. Proposals
// keep their order. done is called exactly once when the outcome is known to be a failure; a success is told by Machine.Commit with the same slice.
// It does not block while fewer than MaxInFlight proposals are under way, which the caller sees to.
func (g *Group) Propose(data []byte, failed func(error)) { panic("unimplemented") }

// MaxInFlight is how many proposals a group takes at once (hashicorp/raft's MaxAppendEntries).
const MaxInFlight = 256

// Leader says who leads as far as this broker knows ("" nobody) and in which term.
func (g *Group) Leader() (ServerID, segment.Term) { panic("unimplemented") }

// Voters lists the voters of the newest configuration.
func (g *Group) Voters() []ServerID { panic("unimplemented") }

// Checkpoint writes a checkpoint now.
func (g *Group) Checkpoint() error { panic("unimplemented") }

// Close writes a checkpoint, stops Raft and closes the log cleanly. Proposals under way fail.
func (g *Group) Close(ctx context.Context) error { panic("unimplemented") }
