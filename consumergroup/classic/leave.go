package classic

import (
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Leave handles a *kmsg.LeaveGroupRequest: of one member, or from version 3 on of several, also by the instance id alone (KIP-345).
func (g *Group) Leave(s *step.Step, c *step.Call) {
	req := c.Request.(*kmsg.LeaveGroupRequest)
	r := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	s.Reply(c, r)
	if req.Group == "" {
		r.ErrorCode = kerr.InvalidGroupID.Code
		return
	}
	left := false
	leave := func(id string, instance *string) int16 {
		member, err := g.leave(s, id, instance)
		left = left || member
		return step.Code(err)
	}
	if req.Version < 3 {
		r.ErrorCode = leave(req.MemberID, nil)
	}
	for i := range req.Members {
		m := &req.Members[i]
		answer := kmsg.NewLeaveGroupResponseMember()
		answer.MemberID, answer.InstanceID = m.MemberID, m.InstanceID
		answer.ErrorCode = leave(m.MemberID, m.InstanceID)
		r.Members = append(r.Members, answer)
	}
	if left && g.state != preparing {
		g.prepare(s)
		return
	}
	g.completeIfJoined(s)
}

// leave lets one go, and says whether it was a member: one that was yet to be leaves nothing to rebalance (Kafka does it all the same).
func (g *Group) leave(s *step.Step, id string, instance *string) (member bool, err error) {
	if _, ok := g.pending[id]; ok {
		g.forget(id)
		return false, nil
	}
	if id == "" && instance != nil {
		m, ok := g.static[*instance]
		if !ok {
			return false, kerr.UnknownMemberID
		}
		id = m.ID
	}
	m, err := g.validate(id, instance)
	if err != nil {
		return false, err
	}
	g.remove(s, m)
	return true, nil
}
