package consumer

import (
	"cmp"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// start sets a member's timer.
func (g *Group) start(timer *time.Time, at time.Time) {
	*timer = at
	if g.next.IsZero() || at.Before(g.next) {
		g.next = at
	}
}

// extend begins a member's session anew. A classic member brings its own length.
func (g *Group) extend(m *member, now time.Time) {
	length := g.timing().Session
	if m.desc.Classic != nil {
		length = time.Duration(m.desc.Classic.SessionTimeoutMs) * time.Millisecond
	}
	g.start(&m.session, now.Add(length))
}

// Deadline is when Tick is wanted at the latest; it may be early. Zero: nothing is waited for.
func (g *Group) Deadline() time.Time { return g.next }

// Tick fences the members whose session ended, or that did not revoke, join or fetch their assignment in time.
func (g *Group) Tick(s *step.Step, t Topics) {
	if g.next.IsZero() || s.Now.Before(g.next) {
		return
	}
	g.next = time.Time{}
	var late []*member
	for _, m := range g.members {
		if m.due(s.Now) {
			late = append(late, m)
			continue
		}
		for _, timer := range []*time.Time{&m.session, &m.rebalance, &m.sync} {
			if !timer.IsZero() {
				g.start(timer, *timer)
			}
		}
	}
	slices.SortFunc(late, func(a, b *member) int { return cmp.Compare(a.id, b.id) })
	g.fence(s, t, late...)
}

func (m *member) due(now time.Time) bool {
	for _, at := range []time.Time{m.session, m.rebalance, m.sync} {
		if !at.IsZero() && !now.Before(at) {
			return true
		}
	}
	return false
}

// fence ends members: what they had is free at once.
func (g *Group) fence(s *step.Step, t Topics, members ...*member) {
	if len(members) == 0 {
		return
	}
	for _, m := range members {
		g.remove(s, m.id)
	}
	for _, m := range members {
		g.forgetRegex(s, m.regex())
	}
	g.write(s, &journal.ConsumerGroup{Group: g.id, Value: &journal.ConsumerGroupValue{Epoch: g.epoch + 1, MetadataHash: g.metadataHash(t)}})
	g.hashed = see(t)
	if g.Empty() {
		g.emptySince, g.next = s.Now, time.Time{}
	}
}
