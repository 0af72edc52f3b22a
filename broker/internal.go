package broker

import (
	"fmt"
	"maps"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/consumergroup"
)

// Internal topics are the broker's own. Clients read them; what is written to them, and how many partitions they have, is the broker's to say.

func isInternal(topic string) bool { return topic == consumergroup.JournalTopic }

// refuseInternal refuses what clients may not do to the broker's own topics.
func refuseInternal(topic, what string) error {
	if !isInternal(topic) {
		return nil
	}
	return fmt.Errorf("%w: %s %s, which holds the consumer groups", errInternalTopic, what, topic)
}

// journalConfigs are those of the journal of consumer groups: Kafka's.
var journalConfigs = map[string]string{
	"cleanup.policy": topicconfig.Compact, "compression.type": "producer", "segment.bytes": "104857600",
}

// completeInternal fills in what a request to make an internal topic leaves open; other topics stay as they are.
func (b *Broker) completeInternal(spec topicSpec) topicSpec {
	if !isInternal(spec.name) {
		return spec
	}
	if spec.partitions == -1 && spec.assignment == nil {
		spec.partitions = b.cfg.Groups.JournalPartitions
	}
	configs := maps.Clone(journalConfigs)
	maps.Copy(configs, spec.configs)
	spec.configs = configs
	return spec
}

// configOf is the configuration of a topic that sets values.
func configOf(topic string, defaults topicconfig.Config, values map[string]string) (topicconfig.Config, error) {
	if isInternal(topic) {
		return defaults.WithCompact(values)
	}
	return defaults.With(values)
}
