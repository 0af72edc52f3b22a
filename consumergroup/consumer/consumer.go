// Package consumer is the state machine of a consumer group of the new protocol (KIP-848): the coordinator assigns, members reconcile.
package consumer

import (
	"iter"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Config is what the broker's configuration says about consumer groups. Each duration is looked up when it is used, so that a group may have its own.
type Config struct {
	Timing
	MaxSize   int       // group.consumer.max.size; 0: unbounded
	Migration Migration // group.consumer.migration.policy
	Classic   *classic.Config
	// Group is a group's own timing where it has one (dynamic configuration of a GROUP resource). nil: none has.
	Group func(id string) (Timing, bool)
}

// Timing is what a group's dynamic configuration may say.
type Timing struct {
	Session   time.Duration // consumer.session.timeout.ms
	Heartbeat time.Duration // consumer.heartbeat.interval.ms
	// Interval is the least time between two computations of the target assignment (consumer.assignment.interval.ms, KIP-1263); 0: none.
	Interval time.Duration
}

// Migration says between which protocols a group with members alive may change.
type Migration uint8

// The values of group.consumer.migration.policy.
const (
	Bidirectional Migration = iota
	Upgrades
	Downgrades
	Disabled
)

// Topic is a topic as assignors see it.
type Topic struct {
	ID         [16]byte
	Name       string
	Partitions int
}

// Topics is the cluster's topics at one moment. It never changes.
type Topics interface {
	Topic(name string) (Topic, bool)
	ByID(id [16]byte) (Topic, bool)
	All() iter.Seq[Topic]
	Version() uint64 // grows with every change
}

// Group is one consumer group. Its state changes by Apply alone, at runtime as when the journal is loaded; what is beside (timers) is not kept over a
// change of the coordinator. The handlers apply what they write: the coordinator calls Apply while loading, never after. It is not safe for concurrent use.
type Group struct{}

// New is a group without members.
func New(id string, c *Config) *Group { panic("unimplemented") }

// Apply makes an entry of the journal true. While loading nothing else is called.
func (g *Group) Apply(e journal.Entry) { panic("unimplemented") }

// Loaded starts the sessions of all members at now.
func (g *Group) Loaded(now time.Time) { panic("unimplemented") }

// Upgrade turns a classic group of consumers into one of the new protocol, its members staying alive (KIP-848, online migration).
func Upgrade(s *step.Step, old *classic.Group, c *Config, t Topics) (*Group, error) {
	panic("unimplemented")
}

// Downgrade is the classic group of the members that are left when none speaks the new protocol any more; nil while one does, or
// none is left.
func (g *Group) Downgrade(s *step.Step, t Topics) *classic.Group { panic("unimplemented") }

// Heartbeat handles a *kmsg.ConsumerGroupHeartbeatRequest.
func (g *Group) Heartbeat(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Join, Sync, ClassicHeartbeat and Leave serve members that speak the classic protocol in a group of the new one.
func (g *Group) Join(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// ClassicHeartbeat handles a *kmsg.HeartbeatRequest.
func (g *Group) ClassicHeartbeat(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Leave handles a *kmsg.LeaveGroupRequest.
func (g *Group) Leave(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Tick does what is due at s.Now.
func (g *Group) Tick(s *step.Step, t Topics) { panic("unimplemented") }

// Members is how many there are.
func (g *Group) Members() int { panic("unimplemented") }

// Deadline is when Tick is wanted at the latest; it may be early. Zero: nothing is waited for.
func (g *Group) Deadline() time.Time { panic("unimplemented") }

// PartitionCheck says whether the offset of one partition may be committed.
type PartitionCheck func(topicID [16]byte, partition int32) error

// CheckCommit says whether a commit of offsets may pass: epoch is the member epoch, or the generation of a classic member; -1 and no member: from
// outside the group. version is the request's. A member may be behind for partitions that it has had all the time: then each is asked for with the
// PartitionCheck that is returned (KIP-1251); nil: all may.
func (g *Group) CheckCommit(member string, epoch int32, version int16) (PartitionCheck, error) {
	panic("unimplemented")
}

// CheckFetch says whether offsets may be told to member in its epoch (nil and -1: to anybody).
func (g *Group) CheckFetch(member *string, epoch int32) error { panic("unimplemented") }

// Fail answers all calls that wait with err: the coordinator is moving.
func (g *Group) Fail(s *step.Step, err error) { panic("unimplemented") }

// Empty says that there are no members.
func (g *Group) Empty() bool { panic("unimplemented") }

// State is the group's state as Kafka spells it: Empty, Assigning, Reconciling, Stable, Dead.
func (g *Group) State() string { panic("unimplemented") }

// EmptySince is when the last member left; zero where unknown.
func (g *Group) EmptySince() time.Time { panic("unimplemented") }

// SubscribedTo says whether a member reads the topic.
func (g *Group) SubscribedTo(topic string) bool { panic("unimplemented") }

// Describe fills in state, epochs and members.
func (g *Group) Describe(into *kmsg.ConsumerGroupDescribeResponseGroup, t Topics) {
	panic("unimplemented")
}

// Tombstones writes the entries that delete the group.
func (g *Group) Tombstones(s *step.Step) { panic("unimplemented") }
