package classic

import (
	"encoding/binary"
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SubscribedTo says whether a member reads the topic, as far as the broker can tell (protocol type consumer). Of consumers whose metadata it does not
// understand it says so of each topic.
func (g *Group) SubscribedTo(topic string) bool {
	if g.topics == nil {
		return g.protocolType == consumerType
	}
	_, ok := g.topics[topic]
	return ok
}

// subscriptions is what the members of this generation are subscribed to, nil where that cannot be told.
func (g *Group) subscriptions() map[string]struct{} {
	if g.protocolType != consumerType {
		return nil
	}
	all := map[string]struct{}{}
	for _, m := range g.members {
		topics, ok := subscribed(m.Metadata(g.protocol))
		if !ok {
			return nil
		}
		for _, t := range topics {
			all[t] = struct{}{}
		}
	}
	return all
}

// subscribed is the topics in a consumer's metadata. All versions begin as version 0 does, so it is read as that, whatever follows.
func subscribed(metadata []byte) ([]string, bool) {
	if len(metadata) < 2 || int16(binary.BigEndian.Uint16(metadata)) < 0 {
		return nil, false
	}
	var v kmsg.ConsumerMemberMetadata
	err := v.ReadFrom(append([]byte{0, 0}, metadata[2:]...))
	return v.Topics, err == nil
}

// sameTopics says whether two metadata of a member say the same about what it reads. Those that are not understood do not matter: Kafka does not
// look at them at all.
func (g *Group) sameTopics(a, b []byte) bool {
	if g.protocolType != consumerType {
		return true
	}
	before, okBefore := subscribed(a)
	after, okAfter := subscribed(b)
	return !okBefore || !okAfter || maps.Equal(set(before), set(after))
}

// set is a list as a set.
func set(list []string) map[string]struct{} {
	s := make(map[string]struct{}, len(list))
	for _, v := range list {
		s[v] = struct{}{}
	}
	return s
}
