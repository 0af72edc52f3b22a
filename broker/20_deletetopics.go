package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteTopics (20), versions 0 to 6. 4: flexible. 5: error messages. 6: topics by name or by id (KIP-516).

func startDeleteTopics(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DeleteTopicsRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, milliseconds(req.TimeoutMillis))
		defer cancel()
		resp := kmsg.NewPtrDeleteTopicsResponse()
		resp.Version = req.Version
		wanted := deletedTopics(req)
		count := map[topicKey]int{}
		for _, k := range wanted {
			count[k.topicKey]++
		}
		for _, k := range wanted {
			if count[k.topicKey] == 0 {
				continue // a duplicate that was answered
			}
			rt := kmsg.NewDeleteTopicsResponseTopic()
			rt.Topic, rt.TopicID = k.given, k.id
			err := b.deleteTopic(ctx, k, count[k.topicKey], &rt)
			count[k.topicKey] = 0
			rt.ErrorCode, rt.ErrorMessage = errorFields(err)
			resp.Topics = append(resp.Topics, rt)
		}
		b.awaitDeleted(ctx, resp)
		return reply{msg: resp}
	}
}

// deletedTopic is a topic as a DeleteTopics request names it.
type deletedTopic struct {
	topicKey
	given *string // the name, if there is one
}

func deletedTopics(req *kmsg.DeleteTopicsRequest) []deletedTopic {
	var keys []deletedTopic
	for i := range req.TopicNames {
		keys = append(keys, deletedTopic{topicKey: topicKey{name: req.TopicNames[i]}, given: &req.TopicNames[i]})
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		k := deletedTopic{topicKey: topicKey{id: t.TopicID}, given: t.Topic}
		if t.Topic != nil {
			k.name = *t.Topic
		}
		keys = append(keys, k)
	}
	return keys
}

func (b *Broker) deleteTopic(ctx context.Context, k deletedTopic, times int, rt *kmsg.DeleteTopicsResponseTopic) error {
	switch {
	case k.byID() && k.given != nil:
		return fmt.Errorf("%w: you may not specify both topic name and topic id", errInvalidRequest)
	case !k.byID() && k.given == nil:
		return fmt.Errorf("%w: neither topic name nor id were specified", errInvalidRequest)
	case times > 1:
		return fmt.Errorf("%w: duplicate topic", errInvalidRequest)
	}
	v := b.view()
	t, err := v.named(k.topicKey)
	if errors.Is(err, errInvalidTopic) {
		err = errUnknownTopic // a name that cannot be is not there
	}
	if err != nil {
		return err
	}
	rt.Topic, rt.TopicID = &t.Name, t.ID
	if err := refuseInternal(t.Name, "it is not possible to delete"); err != nil {
		return err
	}
	if err := b.controller.DeleteTopic(ctx, t.ID); err != nil {
		return fmt.Errorf("delete topic %s: %w", t.Name, err)
	}
	return nil
}

// awaitDeleted waits until this broker has let go of the deleted topics' partitions. The topics are gone in any case: that
// their files are not yet is no error.
func (b *Broker) awaitDeleted(ctx context.Context, resp *kmsg.DeleteTopicsResponse) {
	for i := range resp.Topics {
		if resp.Topics[i].ErrorCode == 0 {
			if err := b.reconciler.await(ctx, b.controller.Image()); err != nil {
				b.log.Debug("deleted topics still have files", "err", err)
			}
			return
		}
	}
}
