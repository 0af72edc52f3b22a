// Package classic is the state machine of a group of the classic protocol: members join, a leader among them assigns, all sync.
package classic

import (
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Config is what the broker's configuration says about classic groups.
type Config struct {
	MinSession, MaxSession time.Duration // group.min/max.session.timeout.ms
	InitialDelay           time.Duration // group.initial.rebalance.delay.ms
	MaxSize                int           // group.max.size; 0: unbounded
	MaxRecord              int           // bytes that a group may take in the journal; 0: 1 MiB
	// UUID makes member ids unique. nil: random.
	UUID func() string
}

// Group is one classic group. It is not safe for concurrent use.
type Group struct {
	id         string
	config     *Config
	generation int32
	protocol   string
	members    []*Member
	byID       map[string]*Member
}

// New is a group without members. A request to a group that does not exist is answered by one too: unless it is Idle after that, the group exists.
func New(id string, c *Config) *Group { panic("unimplemented") }

// Restore is the group that an entry (with a value) describes; sessions begin anew at now.
func Restore(e *journal.GroupMetadata, c *Config, now time.Time) *Group { panic("unimplemented") }

// FromMembers is a stable group of consumers (protocol type "consumer") with members that come from elsewhere; sessions begin at now. The protocol is
// chosen among those that all offer: INCONSISTENT_GROUP_PROTOCOL where there is none. Assignments are set by the caller, who then calls Store and, where
// the members have to assign anew, Rebalance.
func FromMembers(id string, c *Config, generation int32, members []*Member, now time.Time) (*Group, error) {
	panic("unimplemented")
}

// Store writes the group as it is to the journal.
func (g *Group) Store(s *step.Step) { panic("unimplemented") }

// Rebalance asks all members to join again.
func (g *Group) Rebalance(s *step.Step) { panic("unimplemented") }

// Join handles a *kmsg.JoinGroupRequest.
func (g *Group) Join(s *step.Step, c *step.Call) { panic("unimplemented") }

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call) { panic("unimplemented") }

// Heartbeat handles a *kmsg.HeartbeatRequest.
func (g *Group) Heartbeat(s *step.Step, c *step.Call) { panic("unimplemented") }

// Leave handles a *kmsg.LeaveGroupRequest.
func (g *Group) Leave(s *step.Step, c *step.Call) { panic("unimplemented") }

// Tick does what is due at s.Now: members whose session ended, rebalances whose time is over.
func (g *Group) Tick(s *step.Step) { panic("unimplemented") }

// Deadline is when Tick is wanted at the latest; it may be early. Zero: nothing is waited for.
func (g *Group) Deadline() time.Time { panic("unimplemented") }

// CheckCommit says whether a commit of offsets by a member may pass (generation -1 and no member: from outside the group). One that
// passes counts as a heartbeat.
func (g *Group) CheckCommit(s *step.Step, member string, instance *string, generation int32) error {
	panic("unimplemented")
}

// Fail answers all calls that wait with err: the coordinator is moving (NOT_COORDINATOR), or the group changes its protocol (REBALANCE_IN_PROGRESS).
func (g *Group) Fail(s *step.Step, err error) { panic("unimplemented") }

// Empty says that there are no members. Such a group may be deleted: the coordinator writes a GroupMetadata without a value and forgets it.
func (g *Group) Empty() bool { panic("unimplemented") }

// Idle says that the group is Empty, that nobody has got a member id to join with, and that the journal has nothing of it: but for committed offsets, it
// need not be remembered.
func (g *Group) Idle() bool { panic("unimplemented") }

// State is the group's state as Kafka spells it: Empty, PreparingRebalance, CompletingRebalance, Stable. (A group that is gone is Dead.)
func (g *Group) State() string { panic("unimplemented") }

// ProtocolType is "consumer" for consumers; "" for a group that never had a member.
func (g *Group) ProtocolType() string { panic("unimplemented") }

// EmptySince is when the last member left, for the retention of offsets; zero where unknown.
func (g *Group) EmptySince() time.Time { panic("unimplemented") }

// SubscribedTo says whether a member reads the topic, as far as the broker can tell (protocol type consumer).
func (g *Group) SubscribedTo(topic string) bool { panic("unimplemented") }

// Describe fills in state, protocol and members.
func (g *Group) Describe(into *kmsg.DescribeGroupsResponseGroup) { panic("unimplemented") }
