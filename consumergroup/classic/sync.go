package classic

import (
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call) {
	req := c.Request.(*kmsg.SyncGroupRequest)
	m, err := g.checkSync(req)
	switch {
	case err != nil:
		s.Reply(c, refusedSync(c, err))
	case g.state == stable:
		g.synced(m)
		s.Reply(c, g.assigned(c, m))
	default:
		g.refuseSync(s, m, kerr.RebalanceInProgress) // given up by its client
		m.sync = c
		g.synced(m)
		if g.leader == m {
			g.assign(s, req)
		}
	}
}

// checkSync finds the member that a sync comes from, in the current generation and protocol (KIP-559), once all have joined.
func (g *Group) checkSync(req *kmsg.SyncGroupRequest) (*Member, error) {
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		return nil, kerr.InconsistentGroupProtocol
	}
	if req.Group == "" {
		return nil, kerr.InvalidGroupID
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case req.Generation != g.generation:
		return nil, kerr.IllegalGeneration
	case req.ProtocolType != nil && *req.ProtocolType != g.protocolType, req.Protocol != nil && *req.Protocol != g.protocol:
		return nil, kerr.InconsistentGroupProtocol
	case g.state == preparing:
		return nil, kerr.RebalanceInProgress
	}
	return m, nil
}

// assign takes over the leader's assignment: it is written, and all who wait get theirs. Members that the leader forgot have nothing.
func (g *Group) assign(s *step.Step, req *kmsg.SyncGroupRequest) {
	for _, m := range g.members {
		m.Assignment = nil
	}
	for i := range req.GroupAssignment {
		if m, ok := g.byID[req.GroupAssignment[i].MemberID]; ok {
			m.Assignment = req.GroupAssignment[i].MemberAssignment
		}
	}
	g.measure()
	if !g.fits() { // as Kafka answers for a record that its log refuses
		g.abandonSync(s, kerr.UnknownServerError)
		g.prepare(s)
		return
	}
	g.become(stable, s.Now)
	g.write(s)
	for _, m := range g.members {
		if m.sync != nil {
			s.Reply(m.sync, g.assigned(m.sync, m))
			m.sync = nil
			g.touch(s, m)
		}
	}
}
