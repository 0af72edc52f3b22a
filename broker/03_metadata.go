package broker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Metadata (3), versions 0 to 13. 0: no topics means all; from 1 on null does. 2: cluster id. 4: the client says whether
// topics may be made. 5: offline replicas. 7: leader epochs. 8: authorized operations. 9: flexible. 10: topic ids. 12:
// topics by id. 13: an error for the whole.

// autoCreateWait is how long a client waits for a topic that its request made to have leaders; then it gets
// LEADER_NOT_AVAILABLE and comes back.
const autoCreateWait = 5 * time.Second

func startMetadata(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.MetadataRequest)
	return func(ctx context.Context) reply {
		topics := b.metadataTopics(ctx, req)
		resp := kmsg.NewPtrMetadataResponse()
		resp.Version = req.Version
		resp.Topics = topics
		image := b.controller.Image()
		resp.ClusterID, resp.ControllerID = &image.ClusterID, b.controllerID(image)
		for _, n := range b.aliveBrokers(image) {
			rb := kmsg.NewMetadataResponseBroker()
			rb.NodeID, rb.Rack = n.ID, nullable(n.Rack)
			rb.Host, rb.Port = b.endpoint(r.conn, n)
			resp.Brokers = append(resp.Brokers, rb)
		}
		if req.IncludeClusterAuthorizedOperations {
			resp.AuthorizedOperations = clusterOperations
		}
		return reply{msg: resp}
	}
}

// topicKey is a topic as a request names it: by id where the id is set, else by name.
type topicKey struct {
	id   controller.TopicID
	name string
}

func (k topicKey) byID() bool { return k.id != controller.TopicID{} }

func (b *Broker) metadataTopics(ctx context.Context, req *kmsg.MetadataRequest) []kmsg.MetadataResponseTopic {
	v := b.view()
	var topics []kmsg.MetadataResponseTopic
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		for _, t := range v.topics {
			topics = append(topics, b.describeTopic(v, req, t))
		}
		slices.SortFunc(topics, func(a, b kmsg.MetadataResponseTopic) int { return cmp.Compare(*a.Topic, *b.Topic) })
		return topics
	}
	if b.cfg.AutoCreateTopics && (req.AllowAutoTopicCreation || req.Version < 4) {
		v = b.autoCreate(ctx, v, req)
	}
	seen := make(map[topicKey]bool, len(req.Topics))
	for i := range req.Topics {
		k := topicKey{id: req.Topics[i].TopicID}
		if req.Topics[i].Topic != nil && !k.byID() {
			k.name = *req.Topics[i].Topic
		}
		if req.Version < 12 && (k.byID() || req.Topics[i].Topic == nil) {
			rt := kmsg.NewMetadataResponseTopic() // versions 10 and 11 have the id, but may not ask by it
			rt.Topic, rt.TopicID, rt.ErrorCode = &k.name, k.id, errorCode(errInvalidRequest)
			topics = append(topics, rt)
			continue
		}
		if !seen[k] { // one answer, however often it is asked
			seen[k] = true
			topics = append(topics, b.topicMetadata(v, req, k))
		}
	}
	return topics
}

// autoCreate makes the topics that are missing and waits, not for long, until they have leaders, so that the client's
// first produce finds them. What could not be made is told by topicMetadata.
func (b *Broker) autoCreate(ctx context.Context, v *view, req *kmsg.MetadataRequest) *view {
	ctx, cancel := context.WithTimeout(ctx, autoCreateWait)
	defer cancel()
	var made []*controller.Topic
	for _, t := range req.Topics {
		if ctx.Err() != nil {
			break // a request may name hundreds of thousands
		}
		if t.Topic == nil || v.Topics[*t.Topic] != nil || (t.TopicID != [16]byte{}) {
			continue
		}
		created := b.createTopics(ctx, []topicSpec{{name: *t.Topic, partitions: -1, factor: -1}}, false)[0]
		topic, err := created.topic, created.err
		if err != nil {
			b.log.Debug("topic was not made on first use", "topic", *t.Topic, "err", err)
			continue
		}
		made = append(made, topic)
	}
	for _, t := range made {
		if err := b.awaitLeaders(ctx, t); err != nil {
			b.log.Warn("a topic made on first use has no leaders yet", "topic", t.Name, "err", err)
		}
	}
	return b.view()
}

func (b *Broker) topicMetadata(v *view, req *kmsg.MetadataRequest, k topicKey) kmsg.MetadataResponseTopic {
	t, err := v.named(k)
	if err == nil {
		return b.describeTopic(v, req, t)
	}
	rt := kmsg.NewMetadataResponseTopic()
	rt.ErrorCode, rt.TopicID = errorCode(err), k.id
	if !k.byID() || req.Version < 12 { // null is for topics asked for by id only
		rt.Topic = &k.name
	}
	rt.IsInternal = isInternal(k.name)
	return rt
}

// named finds a topic that a request names.
func (v *view) named(k topicKey) (topicView, error) {
	if k.byID() {
		if t, ok := v.topics[k.id]; ok {
			return t, nil
		}
		return topicView{}, errUnknownTopicID
	}
	if t, ok := v.byName(k.name); ok {
		return t, nil
	}
	if err := checkTopicName(k.name); err != nil {
		return topicView{}, err
	}
	return topicView{}, errUnknownTopic
}

func (b *Broker) describeTopic(v *view, req *kmsg.MetadataRequest, t topicView) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = &t.Name, t.ID, t.internal
	if req.IncludeTopicAuthorizedOperations {
		rt.AuthorizedOperations = topicOperations
	}
	rt.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for n := range t.Partitions {
		rp := &rt.Partitions[n]
		rp.Default()
		s := b.partitionState(v, t, int32(n))
		rp.Partition, rp.Leader, rp.LeaderEpoch, rp.ErrorCode = int32(n), s.leader, s.epoch, errorCode(s.err)
		rp.Replicas, rp.ISR, rp.OfflineReplicas = s.replicas, s.inSync, s.offline
	}
	return rt
}
