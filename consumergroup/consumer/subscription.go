package consumer

import (
	"encoding/binary"
	"hash/fnv"
	"slices"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
)

// change is what a member's new description means for the group.
type change struct {
	names    bool   // other topic names
	oldRegex string // "": none
	newRegex string
}

func changeOf(was, is *journal.MemberValue) change {
	return change{names: !slices.Equal(was.Topics, is.Topics), oldRegex: regexOf(was), newRegex: regexOf(is)}
}

// any says whether the member subscribes to something else than before.
func (c change) any() bool { return c.names || c.oldRegex != c.newRegex }

// subscribe bumps the group's epoch where a change, or what happened to the topics, asks for another target. It costs nothing where neither has
// happened.
func (g *Group) subscribe(s *step.Step, c change, t Topics) {
	bump := c.any()
	if c.oldRegex != c.newRegex {
		g.forgetRegex(s, c.oldRegex)
	}
	if g.resolve(s, t) {
		bump = true
	}
	if !bump && g.hashed.is(t) {
		return
	}
	hash := g.metadataHash(t)
	g.hashed = see(t)
	if bump || hash != g.hash {
		g.write(s, &journal.ConsumerGroup{Group: g.id, Value: &journal.ConsumerGroupValue{Epoch: g.epoch + 1, MetadataHash: hash}})
	}
}

// metadataHash changes when a subscribed topic comes, goes, is made again or grows. 0: none of the topics exists. (KIP-1101; Kafka has another hash
// function, but whose the hash is matters to nobody: one that differs costs one rebalance.)
func (g *Group) metadataHash(t Topics) int64 {
	names := sortedKeys(g.names)
	for name := range g.matched {
		if g.names[name] == 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	h, some := fnv.New64a(), false
	var buf []byte
	for _, name := range names {
		if topic, ok := t.Topic(name); ok {
			buf = append(append(buf[:0], topic.ID[:]...), name...)
			h.Write(binary.BigEndian.AppendUint32(append(buf, 0), uint32(topic.Partitions)))
			some = true
		}
	}
	if !some {
		return 0
	}
	return int64(h.Sum64())
}

// subscribed says whether a member described by d reads the topic.
func (g *Group) subscribed(d *journal.MemberValue, topic string) bool {
	if _, ok := slices.BinarySearch(d.Topics, topic); ok {
		return true
	}
	_, ok := slices.BinarySearch(g.resolved[regexOf(d)], topic)
	return ok
}

// topicsOf are the ids of the topics that d subscribes to and that exist, with those of names in both of its subscriptions once.
func (g *Group) topicsOf(d *journal.MemberValue, t Topics) [][16]byte {
	var ids [][16]byte
	for _, name := range d.Topics {
		if topic, ok := t.Topic(name); ok {
			ids = append(ids, topic.ID)
		}
	}
	for _, name := range g.resolved[regexOf(d)] {
		if _, both := slices.BinarySearch(d.Topics, name); both {
			continue
		}
		if topic, ok := t.Topic(name); ok {
			ids = append(ids, topic.ID)
		}
	}
	return ids
}
