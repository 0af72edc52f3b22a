package classic

import (
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat handles a *kmsg.HeartbeatRequest.
func (g *Group) Heartbeat(s *step.Step, c *step.Call) {
	req := c.Request.(*kmsg.HeartbeatRequest)
	r := req.ResponseKind().(*kmsg.HeartbeatResponse)
	r.ErrorCode = step.Code(g.heartbeat(s, req))
	s.Reply(c, r)
}

// heartbeat judges a heartbeat. A member that is to join again is told so, and lives on.
func (g *Group) heartbeat(s *step.Step, req *kmsg.HeartbeatRequest) error {
	if req.Group == "" {
		return kerr.InvalidGroupID
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	switch {
	case err != nil:
		return err
	case req.Generation != g.generation:
		return kerr.IllegalGeneration
	}
	g.touch(s, m)
	if g.state == preparing {
		return kerr.RebalanceInProgress
	}
	return nil
}

// CheckCommit says whether a commit of offsets by a member may pass (generation -1 and no member: from outside the group, which only an empty one
// allows). One that passes counts as a heartbeat.
func (g *Group) CheckCommit(s *step.Step, member string, instance *string, generation int32) error {
	outside := generation < 0 && member == "" && instance == nil
	switch {
	case generation < 0 && g.state == empty:
		return nil
	case outside:
		return kerr.UnknownMemberID
	}
	m, err := g.validate(member, instance)
	switch {
	case err != nil:
		return err
	case generation != g.generation:
		return kerr.IllegalGeneration
	case g.state == completing: // it has the generation from the answer to its join, but not the partitions that it has now
		return kerr.RebalanceInProgress
	}
	g.touch(s, m)
	return nil
}
