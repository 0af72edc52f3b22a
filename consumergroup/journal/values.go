package journal

import "errors"

// ErrUnknown is a record of a type or version that is not known here.
var ErrUnknown = errors.New("unknown type of journal record")

// TopicPartitions are partitions of one topic.
type TopicPartitions struct {
	TopicID    [16]byte
	Partitions []int32
}

// AssignedPartitions are partitions of one topic that a member has.
type AssignedPartitions struct {
	TopicID    [16]byte
	Partitions []int32
	// Epochs has, for each partition, the epoch in which the member got it (KIP-1251, tag 0); nil: written before Kafka 4.3, not known.
	Epochs []int32
}

// ConsumerGroupValue is the value of a ConsumerGroup.
type ConsumerGroupValue struct {
	Epoch        int32
	MetadataHash int64 // of the subscribed topics (KIP-1101), tag 0
}

// MemberValue is the value of a Member.
type MemberValue struct {
	InstanceID           *string
	RackID               *string
	ClientID, ClientHost string
	Topics               []string
	Regex                *string
	RebalanceTimeoutMs   int32
	Assignor             *string
	Classic              *ClassicMember // a member that speaks the classic protocol, tag 0
}

// ClassicMember is what a member of a consumer group that speaks the classic protocol has beside.
type ClassicMember struct {
	SessionTimeoutMs int32
	Protocols        []ClassicProtocol
}

// ClassicProtocol is one protocol that a classic member offers.
type ClassicProtocol struct {
	Name     string
	Metadata []byte
}

// TargetValue is the value of a Target.
type TargetValue struct {
	Epoch     int32
	Timestamp int64 // when it was computed, ms since the epoch (KIP-1263, tag 0)
}

// TargetMemberValue is the value of a TargetMember.
type TargetMemberValue struct{ Partitions []TopicPartitions }

// CurrentValue is the value of a Current.
type CurrentValue struct {
	Epoch         int32
	PreviousEpoch int32
	State         int8
	Assigned      []AssignedPartitions
	Revoking      []AssignedPartitions
}

// RegexValue is the value of a Regex.
type RegexValue struct {
	Topics    []string
	Version   int64
	Timestamp int64 // ms since the epoch
}
