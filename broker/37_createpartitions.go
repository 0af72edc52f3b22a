package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreatePartitions (37), versions 0 to 3 (KIP-195). 2: flexible. All versions mean the same.

func startCreatePartitions(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.CreatePartitionsRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, milliseconds(req.TimeoutMillis))
		defer cancel()
		resp := kmsg.NewPtrCreatePartitionsResponse()
		resp.Version = req.Version
		count := map[string]int{}
		for i := range req.Topics {
			count[req.Topics[i].Topic]++
		}
		for i := range req.Topics {
			t := &req.Topics[i]
			if count[t.Topic] == 0 {
				continue // a duplicate that was answered
			}
			err := fmt.Errorf("%w: duplicate topic name", errInvalidRequest)
			if count[t.Topic] == 1 {
				err = b.createPartitions(ctx, t, req.ValidateOnly)
			}
			count[t.Topic] = 0
			rt := kmsg.NewCreatePartitionsResponseTopic()
			rt.Topic = t.Topic
			rt.ErrorCode, rt.ErrorMessage = errorFields(err)
			resp.Topics = append(resp.Topics, rt)
		}
		return reply{msg: resp}
	}
}

// createPartitions makes a topic larger and waits until the new partitions lead.
func (b *Broker) createPartitions(ctx context.Context, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	topic, err := b.addPartitions(ctx, t, validateOnly)
	if err != nil || validateOnly {
		return err
	}
	err = b.awaitLeaders(ctx, topic)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the partitions are made, but have no leaders yet: %w", err)
	}
	return err
}

func (b *Broker) addPartitions(
	ctx context.Context, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool,
) (*controller.Topic, error) {
	b.topicChange.Lock()
	defer b.topicChange.Unlock()
	p := b.planner()
	topic := p.image.Topics[t.Topic]
	if topic == nil {
		return nil, errUnknownTopic
	}
	if err := refuseInternal(t.Topic, "another number of partitions would move the groups of"); err != nil {
		return nil, err
	}
	var assignment [][]int32
	for _, a := range t.Assignment {
		assignment = append(assignment, a.Replicas)
	}
	add, err := p.grow(topic, int(t.Count), assignment)
	if err != nil || validateOnly {
		return topic, err
	}
	if err := b.controller.AddPartitions(ctx, topic.ID, len(topic.Partitions), add); err != nil {
		return nil, fmt.Errorf("add partitions to topic %s: %w", topic.Name, err)
	}
	if grown := b.controller.Image().TopicsByID[topic.ID]; grown != nil {
		return grown, nil
	}
	return nil, errUnknownTopic // deleted meanwhile
}
