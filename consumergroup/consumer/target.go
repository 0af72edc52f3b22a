package consumer

import (
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/assignor"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// retarget computes the target assignment where it is behind the group's epoch, and writes what became other.
func (g *Group) retarget(s *step.Step, t Topics) {
	if g.targetEpoch >= g.epoch {
		return
	}
	if i := g.timing().Interval; i > 0 && g.targetTime > 0 && s.Now.Before(time.UnixMilli(g.targetTime).Add(i)) {
		return
	}
	ids := g.sortedIDs()
	in := assignor.Input{Members: make([]assignor.Member, 0, len(ids)), Partitions: map[[16]byte]int{}}
	for _, id := range ids {
		m := g.members[id]
		am := assignor.Member{ID: id, Topics: g.topicsOf(m.desc, t), Owned: byTopic(g.targets[id])}
		if m.desc.InstanceID != nil {
			am.InstanceID = *m.desc.InstanceID
		}
		for _, topic := range am.Topics {
			if _, ok := in.Partitions[topic]; !ok {
				info, _ := t.ByID(topic)
				in.Partitions[topic] = info.Partitions
			}
		}
		in.Members = append(in.Members, am)
	}
	out := g.assignor().Assign(in)
	for _, id := range ids {
		target := flatten(out[id])
		if old, ok := g.targets[id]; !ok || !slices.Equal(old, target) {
			g.write(s, g.targetEntry(id, target))
		}
	}
	g.write(s, &journal.Target{Group: g.id, Value: &journal.TargetValue{Epoch: g.epoch, Timestamp: s.Now.UnixMilli()}})
}

// assignor is the one that most members ask for; of equals the first by name. The default where nobody asks, or for what is not known here.
func (g *Group) assignor() assignor.Assignor {
	best, votes := "", 0
	for _, name := range sortedKeys(g.assignors) {
		if g.assignors[name] > votes {
			best, votes = name, g.assignors[name]
		}
	}
	all := assignor.All()
	for _, a := range all {
		if a.Name() == best {
			return a
		}
	}
	return all[0]
}

func byTopic(list []partition) map[[16]byte][]int32 {
	out := make(map[[16]byte][]int32)
	for _, p := range list {
		out[p.topic] = append(out[p.topic], p.id)
	}
	return out
}

func flatten(topics map[[16]byte][]int32) []partition {
	out := []partition{}
	for topic, ids := range topics {
		for _, id := range ids {
			out = append(out, partition{topic, id})
		}
	}
	slices.SortFunc(out, comparePartitions)
	return out
}
