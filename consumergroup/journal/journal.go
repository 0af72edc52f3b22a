// Package journal is the records of __consumer_offsets, with Kafka's own schemas, so that every tool that reads that topic understands them.
package journal

import "github.com/twmb/franz-go/pkg/kmsg"

// Entry is one record of the journal: the key's fields, and a Value that is nil for a tombstone.
type Entry interface {
	// GroupID is the group that the entry belongs to.
	GroupID() string
}

// The entries, by the type number in their keys.
type (
	// OffsetCommit (key versions 0 and 1) is a committed offset.
	OffsetCommit struct {
		Group     string
		Topic     string
		Partition int32
		Value     *kmsg.OffsetCommitValue
	}
	// GroupMetadata (2) is a classic group after a rebalance.
	GroupMetadata struct {
		Group string
		Value *kmsg.GroupMetadataValue
	}
	// ConsumerGroup (3) is a consumer group's epoch (KIP-848).
	ConsumerGroup struct {
		Group string
		Value *ConsumerGroupValue
	}
	// PartitionMetadata (4) is what brokers before Kafka 4.1 wrote. It is understood as a tombstone or ignored, never written with a value.
	PartitionMetadata struct{ Group string }
	// Member (5) is a member of a consumer group as it described itself.
	Member struct {
		Group, Member string
		Value         *MemberValue
	}
	// Target (6) is the epoch of a consumer group's target assignment.
	Target struct {
		Group string
		Value *TargetValue
	}
	// TargetMember (7) is what the target assignment gives a member.
	TargetMember struct {
		Group, Member string
		Value         *TargetMemberValue
	}
	// Current (8) is what a member has and gives back.
	Current struct {
		Group, Member string
		Value         *CurrentValue
	}
	// Regex (16) is a regular expression resolved to topics.
	Regex struct {
		Group, Expression string
		Value             *RegexValue
	}
)

// GroupID implements Entry.
func (e *OffsetCommit) GroupID() string      { return e.Group }
func (e *GroupMetadata) GroupID() string     { return e.Group }
func (e *ConsumerGroup) GroupID() string     { return e.Group }
func (e *PartitionMetadata) GroupID() string { return e.Group }
func (e *Member) GroupID() string            { return e.Group }
func (e *Target) GroupID() string            { return e.Group }
func (e *TargetMember) GroupID() string      { return e.Group }
func (e *Current) GroupID() string           { return e.Group }
func (e *Regex) GroupID() string             { return e.Group }
