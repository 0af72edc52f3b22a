package consumer

import (
	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/step"
)

// Upgrade turns a classic group of consumers into one of the new protocol, its members staying alive (KIP-848, online migration).
func Upgrade(s *step.Step, old *classic.Group, c *Config, t Topics) (*Group, error) {
	panic("unimplemented")
}

// Downgrade is the classic group of the members that are left when none speaks the new protocol any more; nil while one does, or
// none is left.
func (g *Group) Downgrade(s *step.Step, t Topics) *classic.Group { panic("unimplemented") }

// Join, Sync, ClassicHeartbeat and Leave serve members that speak the classic protocol in a group of the new one.
func (g *Group) Join(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Sync handles a *kmsg.SyncGroupRequest.
func (g *Group) Sync(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// ClassicHeartbeat handles a *kmsg.HeartbeatRequest.
func (g *Group) ClassicHeartbeat(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }

// Leave handles a *kmsg.LeaveGroupRequest.
func (g *Group) Leave(s *step.Step, c *step.Call, t Topics) { panic("unimplemented") }
