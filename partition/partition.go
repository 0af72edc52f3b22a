// Package partition is one broker's replica of one partition: append, fetch, high watermark, producer state; and the manager
// that opens and closes replicas.
package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// Offset is the position of a record in the partition.
type Offset = segment.Offset

// ID names a partition by topic id.
type ID = replication.GroupID

// Errors that callers decide on. The broker maps them to Kafka's codes in broker/errors.go.
var (
	ErrNotLeader          = replication.ErrNotLeader
	ErrUnknownOutcome     = replication.ErrUnknownOutcome // the batch may still commit
	ErrClosed             = replication.ErrClosed
	ErrDamaged            = replication.ErrDamaged
	ErrOffsetOutOfRange   = segment.ErrOffsetOutOfRange
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	ErrInvalidEpoch       = errors.New("producer epoch is older than the one known")
	ErrFencedLeaderEpoch  = errors.New("leader epoch is older than the current one")
	ErrUnknownLeaderEpoch = errors.New("leader epoch is newer than the current one")
	ErrDiskFull           = errors.New("disk is nearly full")
	ErrTooFewReplicas     = errors.New("fewer replicas in sync than min.insync.replicas")
	// ErrTooFewAfterAppend: the batch is committed, but fewer replicas than min.insync.replicas have it, and are in sync to get it.
	ErrTooFewAfterAppend = errors.New("fewer replicas in sync than min.insync.replicas since the batch was appended")
	// ErrOffsetNotAvailable: the offset lies above what this follower knows to be committed, and may exist.
	ErrOffsetNotAvailable = errors.New("offset is not available on this replica yet")
)

// Config is a partition's part of its topic's configuration.
type Config struct {
	SegmentBytes  int64
	SegmentAge    time.Duration
	LogAppendTime bool // message.timestamp.type=LogAppendTime
	Retention     segment.Retention
	MinInsync     int // min.insync.replicas, for acks=all
}

// recordLog is what a partition reads of its segment.Log. The group alone writes to it.
type recordLog interface {
	StartOffset() Offset
	EndOffset() Offset
	Size() int64
	Read(from, limit Offset, maxBytes int) (segment.Chunk, error)
	BytesBetween(from, limit Offset) int64
	OffsetForTimestamp(ts int64, limit Offset) (segment.TimestampOffset, bool, error)
	MaxTimestamp(limit Offset) (segment.TimestampOffset, bool, error)
	Epochs() []segment.EpochStart
	RetainedFrom(r segment.Retention, limit Offset) Offset
	Reconfigure(s segment.Settings)
	Close() error
}

// raftGroup is what a partition uses of its replication.Group.
type raftGroup interface {
	Propose(data []byte, stored func(batch.Header), failed func(error))
	Trim(ctx context.Context, start segment.Offset) error
	Maintain() error
	Leader() (replication.ServerID, segment.Term)
	Leased() bool
	Voters() []replication.ServerID
	InSync(now time.Time) []replication.ServerID
	Confirmed(voters int) segment.Index
	Broken(err error)
	Close(ctx context.Context) error
}

// The values of Partition.role that are not the epoch of a leader.
const (
	roleFollower int64 = -1
	roleClosed   int64 = -2
	roleDamaged  int64 = -3 // a damaged one of several replicas: the others serve
	roleFailed   int64 = -4 // the log takes no more writes until it is opened again
)

// errFailed is what a partition answers whose log has failed for good: not ErrNotLeader, which sends clients looking for a
// leader.
var errFailed = fmt.Errorf("%w: %w", ErrDamaged, segment.ErrFailed)

// Partition is this broker's replica of one partition.
//
// What always holds:
//   - high is the end of what was committed and applied; it never goes back while the partition is open, and no read goes beyond it.
//   - high is stored before the appends that it covers are answered and before fetchers are woken.
//   - applied moves by Machine.Commit and Restore only. What a leader has proposed but not seen committed is in overlay and
//     window, and overlay is empty whenever role is not an epoch.
//   - Sequences are judged only in a leadership in which every earlier batch's outcome is known: an unknown outcome
//     ends it (role becomes roleFollower) until the group says Leading(true) again.
//   - Batches are proposed in the order in which they were judged.
//
// Lock order: order, then mu; nothing else is locked or waited for under mu. Watchers have their own lock, taken under
// neither.
type Partition struct {
	id       ID
	topic    string
	spec     Spec
	log      recordLog
	group    raftGroup // nil when it was damaged already when it was opened
	self     replication.ServerID
	now      func() time.Time
	disk     *diskGuard
	logger   *slog.Logger
	watchers watchers
	leading  watchers // those of leadership alone

	appendTime atomic.Bool  // Config.LogAppendTime
	minInsync  atomic.Int32 // Config.MinInsync
	retention  atomic.Pointer[segment.Retention]
	config     atomic.Pointer[Config]    // all of it
	fenced     atomic.Pointer[string]    // why the log is not to be trusted: nothing is appended; nil: it is
	next       atomic.Pointer[Partition] // what took p's place when its log was replaced
	high       atomic.Int64              // high watermark; written under mu
	changes    atomic.Uint64
	role       atomic.Int64 // the leader epoch while this replica leads, else one of role…; written under mu

	order sync.Mutex // held from judging a batch until it is proposed

	mu         sync.Mutex // guards what follows
	applied    producers  // written by the group's goroutine, under mu; so that goroutine may read it without
	overlay    overlay
	window     window
	waiting    []confirmation // committed, and not yet where min.insync.replicas wants it; in log order
	epochStart Offset         // log end when the current leadership began
}

