package consumergroup

import (
	"fmt"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// join makes the group where there is none, and turns a consumer group without members into a classic one.
func (r *registry) join(s *step.Step, c *step.Call, req *kmsg.JoinGroupRequest) {
	g := r.groups[req.Group]
	err := r.joinRoom(g, req)
	if g == nil && err == nil {
		g, err = r.create(req.Group)
	}
	if err != nil {
		s.Fail(c, err)
		return
	}
	if g.consumer != nil && g.consumer.Empty() {
		g.consumer.Tombstones(s)
		g.consumer, g.classic = nil, classic.New(g.id, &r.c.o.Classic)
	}
	if g.consumer != nil {
		g.consumer.Join(s, c, r.c.o.Topics())
	} else {
		g.classic.Join(s, c)
	}
	r.settle(s, g)
}

func (r *registry) sync(s *step.Step, c *step.Call, req *kmsg.SyncGroupRequest) {
	g := r.groups[req.Group]
	switch {
	case g == nil || g.empty():
		s.Fail(c, fmt.Errorf("group %q has no members: %w", req.Group, kerr.UnknownMemberID))
		return
	}
	if err := r.syncRoom(g, req); err != nil {
		s.Fail(c, err)
		return
	}
	switch {
	case g.consumer != nil:
		g.consumer.Sync(s, c, r.c.o.Topics())
	default:
		g.classic.Sync(s, c)
	}
	r.settle(s, g)
}

func (r *registry) heartbeat(s *step.Step, c *step.Call, req *kmsg.HeartbeatRequest) {
	g := r.groups[req.Group]
	switch {
	case g == nil:
		s.Fail(c, fmt.Errorf("there is no group %q: %w", req.Group, kerr.UnknownMemberID))
		return
	case g.consumer != nil:
		g.consumer.ClassicHeartbeat(s, c, r.c.o.Topics())
	default:
		g.classic.Heartbeat(s, c)
	}
	r.settle(s, g)
}

func (r *registry) leave(s *step.Step, c *step.Call, req *kmsg.LeaveGroupRequest) {
	g := r.groups[req.Group]
	switch {
	case g == nil:
		classic.New(req.Group, &r.c.o.Classic).Leave(s, c) // UNKNOWN_MEMBER_ID for each, in the version's form
		return
	case g.consumer != nil:
		g.consumer.Leave(s, c, r.c.o.Topics())
	default:
		g.classic.Leave(s, c)
	}
	r.settle(s, g)
}

// consumerHeartbeat serves members of the new protocol. One that joins makes the group where there is none, replaces a classic one without
// members, and upgrades one with members (KIP-848); what it is refused for leaves all as it was.
func (r *registry) consumerHeartbeat(s *step.Step, c *step.Call, req *kmsg.ConsumerGroupHeartbeatRequest) {
	if err := consumer.Check(req); err != nil {
		s.Fail(c, err)
		return
	}
	g := r.groups[req.Group]
	if (g == nil || g.consumer == nil) && req.MemberEpoch != 0 {
		s.Fail(c, fmt.Errorf("there is no consumer group %q: %w", req.Group, kerr.GroupIDNotFound))
		return
	}
	err := r.heartbeatRoom(req)
	if g == nil && err == nil {
		g, err = r.create(req.Group)
	}
	if err != nil {
		s.Fail(c, err)
		return
	}
	if g.consumer != nil {
		g.consumer.Heartbeat(s, c, r.c.o.Topics())
	} else if upgraded := consumer.Upgrade(s, c, g.classic, &r.c.o.Consumer, r.c.o.Topics()); upgraded != nil {
		g.consumer, g.classic = upgraded, nil
	}
	r.settle(s, g)
}
