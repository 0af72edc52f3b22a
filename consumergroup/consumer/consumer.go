// Package consumer is the state machine of a consumer group of the new protocol (KIP-848): the coordinator assigns, members reconcile.
//
// Members tell what they subscribe to in heartbeats. A change of that, of the membership or of the topics' partitions bumps the group's epoch, and the
// next heartbeat computes a target assignment for it (target.go). Each member is led from what it has to what the target gives it, by itself and in its
// own time (reconcile.go): it first revokes, says so by what it reports to own, then moves to the target's epoch; a partition is given only when
// nobody holds it. Members of the classic protocol may take part while a group is being migrated (classic.go).
package consumer

import (
	"iter"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// Config is what the broker's configuration says about consumer groups. Each duration is looked up when it is used, so that a group may have its own.
type Config struct {
	Timing
	MaxSize   int       // group.consumer.max.size; 0: unbounded
	Migration Migration // group.consumer.migration.policy
	Classic   *classic.Config
	MaxRecord int // bytes that a member may describe itself with, since that is one record of the journal; 0: 1 MiB
	// Group is a group's own timing where it has one (dynamic configuration of a GROUP resource). nil: none has.
	Group func(id string) (Timing, bool)
}

func (c *Config) maxRecord() int {
	if c.MaxRecord > 0 {
		return c.MaxRecord
	}
	return 1 << 20
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
//
// What always holds:
//   - epochs never go back: member ≤ target ≤ group, but for a static member that is away (-2);
//   - a partition has one owner: the member that has it assigned or still has to give it back;
//   - every count beside the members and the regular expressions is derived from them.
type Group struct {
	id  string
	cfg *Config

	epoch       int32
	hash        int64 // of the subscribed topics' metadata
	targetEpoch int32
	targetTime  int64 // when the target was computed, ms since the epoch
	members     map[string]*member
	targets     map[string][]partition // by member, sorted; never changed in place
	resolved    map[string][]string    // the topics of each regular expression, sorted

	instances map[string]string    // static members, by instance id
	owners    map[partition]string // the member that has it
	names     map[string]int       // members that subscribe to a topic by name
	matched   map[string]int       // regular expressions that resolve to a topic
	patterns  map[string]int       // members that subscribe to a regular expression
	assignors map[string]int       // members that ask for an assignor
	classics  int                  // members that speak the classic protocol
	protocols map[string]int       // classic members that offer an assignor's protocol
	bytes     int                  // of what members say about themselves

	// Not in the journal.
	hashed     seen      // the topics that hash was last compared with
	lastMatch  seen      // the topics that all regular expressions were last resolved against
	matchedAt  time.Time // when that was
	next       time.Time // no timer of a member ends before; zero: none runs
	emptySince time.Time
}

// seen is the version of topics that were looked at. Its zero value is none.
type seen struct {
	any     bool
	version uint64
}

func (s seen) is(t Topics) bool { return s.any && s.version == t.Version() }

func see(t Topics) seen { return seen{true, t.Version()} }

// New is a group without members.
func New(id string, c *Config) *Group {
	g := &Group{id: id, cfg: c}
	g.reset()
	return g
}

// reset is the state of a group of which the journal knows nothing.
func (g *Group) reset() {
	g.epoch, g.targetEpoch, g.hash, g.targetTime = 1, 1, 0, 0
	g.members, g.targets, g.resolved = map[string]*member{}, map[string][]partition{}, map[string][]string{}
	g.instances, g.owners = map[string]string{}, map[partition]string{}
	g.names, g.matched, g.patterns, g.assignors = map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	g.classics, g.protocols, g.bytes = 0, map[string]int{}, 0
}

// timing is the group's own, else the broker's.
func (g *Group) timing() Timing {
	if g.cfg.Group != nil {
		if t, ok := g.cfg.Group(g.id); ok {
			return t
		}
	}
	return g.cfg.Timing
}

// write adds an entry to the journal, and makes it true.
func (g *Group) write(s *step.Step, e journal.Entry) {
	s.Write(e)
	g.Apply(e)
}

// full says whether there is no room for one more member.
func (g *Group) full() bool { return g.cfg.MaxSize > 0 && len(g.members) >= g.cfg.MaxSize }

// What a group holds in memory beside what members say about themselves, about: of a member, and of a partition that one has.
const (
	memberBytes = 800
	ownedBytes  = 150
)

// Bytes is about the memory that the group holds.
func (g *Group) Bytes() int { return 2*g.bytes + len(g.members)*memberBytes + len(g.owners)*ownedBytes }

// Empty says that there are no members.
func (g *Group) Empty() bool { return len(g.members) == 0 }

// Members is how many there are.
func (g *Group) Members() int { return len(g.members) }

// EmptySince is when the last member left; zero where unknown.
func (g *Group) EmptySince() time.Time {
	if !g.Empty() {
		return time.Time{}
	}
	return g.emptySince
}

// State is the group's state as Kafka spells it: Empty, Assigning, Reconciling, Stable.
func (g *Group) State() string {
	switch {
	case g.Empty():
		return "Empty"
	case g.epoch > g.targetEpoch:
		return "Assigning"
	}
	for _, m := range g.members {
		if !m.reconciledTo(g.targetEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

// SubscribedTo says whether a member reads the topic.
func (g *Group) SubscribedTo(topic string) bool { return g.names[topic] > 0 || g.matched[topic] > 0 }

// sortedIDs are the ids of all members, in order.
func (g *Group) sortedIDs() []string {
	ids := make([]string, 0, len(g.members))
	for id := range g.members {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
