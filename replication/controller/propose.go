package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
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

// The methods below change the cluster's metadata and return once the change is durable and in Image. All of them return
// ErrNotController on a broker that does not lead the controller group (or is closing), and ErrTimeout when the outcome is not known:
// the change may still happen.

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
// ErrReplicas (with ErrUnknownBroker where one is not registered), ErrNoReassignment. A reassignment that is taken back is a reassignment to what there
// was before, which ends by CompleteReassignment as well. What changes nothing but the order of the replicas is complete at once.
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

// propose runs one command through the log. What several goroutines propose at the same time shares one write and one image.
func (c *Controller) propose(ctx context.Context, cmd command) (result, error) {
	if ctx.Err() != nil {
		return result{}, timeout(ctx)
	}
	data, err := encodeCommand(cmd)
	if err != nil {
		return result{}, err
	}
	var enqueue time.Duration // 0: as long as it takes
	if deadline, ok := ctx.Deadline(); ok {
		enqueue = max(time.Until(deadline), time.Nanosecond)
	}
	if !c.begin() {
		return result{}, fmt.Errorf("%w: it is closing", ErrNotController)
	}
	done := make(chan result, 1)
	go func() {
		defer c.calls.Done()
		done <- outcome(c.raft.Apply(data, enqueue))
	}()
	select {
	case r := <-done:
		return r, r.err
	case <-ctx.Done():
		return result{}, timeout(ctx)
	}
}

// begin counts a command that Close waits for; false once Close was called.
func (c *Controller) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.calls.Add(1)
	return true
}

// outcome waits for a command and sorts Raft's errors into the package's.
func outcome(f raft.ApplyFuture) result {
	err := f.Error()
	switch {
	case err == nil:
		return f.Response().(result)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrRaftShutdown), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return result{err: fmt.Errorf("%w: %w", ErrNotController, err)}
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipLost):
		return result{err: fmt.Errorf("%w: %w", ErrTimeout, err)}
	}
	return result{err: fmt.Errorf("controller log: %w", err)}
}

// timeout is ErrTimeout with the reason why ctx ended.
func timeout(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
}
