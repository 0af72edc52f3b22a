package broker

import (
	"iter"

	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/replication/controller"
)

// migrations are the values of group.consumer.migration.policy.
var migrations = map[string]consumer.Migration{
	"bidirectional": consumer.Bidirectional, "upgrade": consumer.Upgrades, "downgrade": consumer.Downgrades, "disabled": consumer.Disabled,
}

// options is what the coordinator of a journal of so many partitions is told.
func (g *groups) options(partitions int) consumergroup.Options {
	cfg := &g.b.cfg.Groups
	o := consumergroup.Options{
		Partitions: partitions,
		Classic: classic.Config{
			MinSession: cfg.MinSession, MaxSession: cfg.MaxSession, InitialDelay: cfg.InitialDelay, MaxSize: cfg.MaxSize, MaxRecord: maxJournalBatch / 2,
		},
		Topics:           func() consumer.Topics { return clusterTopics{g.b.controller.Image()} },
		OffsetsRetention: cfg.OffsetsRetention, RetentionCheck: cfg.OffsetsCheck,
		MaxOffsetMetadata: cfg.OffsetMetadata, MaxGroups: maxGroups, MaxBytes: maxGroupBytes, MaxBatch: maxJournalBatch,
		Logger: g.b.log,
	}
	o.Consumer = consumer.Config{
		Timing: g.usualTiming(), Group: g.timing,
		MaxSize: cfg.NewMaxSize, Migration: migrations[cfg.Migration], Classic: &o.Classic,
	}
	return o
}

// clusterTopics is the topics of an image as group coordinators see them.
type clusterTopics struct{ image *controller.Image }

var _ consumer.Topics = clusterTopics{}

// Topic finds a topic by name.
func (t clusterTopics) Topic(name string) (consumer.Topic, bool) {
	return groupTopic(t.image.Topics[name])
}

// ByID finds a topic by id.
func (t clusterTopics) ByID(id [16]byte) (consumer.Topic, bool) {
	return groupTopic(t.image.TopicsByID[id])
}

// All goes over the topics, in no order.
func (t clusterTopics) All() iter.Seq[consumer.Topic] {
	return func(yield func(consumer.Topic) bool) {
		for _, topic := range t.image.Topics {
			if found, _ := groupTopic(topic); !yield(found) {
				return
			}
		}
	}
}

// Version grows with every change.
func (t clusterTopics) Version() uint64 { return t.image.Version }

func groupTopic(t *controller.Topic) (consumer.Topic, bool) {
	if t == nil {
		return consumer.Topic{}, false
	}
	return consumer.Topic{ID: t.ID, Name: t.Name, Partitions: len(t.Partitions)}, true
}
