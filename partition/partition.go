// Package partition is one broker's replica of one partition: append, fetch, high watermark, producer state; and the manager
// that opens and closes replicas.
package partition

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// Offset is the position of a record in the partition.
type Offset = segment.Offset

// ID names a partition by topic id.
type ID = replication.GroupID

// Errors that callers decide on. The broker maps them to Kafka's codes in broker/errors.go.
var (
	ErrNotLeader          = errors.New("not the leader of this partition")
	ErrUnknownOutcome     = errors.New("the outcome of the append is unknown")
	ErrClosed             = errors.New("partition is closed")
	ErrOffsetOutOfRange   = segment.ErrOffsetOutOfRange
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	ErrInvalidEpoch       = errors.New("producer epoch is older than the one known")
	ErrFencedLeaderEpoch  = errors.New("leader epoch is older than the current one")
	ErrUnknownLeaderEpoch = errors.New("leader epoch is newer than the current one")
	ErrDamaged            = errors.New("replica is fenced: its log is damaged")
	ErrDiskFull           = errors.New("disk is nearly full")
)

// Acks says when an append answers.
type Acks int8

// The values of Kafka's acks.
const (
	AcksNone   Acks = 0  // never: the caller does not wait
	AcksLeader Acks = 1  // the leader has stored it as the durability mode wants
	AcksAll    Acks = -1 // committed
)

// Config is a partition's part of its topic's configuration.
type Config struct {
	SegmentBytes  int64
	SegmentAge    time.Duration
	LogAppendTime bool // message.timestamp.type=LogAppendTime
}

// Appended is where a batch went.
type Appended struct {
	Base       Offset
	AppendTime int64 // ms since the epoch under LogAppendTime, else -1
	LogStart   Offset
}

// Pending is an append under way.
type Pending struct{}

// Wait returns the outcome. When ctx ends first the batch may still commit: ErrUnknownOutcome.
func (a *Pending) Wait(ctx context.Context) (Appended, error) { panic("unimplemented") }

// Partition is this broker's replica.
type Partition struct{}

// Append gives data, one batch that batch.Validate has passed as h, to the partition for good: the caller may not touch it again. Appends of one caller keep their order.
// It checks idempotence (the last five sequences of a producer, in-flight batches included: a repeat gets the first
// one's outcome) and blocks while too much is in flight (replication.MaxInFlight batches, 8 MiB), until ctx ends.
func (p *Partition) Append(ctx context.Context, data []byte, h batch.Header, acks Acks) (*Pending, error) {
	panic("unimplemented")
}

// Marks are a replica's offsets at one moment.
type Marks struct {
	LogStart      Offset
	HighWatermark Offset
	LastStable    Offset
	Epoch         int32 // leader epoch
}

// CurrentEpoch is what a request says the leader epoch is (KIP-320); -1: it does not say.
type CurrentEpoch int32

// Marks returns the offsets, if this replica leads: ErrNotLeader, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch.
func (p *Partition) Marks(e CurrentEpoch) (Marks, error) { panic("unimplemented") }

// Read returns whole batches from the one that holds from on, below the high watermark: up to maxBytes, but one batch at least. The chunk must be closed. Errors as Marks and
// ErrOffsetOutOfRange, with which the marks are still valid.
func (p *Partition) Read(from Offset, maxBytes int, e CurrentEpoch) (segment.Chunk, Marks, error) {
	panic("unimplemented")
}

// Available is about how many bytes lie from from to the high watermark.
func (p *Partition) Available(from Offset) int64 { panic("unimplemented") }

// Waiter is woken when a partition it watches gets new committed records, stops leading or closes.
type Waiter struct{}

// NewWaiter makes one, for one goroutine.
func NewWaiter() *Waiter { panic("unimplemented") }

// C receives when something happened since the last receive (it holds one token).
func (w *Waiter) C() <-chan struct{} { panic("unimplemented") }

