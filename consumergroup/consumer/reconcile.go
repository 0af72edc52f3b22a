package consumer

import (
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ownedPartitions is what a member reports to own; nil: it reports nothing.
type ownedPartitions = []kmsg.ConsumerGroupHeartbeatRequestTopic

// reconcile leads a member one step from what it has towards the target, and writes where it then stands. subscribed: its subscription has changed,
// so that it must not keep what it does not read any more.
func (g *Group) reconcile(s *step.Step, m *member, owned ownedPartitions, subscribed bool, t Topics) {
	if !subscribed && m.reconciledTo(g.targetEpoch) {
		return
	}
	next := g.stepOf(m, owned, subscribed, t)
	if next.equal(&m.current) {
		return
	}
	g.write(s, g.currentEntry(m.id, next))
	if m.desc.Classic != nil {
		return // it has timers of its own, for joining and for fetching its assignment
	}
	if m.state == unrevoked {
		g.start(&m.rebalance, s.Now.Add(m.rebalanceTimeout()))
	} else {
		m.rebalance = time.Time{}
	}
}

// stepOf is where a member stands after one step.
func (g *Group) stepOf(m *member, owned ownedPartitions, subscribed bool, t Topics) current {
	switch {
	case m.state == stable && m.epoch == g.targetEpoch:
		if subscribed {
			return g.withdraw(m, owned, t)
		}
		return m.current
	case m.state == unrevoked && reports(owned, m.revoking):
		if subscribed {
			return g.withdraw(m, owned, t)
		}
		return m.current
	}
	return g.advance(m, owned, t)
}

// withdraw takes what a member does not subscribe to any more, without waiting for a target.
func (g *Group) withdraw(m *member, owned ownedPartitions, t Topics) current {
	reads := g.reads(m, t)
	var kept, gone []held
	for _, h := range m.assigned {
		if reads(h.topic) {
			kept = append(kept, h)
		} else {
			gone = append(gone, h)
		}
	}
	if len(gone) == 0 {
		return m.current
	}
	next := m.current
	next.previous, next.assigned = m.epoch, kept
	revoking := slices.Concat(m.revoking, gone)
	slices.SortFunc(revoking, compareHeld)
	if reports(owned, revoking) {
		next.state, next.revoking = unrevoked, revoking
	}
	return next
}

// advance takes from a member what the target does not give it; once it has let go of that, moves it to the target's epoch with what is free.
func (g *Group) advance(m *member, owned ownedPartitions, t Topics) current {
	reads := g.reads(m, t)
	target := g.targets[m.id]
	if slices.ContainsFunc(target, func(p partition) bool { return !reads(p.topic) }) {
		target = slices.DeleteFunc(slices.Clone(target), func(p partition) bool { return !reads(p.topic) })
	}
	kept, lost := split(m.assigned, target)
	if len(lost) > 0 && reports(owned, lost) {
		return current{epoch: m.epoch, previous: m.epoch, state: unrevoked, assigned: kept, revoking: lost}
	}
	next := current{epoch: g.targetEpoch, previous: m.epoch, state: stable, assigned: kept}
	for _, p := range target {
		if _, has := holds(kept, p); has {
			continue
		}
		if owner, taken := g.owners[p]; taken && owner != m.id {
			next.state = unreleased
			continue
		}
		next.assigned = append(next.assigned, held{p, g.targetEpoch})
	}
	slices.SortFunc(next.assigned, compareHeld)
	return next
}

// reads says of topics whether the member subscribes to them; of one that is gone that it does not. Answers for one topic in a row are remembered.
func (g *Group) reads(m *member, t Topics) func(topic [16]byte) bool {
	var last [16]byte
	var known, answer bool
	return func(topic [16]byte) bool {
		if !known || topic != last {
			info, ok := t.ByID(topic)
			known, last, answer = true, topic, ok && g.subscribed(m.desc, info.Name)
		}
		return answer
	}
}