// ID names the partition.
func (p *Partition) ID() ID { return p.id }

// Topic is the topic's name.
func (p *Partition) Topic() string { return p.topic }

// LeadershipChanges is how often this replica has begun or ceased to lead since it was opened.
func (p *Partition) LeadershipChanges() uint64 { return p.changes.Load() }

// Size is the bytes on disk.
func (p *Partition) Size() int64 { return p.log.Size() }

// Reconfigure changes the partition's configuration from now on.
func (p *Partition) Reconfigure(c Config) {
	p.configure(&c)
	p.log.Reconfigure(segment.Settings{SegmentBytes: c.SegmentBytes, SegmentAge: c.SegmentAge})
	if next := p.next.Load(); next != nil { // whoever asked has found p just before it was replaced
		next.Reconfigure(c)
	}
}

func (p *Partition) configure(c *Config) {
	p.appendTime.Store(c.LogAppendTime)
	p.minInsync.Store(int32(c.MinInsync))
	p.retention.Store(&c.Retention)
	p.config.Store(c)
}

// Leader is who leads, as far as this broker knows ("" nobody), and the leader epoch.
func (p *Partition) Leader() (replication.ServerID, int32) {
	role := p.role.Load()
	switch {
	case role == roleDamaged:
	case p.group != nil:
		leader, term := p.group.Leader()
		if leader == p.self && role == roleFailed {
			return "", -1
		}
		return leader, int32(term)
	case role >= 0:
		return p.self, int32(role) // damaged, but the only one to read from
	}
	return "", -1
}

// Damaged says whether the replica is fenced because its log is damaged or has failed. The only replica of a partition is
// read-only, up to the damage; one of several, and one whose log has failed since it was opened, serves nothing.
func (p *Partition) Damaged() bool { return p.fenced.Load() != nil || p.role.Load() == roleFailed }

// Group is the partition's Raft group; nil: there is none, since the replica is fenced.
func (p *Partition) Group() *replication.Group {
	if p.role.Load() == roleDamaged {
		return nil
	}
	g, _ := p.group.(*replication.Group)
	return g
}

// LeadsIn is the leader epoch in which this replica leads and serves, whether or not it has a lease.
func (p *Partition) LeadsIn() (epoch int32, leads bool) {
	role := p.role.Load()
	return int32(role), role >= 0
}

// ProducerState is one producer as the partition knows it.
type ProducerState struct {
	ID            int64
	Epoch         int16
	LastSequence  int32
	LastTimestamp int64 // ms since the epoch
}

// Producers lists the producers with applied state, by id.
func (p *Partition) Producers() []ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied.list(p.now().UnixMilli())
}

// setRole is called with mu held. What was in flight in another role is no longer judged by. A closed partition stays closed,
// one that is fenced can only be closed, and one whose log has failed can only be fenced or closed.
func (p *Partition) setRole(role int64) {
	switch p.role.Load() {
	case roleClosed:
	case roleDamaged:
		if role == roleClosed {
			p.role.Store(role)
		}
	case roleFailed:
		if role == roleClosed || role == roleDamaged {
			p.role.Store(role)
		}
	default:
		p.role.Store(role)
	}
	clear(p.overlay)
}

// close refuses what comes from now on, fails what waits and closes the group with its log.
func (p *Partition) close(ctx context.Context) error {
	p.mu.Lock()
	p.setRole(roleClosed)
	wake := p.window.refuse(ErrClosed)
	wake.join(p.giveUpWaiting(ErrClosed))
	p.mu.Unlock()
	wake.fire()
	p.wakeAll()
	if p.group == nil {
		return p.log.Close()
	}
	return p.group.Close(ctx)
}
