package consumer

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerProtocol is the classic protocol type of consumers, whose metadata and assignments the broker understands.
const consumerProtocol = "consumer"

// newestConsumerProtocol is the newest version of the metadata and assignments of consumers.
const newestConsumerProtocol = 3

// subscription is what a classic consumer says of itself.
type subscription struct{ kmsg.ConsumerMemberMetadata }

// readSubscription reads the metadata of a protocol. INCONSISTENT_GROUP_PROTOCOL: it is not that of a consumer.
func readSubscription(metadata []byte) (s subscription, err error) {
	if err := s.ReadFrom(metadata); err != nil || s.Version < 0 {
		return s, fmt.Errorf("metadata is not a consumer's: %w", kerr.InconsistentGroupProtocol)
	}
	return s, nil
}

// owned is what the member reports to own: never nothing, since a consumer that says no partitions (as all of version 0 do) has given up all.
func (s *subscription) owned(t Topics) ownedPartitions {
	owned := ownedPartitions{}
	for _, o := range s.OwnedPartitions {
		if topic, ok := t.Topic(o.Topic); ok {
			r := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			r.TopicID, r.Partitions = topic.ID, o.Partitions
			owned = append(owned, r)
		}
	}
	return owned
}

// ownedList is the partitions that the member reports to own, sorted.
func (s *subscription) ownedList(t Topics) []partition {
	var list []partition
	for _, o := range s.owned(t) {
		for _, p := range o.Partitions {
			list = append(list, partition{o.TopicID, p})
		}
	}
	slices.SortFunc(list, comparePartitions)
	return slices.Compact(list)
}

// readAssignment is the partitions that a classic assignment gives, of topics that exist, sorted. What an assignor of one's own has put into it
// beside would be lost here, so that is an error, as is what is not a consumer's.
func readAssignment(assignment []byte, t Topics) ([]partition, error) {
	if len(assignment) == 0 {
		return nil, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(assignment); err != nil || a.Version < 0 {
		return nil, fmt.Errorf("assignment is not a consumer's: %w", kerr.GroupIDNotFound)
	}
	if len(a.UserData) > 0 {
		return nil, fmt.Errorf("assignment holds data of an assignor of its own: %w", kerr.GroupIDNotFound)
	}
	var list []partition
	for _, at := range a.Topics {
		if topic, ok := t.Topic(at.Topic); ok {
			for _, p := range at.Partitions {
				list = append(list, partition{topic.ID, p})
			}
		}
	}
	slices.SortFunc(list, comparePartitions)
	return slices.Compact(list), nil
}

// writeAssignment is a classic assignment in the version of the member's metadata. Partitions of topics that are gone are left out.
func writeAssignment(list []partition, metadata []byte, t Topics) []byte {
	var a kmsg.ConsumerMemberAssignment
	if len(metadata) >= 2 {
		a.Version = max(0, min(newestConsumerProtocol, int16(binary.BigEndian.Uint16(metadata))))
	}
	for _, tp := range named(list, t).TopicPartitions {
		at := kmsg.NewConsumerMemberAssignmentTopic()
		at.Topic, at.Partitions = tp.Topic, tp.Partitions
		a.Topics = append(a.Topics, at)
	}
	return a.AppendTo(nil)
}

func partitionsOf(list []held) []partition {
	out := make([]partition, len(list))
	for i, h := range list {
		out[i] = h.partition
	}
	return out
}

// protocol is the one that a classic member likes best. Nobody else's choice matters here.
func (m *member) protocol() *journal.ClassicProtocol { return &m.desc.Classic.Protocols[0] }

func sameClassic(a, b *journal.ClassicMember) bool {
	return a != nil && a.SessionTimeoutMs == b.SessionTimeoutMs && slices.EqualFunc(a.Protocols, b.Protocols, func(x, y journal.ClassicProtocol) bool {
		return x.Name == y.Name && string(x.Metadata) == string(y.Metadata)
	})
}
