package consumer

import (
	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/step"
)

// Upgrade answers the heartbeat of a member that joins a classic group, which so becomes a group of the new protocol, its members staying alive
// (KIP-848, online migration): their calls that wait are answered with REBALANCE_IN_PROGRESS. nil: the heartbeat was refused, or the group cannot be
// changed (GROUP_ID_NOT_FOUND); then nothing is written and old is as it was. A group without members is simply replaced.
func Upgrade(s *step.Step, call *step.Call, old *classic.Group, c *Config, t Topics) *Group {
	panic("unimplemented")
}

// Downgrade is the classic group of the members that are left when none speaks the new protocol any more; nil while one does, none is left, or the
// policy forbids it. It costs nothing where it answers nil, so it may be asked after every step.
func (g *Group) Downgrade(s *step.Step, t Topics) *classic.Group { panic("unimplemented") }

// Join, Sync, ClassicHeartbeat and Leave serve members that speak the classic protocol in a group of the new one.
func (g *Group) Join(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// ClassicHeartbeat handles a *kmsg.HeartbeatRequest.
func (g *Group) ClassicHeartbeat(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Leave handles a *kmsg.LeaveGroupRequest.
func (g *Group) Leave(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }
