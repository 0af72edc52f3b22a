package classic

import (
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusedJoin is the answer to a join that failed.
func refusedJoin(c *step.Call, member string, err error) *kmsg.JoinGroupResponse {
	r := c.Request.ResponseKind().(*kmsg.JoinGroupResponse)
	r.ErrorCode, r.MemberID = step.Code(err), member
	return r
}

// refuse answers a join with err and the member id that it came with.
func (g *Group) refuse(s *step.Step, c *step.Call, err error) {
	s.Reply(c, refusedJoin(c, c.Request.(*kmsg.JoinGroupRequest).MemberID, err))
}

// accepted is the answer to the join of m that waits.
func (g *Group) accepted(m *Member) *kmsg.JoinGroupResponse { return g.welcome(m.join, m) }

// welcome is the answer to a join of m in the current generation. The leader is told who the members are. What it refers to is never changed.
func (g *Group) welcome(c *step.Call, m *Member) *kmsg.JoinGroupResponse {
	r := c.Request.ResponseKind().(*kmsg.JoinGroupResponse)
	r.Generation = g.generation
	r.ProtocolType, r.Protocol = kmsg.StringPtr(g.protocolType), kmsg.StringPtr(g.protocol)
	r.LeaderID, r.MemberID = g.leader.ID, m.ID
	if g.leader != m {
		return r
	}
	r.Members = make([]kmsg.JoinGroupResponseMember, len(g.members))
	for i, other := range g.members {
		r.Members[i] = kmsg.JoinGroupResponseMember{
			MemberID: other.ID, InstanceID: other.InstanceID, ProtocolMetadata: other.Metadata(g.protocol),
		}
	}
	return r
}

// answerJoin answers the join of m that waits.
func (g *Group) answerJoin(s *step.Step, m *Member, r *kmsg.JoinGroupResponse) {
	s.Reply(m.join, r)
	m.join = nil
	g.joining--
}

// refusedSync is the answer to a sync that failed.
func refusedSync(c *step.Call, err error) *kmsg.SyncGroupResponse {
	r := c.Request.ResponseKind().(*kmsg.SyncGroupResponse)
	r.ErrorCode = step.Code(err)
	return r
}

// refuseSync answers the sync of m that waits, if one does, with err.
func (g *Group) refuseSync(s *step.Step, m *Member, err error) {
	if m.sync != nil {
		s.Reply(m.sync, refusedSync(m.sync, err))
		m.sync = nil
	}
}

// assigned is the answer to a sync: what m was given.
func (g *Group) assigned(c *step.Call, m *Member) *kmsg.SyncGroupResponse {
	r := c.Request.ResponseKind().(*kmsg.SyncGroupResponse)
	r.ProtocolType, r.Protocol = kmsg.StringPtr(g.protocolType), kmsg.StringPtr(g.protocol)
	r.MemberAssignment = m.Assignment
	return r
}
