package consumer

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Describe fills in state, epochs and members. Partitions of topics that are gone are left out.
func (g *Group) Describe(into *kmsg.ConsumerGroupDescribeResponseGroup, t Topics) {
	into.Group, into.State, into.Epoch, into.AssignmentEpoch = g.id, g.State(), g.epoch, g.targetEpoch
	into.AssignorName = g.assignor().Name()
	for _, id := range g.sortedIDs() {
		m, d := g.members[id], kmsg.NewConsumerGroupDescribeResponseGroupMember()
		d.MemberID, d.MemberEpoch, d.InstanceID, d.RackID = id, m.epoch, m.desc.InstanceID, m.desc.RackID
		d.ClientID, d.ClientHost = m.desc.ClientID, m.desc.ClientHost
		d.SubscribedTopics, d.SubscribedTopicRegex = m.desc.Topics, m.desc.Regex
		if d.MemberType = 1; m.desc.Classic != nil {
			d.MemberType = 0
		}
		d.Assignment = named(m.has(), t)
		d.TargetAssignment = named(g.targets[id], t)
		into.Members = append(into.Members, d)
	}
}

// has is what the member is responsible for: what it still has to give back as well.
func (m *member) has() []partition {
	var all []partition
	for _, list := range [][]held{m.assigned, m.revoking} {
		for _, h := range list {
			all = append(all, h.partition)
		}
	}
	slices.SortFunc(all, comparePartitions)
	return all
}

func named(list []partition, t Topics) kmsg.Assignment {
	out := kmsg.NewAssignment()
	for i, p := range list {
		topic, ok := t.ByID(p.topic)
		if !ok {
			continue
		}
		if i == 0 || list[i-1].topic != p.topic {
			tp := kmsg.NewAssignmentTopicPartition()
			tp.TopicID, tp.Topic = topic.ID, topic.Name
			out.TopicPartitions = append(out.TopicPartitions, tp)
		}
		last := &out.TopicPartitions[len(out.TopicPartitions)-1]
		last.Partitions = append(last.Partitions, p.id)
	}
	return out
}
