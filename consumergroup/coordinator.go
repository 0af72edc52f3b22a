// Package consumergroup is the group coordinators: each partition of the journal (__consumer_offsets) has a goroutine that alone changes
// the groups in it, and replies only when what it has written is committed.
package consumergroup

import (
	"context"
	"log/slog"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/quirelog/quire/consumergroup/step"
)

// JournalTopic is the topic that the journal is.
const JournalTopic = "__consumer_offsets"

// Log is one partition of the journal.
type Log interface {
	// Append takes one record batch, with base offset 0, for good, and returns when it is committed. After an error nobody knows whether it is
	// there.
	Append(ctx context.Context, batch []byte) error
	// Read returns whole batches from the one that holds from (or the first one after), about maxBytes but one batch at least; none at the high watermark. The bytes are the caller's.
	Read(ctx context.Context, from int64, maxBytes int) ([]byte, error)
}

// Options of a Coordinator.
type Options struct {
	Partitions int // of the journal; it never changes
	Classic    classic.Config
	Consumer   consumer.Config
	// Topics is the cluster's topics now.
	Topics            func() consumer.Topics
	OffsetsRetention  time.Duration // offsets.retention.minutes; 0: for ever
	RetentionCheck    time.Duration // offsets.retention.check.interval.ms
	MaxOffsetMetadata int           // offset.metadata.max.bytes
	MaxGroups         int           // over all partitions of the journal here; more are refused
	MaxBatch          int           // bytes of a journal batch
	Logger            *slog.Logger  // nil: discards
}

// Coordinator serves the groups whose journal partitions this broker leads.
type Coordinator struct{}

// New is a coordinator that leads nothing yet.
func New(o Options) *Coordinator { panic("unimplemented") }

// PartitionFor is the journal partition of a group: Kafka's, from the hash of its id as Java has it.
func PartitionFor(group string, partitions int) int32 { panic("unimplemented") }

// Lead begins to coordinate the groups of a journal partition: it is loaded in the background, and requests get
// COORDINATOR_LOAD_IN_PROGRESS meanwhile. After an append that failed it is loaded again until Resign.
func (c *Coordinator) Lead(partition int32, log Log) { panic("unimplemented") }

// Resign ends that: waiting calls get NOT_COORDINATOR, and so does what comes from now on. It returns when nothing is appended any more.
func (c *Coordinator) Resign(partition int32) { panic("unimplemented") }

// Handle answers any group request (OffsetCommit, OffsetFetch, JoinGroup, Heartbeat, LeaveGroup, SyncGroup, DescribeGroups, ListGroups,
// DeleteGroups, OffsetDelete, ConsumerGroupHeartbeat, ConsumerGroupDescribe), now or later. It does not wait.
func (c *Coordinator) Handle(call *step.Call) { panic("unimplemented") }

// TopicsDeleted forgets the offsets committed for topics that are gone.
func (c *Coordinator) TopicsDeleted(names []string) { panic("unimplemented") }

// GroupOffsets is one group for the metrics.
type GroupOffsets struct {
	Group   string
	State   string
	Members int
	Offsets map[offsets.Partition]int64
}

// Offsets is what all groups here have committed, for the metrics. It waits for every loaded partition's goroutine.
func (c *Coordinator) Offsets(ctx context.Context) ([]GroupOffsets, error) { panic("unimplemented") }

// Close resigns everywhere.
func (c *Coordinator) Close(ctx context.Context) error { panic("unimplemented") }
