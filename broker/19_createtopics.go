package broker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopics (19), versions 0 to 7. 1: error messages, validate only. 4: -1 for the defaults. 5: flexible; counts and
// configuration in the response (KIP-525). 7: topic ids.

// createTopic makes a topic, or with validateOnly says whether it could be made. It does not wait for leaders.
func (b *Broker) createTopic(ctx context.Context, spec topicSpec, validateOnly bool) (*controller.Topic, error) {
	b.topicChange.Lock() // so that names and room are still as they were checked
	defer b.topicChange.Unlock()
	planned, err := b.planner().plan(spec)
	if err != nil {
		return nil, err
	}
	if validateOnly {
		return &controller.Topic{Name: planned.Name, Partitions: planned.Partitions, Configs: planned.Configs}, nil
	}
	return b.controller.CreateTopic(ctx, planned)
}

func (b *Broker) planner() *planner {
	return &planner{
		image: b.controller.Image(), partitions: b.cfg.NumPartitions, factor: b.cfg.ReplicationFactor,
		perBroker: b.maxPartitions,
	}
}

func startCreateTopics(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.CreateTopicsRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, milliseconds(req.TimeoutMillis))
		defer cancel()
		c := &topicCreator{b: b, req: req, count: map[string]int{}, resp: kmsg.NewPtrCreateTopicsResponse()}
		c.resp.Version = req.Version
		c.run(ctx)
		return reply{msg: c.resp}
	}
}

// milliseconds is a client's timeout; none or less is no time at all.
func milliseconds(n int32) time.Duration { return time.Duration(max(n, 0)) * time.Millisecond }

// topicCreator answers one CreateTopics request.
type topicCreator struct {
	b     *Broker
	req   *kmsg.CreateTopicsRequest
	resp  *kmsg.CreateTopicsResponse
	count map[string]int // how often a name occurs
}

// run makes all topics before it waits for the first: their partitions open side by side.
func (c *topicCreator) run(ctx context.Context) {
	for i := range c.req.Topics {
		c.count[c.req.Topics[i].Topic]++
	}
	made := map[int]*controller.Topic{} // by place in the response
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		if c.count[t.Topic] == 0 {
			continue // a duplicate that was answered
		}
		topic, err := c.create(ctx, t)
		c.count[t.Topic] = 0
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = t.Topic
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		if err != nil {
			rt.ErrorCode, rt.ErrorMessage = errorFields(err)
			rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		} else {
			fillCreated(&rt, topic)
			made[len(c.resp.Topics)] = topic
		}
		c.resp.Topics = append(c.resp.Topics, rt)
	}
	if !c.req.ValidateOnly {
		c.await(ctx, made)
	}
}

func (c *topicCreator) await(ctx context.Context, made map[int]*controller.Topic) {
	for at, t := range made {
		err := c.b.reconciler.awaitLeaders(ctx, t)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the topic is made, but has no leaders yet: %w", err)
		}
		rt := &c.resp.Topics[at]
		rt.ErrorCode, rt.ErrorMessage = errorFields(err)
	}
}

func (c *topicCreator) create(ctx context.Context, t *kmsg.CreateTopicsRequestTopic) (*controller.Topic, error) {
	if c.count[t.Topic] > 1 {
		return nil, fmt.Errorf("%w: duplicate topic name", errInvalidRequest)
	}
	spec := topicSpec{name: t.Topic, partitions: t.NumPartitions, factor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		spec.assignment = append(spec.assignment, assignedReplicas{partition: a.Partition, replicas: a.Replicas})
	}
	for _, kv := range t.Configs {
		if kv.Value == nil {
			return nil, fmt.Errorf("%w: null value not supported for topic configs: %s", topicconfig.ErrInvalid, kv.Name)
		}
		if spec.configs == nil {
			spec.configs = map[string]string{}
		}
		spec.configs[kv.Name] = *kv.Value
	}
	return c.b.createTopic(ctx, spec, c.req.ValidateOnly)
}

func fillCreated(rt *kmsg.CreateTopicsResponseTopic, t *controller.Topic) {
	rt.TopicID = t.ID
	rt.NumPartitions = int32(min(len(t.Partitions), math.MaxInt32))
	rt.ReplicationFactor = int16(len(t.Partitions[0].Replicas))
	for _, k := range topicconfig.Keys() {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		value, source := topicValue(k, t)
		c.Name, c.Value, c.Source = k.Name, &value, int8(source)
		rt.Configs = append(rt.Configs, c)
	}
}
