package consumer

import (
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
)

// Apply makes an entry of the journal true. Tombstones for what is not there are fine: the journal is a compacted topic. While loading nothing else is called.
func (g *Group) Apply(e journal.Entry) {
	switch e := e.(type) {
	case *journal.ConsumerGroup:
		if e.Value == nil {
			g.reset()
			return
		}
		g.epoch, g.hash = e.Value.Epoch, e.Value.MetadataHash
	case *journal.Member:
		g.applyMember(e)
	case *journal.Target:
		g.targetEpoch, g.targetTime = 1, 0 // as of a new group: compaction may leave this one tombstone of the group's last life
		if e.Value != nil {
			g.targetEpoch, g.targetTime = e.Value.Epoch, e.Value.Timestamp
		}
	case *journal.TargetMember:
		delete(g.targets, e.Member)
		if e.Value != nil {
			g.targets[e.Member] = fromTarget(e.Value)
		}
	case *journal.Current:
		g.applyCurrent(e)
	case *journal.Regex:
		g.applyRegex(e)
	}
}

// made is the member, which is made where there is none.
func (g *Group) made(id string) *member {
	m := g.members[id]
	if m == nil {
		m = &member{id: id, desc: newcomer()}
		g.members[id] = m
	}
	return m
}

func (g *Group) applyMember(e *journal.Member) {
	old := g.members[e.Member]
	if old != nil {
		g.count(old, -1)
	}
	if e.Value == nil {
		if old != nil {
			g.disown(old)
			delete(g.members, e.Member)
		}
		return
	}
	m := g.made(e.Member)
	m.desc = e.Value
	if topics := e.Value.Topics; !isSet(topics) {
		desc := *e.Value
		desc.Topics = sortedSet(topics)
		m.desc = &desc
	}
	g.count(m, 1)
}

// isSet says whether names are in order, each once.
func isSet(names []string) bool {
	for i := 1; i < len(names); i++ {
		if names[i-1] >= names[i] {
			return false
		}
	}
	return true
}

// sortedSet is a copy that isSet.
func sortedSet(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// count adds by to what is derived from a member's description.
func (g *Group) count(m *member, by int) {
	d := m.desc
	g.bytes += by * sizeOf(d)
	if d.InstanceID != nil {
		if by > 0 {
			g.instances[*d.InstanceID] = m.id
		} else if g.instances[*d.InstanceID] == m.id {
			delete(g.instances, *d.InstanceID)
		}
	}
	for _, t := range d.Topics {
		add(g.names, t, by)
	}
	if x := m.regex(); x != "" {
		add(g.patterns, x, by)
	}
	if d.Assignor != nil {
		add(g.assignors, *d.Assignor, by)
	}
	if d.Classic != nil {
		g.classics += by
		for _, p := range d.Classic.Protocols {
			add(g.protocols, p.Name, by)
		}
	}
}

func add(counts map[string]int, key string, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

func (g *Group) applyCurrent(e *journal.Current) {
	if e.Value == nil {
		if m := g.members[e.Member]; m != nil {
			g.disown(m)
			m.current = current{epoch: left, previous: left, state: m.state}
		}
		return
	}
	v, m := e.Value, g.made(e.Member)
	g.disown(m)
	m.current = current{epoch: v.Epoch, previous: v.PreviousEpoch, state: v.State,
		assigned: fromAssigned(v.Assigned, v.Epoch), revoking: fromAssigned(v.Revoking, v.Epoch)}
	for _, list := range [][]held{m.assigned, m.revoking} {
		for _, h := range list {
			g.owners[h.partition] = m.id
		}
	}
}

// disown forgets that m has partitions. One that another has by now stays the other's.
func (g *Group) disown(m *member) {
	for _, list := range [][]held{m.assigned, m.revoking} {
		for _, h := range list {
			if g.owners[h.partition] == m.id {
				delete(g.owners, h.partition)
			}
		}
	}
}

func (g *Group) applyRegex(e *journal.Regex) {
	for _, t := range g.resolved[e.Expression] {
		add(g.matched, t, -1)
	}
	delete(g.resolved, e.Expression)
	if e.Value == nil {
		return
	}
	topics := sortedSet(e.Value.Topics)
	g.resolved[e.Expression] = topics
	for _, t := range topics {
		add(g.matched, t, 1)
	}
}

// Loaded starts the sessions of all members at now.
func (g *Group) Loaded(now time.Time) {
	for _, m := range g.members {
		g.extend(m, now)
		if m.state == unrevoked && m.desc.Classic == nil {
			g.start(&m.rebalance, now.Add(m.rebalanceTimeout()))
		}
	}
}
