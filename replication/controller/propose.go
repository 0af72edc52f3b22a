package controller

import (
	"context"
)

// NewTopic says what CreateTopic makes. The caller has validated names and configurations.
type NewTopic struct {
	Name       string
	Partitions []Partition
	Configs    map[string]string
}

// ConfigChange sets (Value not nil) or removes one configuration key.
type ConfigChange struct {
	Key   string  `json:"key"`
	Value *string `json:"value"`
}

// The methods below change the cluster's metadata, on any broker, and return once the change is durable and in Image. They go on while there
// is no controller, or another one, until ctx ends: then ErrTimeout, and the change may still happen. ErrNotController where nothing has been
// changed: the controller is closing, or it is another broker and there is no Options.Forward.

// CreateTopic makes a topic with a new id and returns it. ErrTopicExists.
func (c *Controller) CreateTopic(ctx context.Context, t NewTopic) (*Topic, error) {
	r, err := c.propose(ctx, &createTopic{Topic: Topic{Name: t.Name, ID: newUUID(), Partitions: t.Partitions, Configs: t.Configs}})
	return r.topic, err
}

// DeleteTopic removes a topic. ErrUnknownTopic.
func (c *Controller) DeleteTopic(ctx context.Context, id TopicID) error {
	_, err := c.propose(ctx, &deleteTopic{ID: id})
	return err
}

// AddPartitions appends partitions to a topic. ErrUnknownTopic, ErrPartitions when from is no longer the partition count.
func (c *Controller) AddPartitions(ctx context.Context, id TopicID, from int, add []Partition) error {
	_, err := c.propose(ctx, &addPartitions{ID: id, From: from, Add: add})
	return err
}

// AlterTopicConfigs applies all changes or none. ErrUnknownTopic.
func (c *Controller) AlterTopicConfigs(ctx context.Context, id TopicID, changes []ConfigChange) error {
	_, err := c.propose(ctx, &alterTopicConfigs{ID: id, Changes: changes})
	return err
}

// AlterBrokerConfigs applies all changes or none; broker -1 is the cluster-wide default.
func (c *Controller) AlterBrokerConfigs(ctx context.Context, broker int32, changes []ConfigChange) error {
	_, err := c.propose(ctx, &alterBrokerConfigs{Broker: broker, Changes: changes})
	return err
}

// AlterGroupConfigs applies all changes or none.
func (c *Controller) AlterGroupConfigs(ctx context.Context, group string, changes []ConfigChange) error {
	_, err := c.propose(ctx, &alterGroupConfigs{Group: group, Changes: changes})
	return err
}

// ProducerIDs reserves a block of n producer ids, unique for the life of the cluster, and returns the first.
func (c *Controller) ProducerIDs(ctx context.Context, n int32) (int64, error) {
	r, err := c.propose(ctx, &reserveProducerIDs{Count: n})
	return r.producerID, err
}

// UnregisterBroker forgets a broker. ErrUnknownBroker; ErrHasReplicas while it has any.
func (c *Controller) UnregisterBroker(ctx context.Context, id int32) error {
	_, err := c.propose(ctx, &unregisterBroker{ID: id})
	return err
}

// Reassign begins, replaces or takes back reassignments, and says for each of them what came of it: nil, ErrUnknownTopic, ErrUnknownPartition,
// ErrReplicas (with ErrUnknownBroker where one is not registered), ErrNoReassignment. A reassignment that is taken back is one to what
// there was before, which ends by CompleteReassignment as well. What changes nothing but the order of the replicas is complete at once.
func (c *Controller) Reassign(ctx context.Context, moves []Reassignment) ([]error, error) {
	r, err := c.propose(ctx, &reassignPartitions{Moves: moves})
	return r.each, err
}

// CompleteReassignment makes target the partition's replicas, when its Raft group has come to that. ErrUnknownTopic, ErrUnknownPartition;
// ErrOtherTarget when the image wants something else by now. It is no error where that was done before.
func (c *Controller) CompleteReassignment(ctx context.Context, id TopicID, partition int32, target []int32) error {
	_, err := c.propose(ctx, &completeReassignment{ID: id, Partition: partition, Target: target})
	return err
}
