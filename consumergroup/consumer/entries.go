package consumer

import (
	"slices"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// currentEntry is the journal's form of where a member stands.
func (g *Group) currentEntry(member string, c current) *journal.Current {
	return &journal.Current{Group: g.id, Member: member, Value: &journal.CurrentValue{
		Epoch: c.epoch, PreviousEpoch: c.previous, State: c.state, Assigned: toAssigned(c.assigned), Revoking: toAssigned(c.revoking),
	}}
}

func toAssigned(list []held) []journal.AssignedPartitions {
	var out []journal.AssignedPartitions
	for i, h := range list {
		if i == 0 || list[i-1].topic != h.topic {
			out = append(out, journal.AssignedPartitions{TopicID: h.topic})
		}
		last := &out[len(out)-1]
		last.Partitions, last.Epochs = append(last.Partitions, h.id), append(last.Epochs, h.since)
	}
	return out
}

// fromAssigned is the inverse. Before Kafka 4.3 the epochs were not kept: then all are the member's.
func fromAssigned(list []journal.AssignedPartitions, epoch int32) []held {
	var out []held
	for _, t := range list {
		for i, p := range t.Partitions {
			since := max(epoch, 0)
			if len(t.Epochs) == len(t.Partitions) {
				since = t.Epochs[i]
			}
			out = append(out, held{partition{t.TopicID, p}, since})
		}
	}
	slices.SortFunc(out, compareHeld)
	return slices.CompactFunc(out, func(a, b held) bool { return a.partition == b.partition })
}

func (g *Group) targetEntry(member string, target []partition) *journal.TargetMember {
	v := &journal.TargetMemberValue{}
	for i, p := range target {
		if i == 0 || target[i-1].topic != p.topic {
			v.Partitions = append(v.Partitions, journal.TopicPartitions{TopicID: p.topic})
		}
		last := &v.Partitions[len(v.Partitions)-1]
		last.Partitions = append(last.Partitions, p.id)
	}
	return &journal.TargetMember{Group: g.id, Member: member, Value: v}
}

func fromTarget(v *journal.TargetMemberValue) []partition {
	out := []partition{}
	for _, t := range v.Partitions {
		for _, p := range t.Partitions {
			out = append(out, partition{t.TopicID, p})
		}
	}
	slices.SortFunc(out, comparePartitions)
	return slices.Compact(out)
}

// remove writes the entries that end a member.
func (g *Group) remove(s *step.Step, id string) {
	g.write(s, &journal.Current{Group: g.id, Member: id})
	g.write(s, &journal.TargetMember{Group: g.id, Member: id})
	g.write(s, &journal.Member{Group: g.id, Member: id})
}

// Tombstones writes the entries that delete the group.
func (g *Group) Tombstones(s *step.Step) {
	ids := g.sortedIDs()
	for _, id := range ids {
		g.write(s, &journal.Current{Group: g.id, Member: id})
	}
	for _, id := range ids {
		g.write(s, &journal.TargetMember{Group: g.id, Member: id})
	}
	g.write(s, &journal.Target{Group: g.id})
	for _, id := range ids {
		g.write(s, &journal.Member{Group: g.id, Member: id})
	}
	for _, x := range sortedKeys(g.resolved) {
		g.write(s, &journal.Regex{Group: g.id, Expression: x})
	}
	g.write(s, &journal.PartitionMetadata{Group: g.id})
	g.write(s, &journal.ConsumerGroup{Group: g.id})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
