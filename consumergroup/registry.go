package consumergroup

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// registry is the groups of one journal partition. It is plain code over steps: no clock, no goroutine, no I/O; one goroutine at a time.
type registry struct {
	c      *Coordinator
	groups map[string]*group
	timers timers
	loaded time.Time // when the journal was loaded
}

// group is one group: exactly one of the two machines is set, a classic one without members for a group that only commits.
type group struct {
	id       string
	classic  *classic.Group
	consumer *consumer.Group
	offsets  offsets.Table
	bytes    int64 // what it was last measured to hold

	// The place in timers: at is never after the machine's deadline. place is -1 where nothing is waited for.
	at    time.Time
	place int
}

// create makes a group without members, or says that there are too many.
func (r *registry) create(id string) (*group, error) {
	if n := r.c.groups.Add(1); r.c.o.MaxGroups > 0 && n > int64(r.c.o.MaxGroups) {
		r.c.groups.Add(-1)
		return nil, fmt.Errorf("there are %d groups, which is the limit: %w", n-1, kerr.GroupMaxSizeReached)
	}
	g := &group{id: id, classic: classic.New(id, &r.c.o.Classic), place: -1}
	r.groups[id] = g
	return g, nil
}

// remove forgets a group.
func (r *registry) remove(g *group) {
	delete(r.groups, g.id)
	r.c.groups.Add(-1)
	r.c.bytes.Add(-g.bytes)
	if g.place >= 0 {
		heap.Remove(&r.timers, g.place)
	}
}

// settle is called after every step that touched a machine: the group is forgotten where nothing is left of it, else its timer is set.
func (r *registry) settle(s *step.Step, g *group) {
	if g.consumer != nil {
		if c := g.consumer.Downgrade(s, r.c.o.Topics()); c != nil {
			g.consumer, g.classic = nil, c
		}
	}
	if g.consumer == nil && g.offsets.Len() == 0 && g.classic.Idle() {
		r.remove(g)
		return
	}
	r.measure(g)
	r.timers.set(g, g.deadline())
}

func (g *group) empty() bool {
	if g.consumer != nil {
		return g.consumer.Empty()
	}
	return g.classic.Empty()
}

func (g *group) state() string {
	if g.consumer != nil {
		return g.consumer.State()
	}
	return g.classic.State()
}

func (g *group) members() int {
	if g.consumer != nil {
		return g.consumer.Members()
	}
	return g.classic.Members()
}

func (g *group) subscribedTo(topic string) bool {
	if g.consumer != nil {
		return g.consumer.SubscribedTo(topic)
	}
	return g.classic.SubscribedTo(topic)
}

func (g *group) deadline() time.Time {
	if g.consumer != nil {
		return g.consumer.Deadline()
	}
	return g.classic.Deadline()
}

// tombstones writes what takes the machine's entries out of the journal.
func (g *group) tombstones(s *step.Step) {
	if g.consumer != nil {
		g.consumer.Tombstones(s)
	} else if !g.classic.Idle() {
		s.Write(&journal.GroupMetadata{Group: g.id})
	}
}

// erase writes what takes the whole group out of the journal, and forgets it.
func (r *registry) erase(s *step.Step, g *group) {
	for p := range g.offsets.All() {
		s.Write(tombstone(g, p))
	}
	g.tombstones(s)
	r.remove(g)
}

// tombstone forgets a committed offset.
func tombstone(g *group, p offsets.Partition) *journal.OffsetCommit {
	return &journal.OffsetCommit{Group: g.id, Topic: p.Topic, Partition: p.Partition}
}

// forget forgets committed offsets.
func (g *group) forget(s *step.Step, all []offsets.Partition) {
	for _, p := range all {
		e := tombstone(g, p)
		s.Write(e)
		g.offsets.Apply(e)
	}
}

// tick does what is due in a group.
func (r *registry) tick(s *step.Step, g *group) {
	if g.consumer != nil {
		g.consumer.Tick(s, r.c.o.Topics())
	} else {
		g.classic.Tick(s)
	}
	r.settle(s, g)
}

// due is a group whose deadline has come, nil if there is none.
func (r *registry) due(now time.Time) *group {
	for {
		g := r.timers.first()
		if g == nil || g.at.After(now) {
			return nil
		}
		at := g.deadline()
		if !at.IsZero() && !at.After(now) {
			return g
		}
		r.timers.move(g, at)
	}
}

// deadline is when due is to be asked again at the latest; zero: nothing is waited for.
func (r *registry) deadline() time.Time {
	if g := r.timers.first(); g != nil {
		return g.at
	}
	return time.Time{}
}

// fail answers everything that waits in a group.
func (r *registry) fail(s *step.Step, err error) {
	for _, g := range r.groups {
		if g.consumer != nil {
			g.consumer.Fail(s, err)
		} else {
			g.classic.Fail(s, err)
		}
	}
}

// dissolve throws out all members of a group whose state the journal cannot hold; its offsets stay. All calls of the step, and those that wait
// in the group, are answered with UNKNOWN_SERVER_ERROR, as Kafka answers where a record is too large. What members send next is answered
// with UNKNOWN_MEMBER_ID, and they join again.
func (r *registry) dissolve(s *step.Step, id string) {
	for i := range s.Replies {
		s.Replies[i].Response = step.Failure(s.Replies[i].Call.Request, kerr.UnknownServerError)
	}
	g := r.groups[id]
	if g == nil {
		return
	}
	if g.consumer != nil {
		g.consumer.Fail(s, kerr.UnknownServerError)
		g.consumer.Tombstones(s)
	} else {
		g.classic.Fail(s, kerr.UnknownServerError)
	}
	s.Write(&journal.GroupMetadata{Group: id}) // the machine may have changed its kind in this step
	g.consumer, g.classic = nil, classic.New(id, &r.c.o.Classic)
	r.settle(s, g)
}

// handle runs the step of one call. The groups that it names are all of this partition.
func (r *registry) handle(s *step.Step, c *step.Call) {
	switch req := c.Request.(type) {
	case *kmsg.OffsetCommitRequest:
		r.offsetCommit(s, c, req)
	case *kmsg.OffsetFetchRequest:
		s.Reply(c, r.offsetFetch(req))
	case *kmsg.HeartbeatRequest:
		r.heartbeat(s, c, req)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		r.consumerHeartbeat(s, c, req)
	case *kmsg.JoinGroupRequest:
		r.join(s, c, req)
	case *kmsg.SyncGroupRequest:
		r.sync(s, c, req)
	case *kmsg.LeaveGroupRequest:
		r.leave(s, c, req)
	case *kmsg.OffsetDeleteRequest:
		r.offsetDelete(s, c, req)
	case *kmsg.DeleteGroupsRequest:
		r.deleteGroups(s, c, req)
	case *kmsg.ListGroupsRequest:
		s.Reply(c, r.listGroups(req))
	case *kmsg.DescribeGroupsRequest:
		s.Reply(c, r.describeGroups(req))
	case *kmsg.ConsumerGroupDescribeRequest:
		s.Reply(c, r.describeConsumerGroups(req))
	}
}