// Watch adds w to p's waiters; Unwatch removes it.
func (p *Partition) Watch(w *Waiter) { panic("unimplemented") }

// Unwatch removes w from p's waiters.
func (p *Partition) Unwatch(w *Waiter) { panic("unimplemented") }

// OffsetForTimestamp, MaxTimestamp: see segment.Log, below the high watermark.
func (p *Partition) OffsetForTimestamp(ts int64) (segment.TimestampOffset, bool, error) {
	panic("unimplemented")
}

// MaxTimestamp finds the record with the largest timestamp below the high watermark.
func (p *Partition) MaxTimestamp() (segment.TimestampOffset, bool, error) { panic("unimplemented") }

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch at or below epoch that this log knows and the offset at which it
// ends. (-1, -1) when the log knows none (KIP-101, KIP-279).
func (p *Partition) EpochEnd(epoch int32) (int32, Offset) { panic("unimplemented") }

// EpochAt is the leader epoch of the record at o; -1 if there is none.
func (p *Partition) EpochAt(o Offset) int32 { panic("unimplemented") }

// Leader is who leads, as far as this broker knows ("" nobody), and the leader epoch.
func (p *Partition) Leader() (replication.ServerID, int32) { panic("unimplemented") }

// Size is the bytes on disk.
func (p *Partition) Size() int64 { panic("unimplemented") }

// ProducerState is one producer as the partition knows it.
type ProducerState struct {
	ID            int64
	Epoch         int16
	LastSequence  int32
	LastTimestamp int64 // ms since the epoch
}

// Producers lists the producers with applied state.
func (p *Partition) Producers() []ProducerState { panic("unimplemented") }

// Options of a Manager.
type Options struct {
	FS          vfs.FS // nil: the operating system
	Dir         string // the data directory: <dir>/<topic>-<partition>/
	Node        *replication.Node
	Flusher     *flush.Flusher
	Now         func() time.Time // nil: time.Now
	ProducerTTL time.Duration    // a producer idle this long is forgotten; 0: 24 h
	MinFree     uint64           // bytes free on the disk below which appends get ErrDiskFull; 0: 64 MiB
	Logger      *slog.Logger
}

// Manager opens, finds, closes and deletes the partitions of one broker.
type Manager struct{}

// NewManager finishes deletions that a crash interrupted (directories named *.deleted) and opens nothing.
func NewManager(o Options) (*Manager, error) { panic("unimplemented") }

// Spec says which partition to open.
type Spec struct {
	ID     ID
	Topic  string
	Voters []replication.ServerID
	Config Config
}

// Open opens a partition, making its directory if it is new; partition.meta in it carries the topic id. A directory of the same name with
// another id is a topic that was deleted meanwhile: it is deleted.
func (m *Manager) Open(s Spec) (*Partition, error) { panic("unimplemented") }

// Get finds an open partition by topic name, ByID by topic id; nil if there is none.
func (m *Manager) Get(topic string, n int32) *Partition { panic("unimplemented") }

// ByID finds an open partition by topic id; nil if there is none.
func (m *Manager) ByID(id ID) *Partition { panic("unimplemented") }

// All lists the open partitions.
func (m *Manager) All() []*Partition { panic("unimplemented") }

// ID and Topic name a partition.
func (p *Partition) ID() ID { panic("unimplemented") }

// Topic is the topic's name.
func (p *Partition) Topic() string { panic("unimplemented") }

// Reconfigure changes a partition's configuration from now on.
func (p *Partition) Reconfigure(c Config) { panic("unimplemented") }

// Delete closes the partition, renames its directory to <topic id>-<partition>.deleted, removes it and drops the votes last.
func (m *Manager) Delete(ctx context.Context, id ID) error { panic("unimplemented") }

// Close closes all partitions cleanly, side by side.
func (m *Manager) Close(ctx context.Context) error { panic("unimplemented") }
