// Package classic is the state machine of a group of the classic protocol: members join, a leader among them assigns, all sync.
//
//	Empty ─► PreparingRebalance ─► CompletingRebalance ─► Stable
//	  ▲     (members join)  │  ▲   (the leader assigns)     │
//	  └─────────────────────┘  └────────────────────────────┘
//
// What the members assign, and how, is theirs: the protocol type and the metadata are passed on as they come.
package classic

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
)

// Config is what the broker's configuration says about classic groups.
type Config struct {
	MinSession, MaxSession time.Duration // group.min/max.session.timeout.ms; a MaxSession of 0: unbounded
	InitialDelay           time.Duration // group.initial.rebalance.delay.ms
	MaxSize                int           // group.max.size; 0: unbounded
	// MaxRecord is the bytes that a group may take in the journal; 0: 1 MiB. What all members together offer may be four times that.
	MaxRecord int
	// UUID makes member ids unique, with 36 bytes at most. nil: random.
	UUID func() string
}

// memberIDSuffix is the most that a member id has beyond the client or the instance id.
const memberIDSuffix = 1 + 36

// maxRecord is MaxRecord or its default.
func (c *Config) maxRecord() int {
	if c.MaxRecord > 0 {
		return c.MaxRecord
	}
	return 1 << 20
}

// NewMemberID is a member id that nobody has, as Kafka makes it: the instance id of a static member, else the client id, and a random UUID.
func (c *Config) NewMemberID(clientID string, instance *string) string {
	prefix := clientID
	if instance != nil {
		prefix = *instance
	}
	if c.UUID != nil {
		return prefix + "-" + c.UUID()
	}
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4, variant 1
	return fmt.Sprintf("%s-%x-%x-%x-%x-%x", prefix, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// state is where a group stands.
type state uint8

const (
	empty      state = iota // no members
	preparing               // members join; those of the generation before are waited for
	completing              // the members are known, the leader's assignment is waited for
	stable
)

// consumerType is the protocol type of consumers, the only one whose metadata is looked into.
const consumerType = "consumer"

// Group is one classic group. It is not safe for concurrent use.
//
// What always holds between two calls: byID, static, offered, bytes, given, joining and unsynced are what the members make of them; there is a leader, and a
// protocol that all offer, whenever there are members; joins wait in preparing alone, syncs in completing alone.
type Group struct {
	id           string
	config       *Config
	state        state
	changed      time.Time // when state last changed; zero: not known
	generation   int32
	protocolType string // of the members, also after they have left
	protocol     string // in use; "" before the first generation and in an empty one
	stored       bool   // the journal has an entry of the group

	members []*Member // in no order
	byID    map[string]*Member
	static  map[string]*Member // by instance id
	leader  *Member            // nil: no members
	pending map[string]*timer  // sessions of members to be: they have an id, and have not joined with it

	offered  map[string]int // how many members offer a protocol, by its name
	bytes    int            // of all that they offer
	given    int            // bytes of their assignments
	joining  int            // members with a join that waits
	unsynced int            // members that have not synced in this generation

	sessions timers
	// due is when the state is over: in preparing, joins are no longer waited for; later, syncs are not. Zero: nothing is waited for.
	due     time.Time
	initial initialDelay

	topics map[string]struct{} // that the members of the generation are subscribed to; nil: not known
}

// New is a group without members. A request to a group that does not exist is answered by one too: unless it is Idle after that, the group exists.
func New(id string, c *Config) *Group {
	return &Group{
		id: id, config: c,
		byID: map[string]*Member{}, static: map[string]*Member{}, pending: map[string]*timer{}, offered: map[string]int{},
	}
}

// become changes the state.
func (g *Group) become(to state, now time.Time) { g.state, g.changed = to, now }

// Tick does what is due at s.Now: members whose session ended, rebalances whose time is over.
func (g *Group) Tick(s *step.Step) {
	for t := g.sessions.over(s.Now); t != nil; t = g.sessions.over(s.Now) {
		g.expire(s, t)
	}
	if g.due.IsZero() || g.due.After(s.Now) {
		return
	}
	if g.state == preparing {
		g.joinsAreDue(s)
	} else {
		g.syncsAreDue(s)
	}
}

// Deadline is when Tick is wanted at the latest; it may be early. Zero: nothing is waited for.
func (g *Group) Deadline() time.Time {
	if len(g.sessions) == 0 || !g.due.IsZero() && g.due.Before(g.sessions[0].due) {
		return g.due
	}
	return g.sessions[0].due
}

// expire ends a session that is over.
func (g *Group) expire(s *step.Step, t *timer) {
	m, member := g.byID[t.id]
	switch {
	case !member:
		g.forget(t.id)
	case !m.fresh && m.Waiting():
		// The broker holds its call, so it cannot send heartbeats. A fresh one could: its client does not know its id, and if it has given up and
		// joined as another, nobody would ever drop it.
		g.touch(s, m)
		return
	default:
		g.remove(s, m)
	}
	switch {
	case g.state == preparing:
		if g.allJoined() {
			g.complete(s)
		}
	case member:
		g.prepare(s)
	}
}

// forget drops a member to be.
func (g *Group) forget(id string) {
	if t, ok := g.pending[id]; ok {
		g.sessions.stop(t)
		delete(g.pending, id)
	}
}

// Fail answers all calls that wait with err: the coordinator is moving (NOT_COORDINATOR), or the group changes its protocol (REBALANCE_IN_PROGRESS).
func (g *Group) Fail(s *step.Step, err error) {
	for _, m := range g.members {
		if m.join != nil {
			g.answerJoin(s, m, refusedJoin(m.join, m.ID, err))
		}
		g.refuseSync(s, m, err)
	}
}
