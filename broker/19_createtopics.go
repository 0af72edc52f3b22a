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

// madeTopic is the outcome of making one topic.
type madeTopic struct {
	topic *controller.Topic
	err   error
}

// createTopics makes topics, or with validateOnly says of each whether it could be made; one outcome a spec. It does not wait for
// leaders. The commands are proposed side by side, so that many share a write of the controller's log and an image.
func (b *Broker) createTopics(ctx context.Context, specs []topicSpec, validateOnly bool) []madeTopic {
	b.topicChange.Lock() // so that names and room are still as they were checked
	defer b.topicChange.Unlock()
	p := b.planner()
	made := make([]madeTopic, len(specs))
	planned := make([]controller.NewTopic, len(specs))
	var accepted []int
	for i := range specs {
		n, err := p.plan(b.completeInternal(specs[i]))
		planned[i], made[i].err = n, err
		switch {
		case err != nil:
		case validateOnly:
			made[i].topic = &controller.Topic{Name: n.Name, Partitions: n.Partitions, Configs: n.Configs}
		default:
			p.take(n)
			accepted = append(accepted, i)
		}
	}
	_ = sideBySide(accepted, func(i int) error {
		made[i].topic, made[i].err = b.controller.CreateTopic(ctx, planned[i])
		return nil
	})
	return made
}

func (b *Broker) planner() *planner {
	v := b.view()
	return &planner{
		image: v.Image, partitions: b.cfg.NumPartitions, factor: b.cfg.Factor(len(v.Brokers)),
		perBroker: b.maxPartitions, configs: v.defaults, alive: b.aliveServer,
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

// milliseconds is a client's timeout, of maxRequestTime at most; none or less is no time at all.
func milliseconds(n int32) time.Duration {
	return min(time.Duration(max(n, 0))*time.Millisecond, maxRequestTime)
}

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
	var specs []topicSpec
	var places []int // of specs, in the response
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		if c.count[t.Topic] == 0 {
			continue // a duplicate that was answered
		}
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = t.Topic
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		rt.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		spec, err := c.spec(t)
		c.count[t.Topic] = 0
		if rt.ErrorCode, rt.ErrorMessage = errorFields(err); err == nil {
			specs, places = append(specs, spec), append(places, len(c.resp.Topics))
		}
		c.resp.Topics = append(c.resp.Topics, rt)
	}
	made := map[int]*controller.Topic{} // by place in the response
	for i, m := range c.b.createTopics(ctx, specs, c.req.ValidateOnly) {
		rt := &c.resp.Topics[places[i]]
		if rt.ErrorCode, rt.ErrorMessage = errorFields(m.err); m.err == nil {
			c.b.fillCreated(rt, m.topic)
			made[places[i]] = m.topic
		}
	}
	if !c.req.ValidateOnly {
		c.await(ctx, made)
	}
}

func (c *topicCreator) await(ctx context.Context, made map[int]*controller.Topic) {
	for at, t := range made {
		err := c.b.awaitLeaders(ctx, t)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the topic is made, but has no leaders yet: %w", err)
		}
		rt := &c.resp.Topics[at]
		rt.ErrorCode, rt.ErrorMessage = errorFields(err)
	}
}

// spec is what the request says of a topic.
func (c *topicCreator) spec(t *kmsg.CreateTopicsRequestTopic) (topicSpec, error) {
	if c.count[t.Topic] > 1 {
		return topicSpec{}, fmt.Errorf("%w: duplicate topic name", errInvalidRequest)
	}
	spec := topicSpec{name: t.Topic, partitions: t.NumPartitions, factor: t.ReplicationFactor}
	for _, a := range t.ReplicaAssignment {
		spec.assignment = append(spec.assignment, assignedReplicas{partition: a.Partition, replicas: a.Replicas})
	}
	for _, kv := range t.Configs {
		if kv.Value == nil {
			return spec, fmt.Errorf("%w: null value not supported for topic configs: %s", topicconfig.ErrInvalid, kv.Name)
		}
		if spec.configs == nil {
			spec.configs = map[string]string{}
		}
		spec.configs[kv.Name] = *kv.Value
	}
	return spec, nil
}

func (b *Broker) fillCreated(rt *kmsg.CreateTopicsResponseTopic, t *controller.Topic) {
	rt.TopicID = t.ID
	rt.NumPartitions = int32(min(len(t.Partitions), math.MaxInt32))
	rt.ReplicationFactor = int16(len(t.Partitions[0].Replicas))
	for _, d := range b.describeTopicKeys(b.controller.Image(), t) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = d.Name, d.Value, int8(d.Source)
		rt.Configs = append(rt.Configs, c)
	}
}
