// Package consumergroup is the group coordinators: each partition of the journal (__consumer_offsets) has a goroutine that alone changes
// the groups in it, and replies only when what it has written is committed.
package consumergroup

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
)

// JournalTopic is the topic that the journal is.
const JournalTopic = "__consumer_offsets"

// Log is one partition of the journal. Its calls are made one after the other.
type Log interface {
	// Append takes one record batch, with base offset 0, for good, and returns when it is committed. After an error nobody knows whether it is
	// there; but what is appended later comes after it, or it never comes.
	Append(ctx context.Context, batch []byte) error
	// Read returns whole batches from the one that holds from (or the first one after), about maxBytes but one batch at least; none at the high watermark. The bytes are the caller's.
	Read(ctx context.Context, from int64, maxBytes int) ([]byte, error)
	// Leads says whether nobody else can have been made leader yet. It is asked before each answer, and does not wait.
	Leads() bool
}

// Options of a Coordinator.
type Options struct {
	Partitions int // of the journal; it never changes
	Classic    classic.Config
	Consumer   consumer.Config // Classic nil: the field above
	// Topics is the cluster's topics now. It is called often and must be cheap.
	Topics            func() consumer.Topics
	OffsetsRetention  time.Duration // offsets.retention.minutes; 0: for ever
	RetentionCheck    time.Duration // offsets.retention.check.interval.ms; 0: 10 min
	MaxOffsetMetadata int           // offset.metadata.max.bytes, counted in characters as Kafka does; 0: 4096
	MaxGroups         int           // over all partitions of the journal here; more are refused; 0: unbounded
	MaxBytes          int64         // of memory that all groups together hold, about; what would make them larger is refused; 0: unbounded
	MaxBatch          int           // bytes of a journal batch, and of one entry; 0: 1 MiB less 64 KiB
	Logger            *slog.Logger  // nil: discards
}

const (
	defaultMaxBatch          = 1<<20 - 64<<10
	defaultMaxOffsetMetadata = 4096
	defaultRetentionCheck    = 10 * time.Minute
)

// Coordinator serves the groups whose journal partitions this broker leads.
type Coordinator struct {
	o      Options
	log    *slog.Logger
	groups atomic.Int64 // in all shards
	bytes  atomic.Int64 // that they hold, about
	full   atomic.Bool  // that they hold too much has been said

	leading sync.Mutex              // taken for changes of what is led
	shards  []atomic.Pointer[shard] // by journal partition; nil: led elsewhere
}

// New is a coordinator that leads nothing yet.
func New(o Options) *Coordinator {
	c := &Coordinator{o: o, log: o.Logger, shards: make([]atomic.Pointer[shard], o.Partitions)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.o.Consumer.Classic == nil {
		c.o.Consumer.Classic = &c.o.Classic
	}
	if c.o.RetentionCheck <= 0 {
		c.o.RetentionCheck = defaultRetentionCheck
	}
	if c.o.MaxOffsetMetadata <= 0 {
		c.o.MaxOffsetMetadata = defaultMaxOffsetMetadata
	}
	if c.o.MaxBatch <= 0 {
		c.o.MaxBatch = defaultMaxBatch
	}
	return c
}

// PartitionFor is the journal partition of a group: Kafka's, from the hash of its id as Java has it (over UTF-16).
func PartitionFor(group string, partitions int) int32 {
	var h uint32
	for i := 0; i < len(group); {
		if b := group[i]; b < utf8.RuneSelf {
			h, i = 31*h+uint32(b), i+1
			continue
		}
		r, size := utf8.DecodeRuneInString(group[i:])
		if i += size; r > 0xffff {
			r -= 0x10000
			h = 31*h + uint32(0xd800+r>>10)
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + uint32(r)
	}
	n := int32(h)
	if n == math.MinInt32 {
		return 0 // Kafka's abs
	}
	return max(n, -n) % int32(partitions)
}

// Lead begins to coordinate the groups of a journal partition: it is loaded in the background, and requests get
// COORDINATOR_LOAD_IN_PROGRESS meanwhile. After an append that failed it is loaded again until Resign. Where the partition was led
// already that ends first, as with Resign: what was written by others in between is read.
func (c *Coordinator) Lead(partition int32, log Log) {
	c.leading.Lock()
	defer c.leading.Unlock()
	c.resign(partition)
	c.shards[partition].Store(startShard(c, partition, log))
}

// Resign ends that: waiting calls get NOT_COORDINATOR, and so does what comes from now on. It returns when nothing is appended any more.
func (c *Coordinator) Resign(partition int32) {
	c.leading.Lock()
	defer c.leading.Unlock()
	c.resign(partition)
}

func (c *Coordinator) resign(partition int32) {
	if s := c.shards[partition].Swap(nil); s != nil {
		s.stop()
		<-s.done
	}
}

// Close resigns everywhere.
func (c *Coordinator) Close(ctx context.Context) error {
	c.leading.Lock()
	defer c.leading.Unlock()
	var stopped []*shard
	for i := range c.shards {
		if s := c.shards[i].Swap(nil); s != nil {
			s.stop()
			stopped = append(stopped, s)
		}
	}
	for _, s := range stopped {
		select {
		case <-s.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// TopicsDeleted forgets the offsets committed for topics that are gone. It does not wait.
func (c *Coordinator) TopicsDeleted(names []string) {
	for i := range c.shards {
		if s := c.shards[i].Load(); s != nil {
			s.queue.forget(names)
		}
	}
}

// send gives a call to the shard of a journal partition.
func (c *Coordinator) send(partition int32, call *step.Call) {
	s := c.shards[partition].Load()
	if s == nil {
		call.Answer(step.Failure(call.Request, kerr.NotCoordinator))
		return
	}
	if s.atOnce(call) {
		return
	}
	if err := s.queue.push(call); err != nil {
		call.Answer(refusal(call.Request, err))
	}
}
