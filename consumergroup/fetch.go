package consumergroup

import (
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetFetch answers what is committed, and -1 for the rest. Every answer waits until what it tells is safe in the journal, so RequireStable
// asks for nothing more: there are no transactions.
//
// Versions: 0 to 7 one group; 2 all topics where none is named; 5 a leader epoch; 8 several groups (KIP-709); 9 members of consumer groups;
// 10 topic ids.
func (r *registry) offsetFetch(req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= 8 {
		for i := range req.Groups {
			resp.Groups = append(resp.Groups, r.fetchGroup(&req.Groups[i], req.Version))
		}
		return resp
	}
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = req.Group
	if req.Topics != nil || req.Version < 2 {
		asked.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	}
	for i := range req.Topics {
		asked.Topics[i].Topic, asked.Topics[i].Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
	}
	g := r.fetchGroup(&asked, req.Version)
	resp.ErrorCode = g.ErrorCode
	for i := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = g.Topics[i].Topic
		for _, p := range g.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// fetchGroup tells one group's offsets; a group that does not exist has committed nothing.
func (r *registry) fetchGroup(req *kmsg.OffsetFetchRequestGroup, version int16) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	table := new(offsets.Table)
	if g := r.groups[req.Group]; g != nil {
		table = &g.offsets
		if g.consumer != nil {
			if err := g.consumer.CheckFetch(req.MemberID, req.MemberEpoch); err != nil {
				resp.ErrorCode = step.Code(err)
				return resp
			}
		}
	}
	topics := r.c.o.Topics()
	if req.Topics == nil {
		resp.Topics = fetchAll(table, topics, version >= 10)
		return resp
	}
	resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, len(req.Topics))
	for i := range req.Topics {
		fetchTopic(&resp.Topics[i], &req.Topics[i], table, topics, version >= 10)
	}
	return resp
}

func fetchTopic(
	into *kmsg.OffsetFetchResponseGroupTopic, asked *kmsg.OffsetFetchRequestGroupTopic, table *offsets.Table, topics consumer.Topics, byID bool,
) {
	into.Topic, into.TopicID = asked.Topic, asked.TopicID
	topic, err := named(topics, asked.Topic, asked.TopicID, byID)
	name := asked.Topic
	if byID {
		name = topic.Name
	}
	into.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(asked.Partitions))
	for i, p := range asked.Partitions {
		if byID && err != nil {
			into.Partitions[i] = nothing(p)
			into.Partitions[i].ErrorCode = step.Code(err)
		} else if c, ok := table.Get(name, p); ok && sameTopic(c, topic) {
			into.Partitions[i] = told(p, c)
		} else {
			into.Partitions[i] = nothing(p)
		}
	}
}

// sameTopic says that an offset was committed for the topic that has the name now, as far as that is known.
func sameTopic(c offsets.Committed, now consumer.Topic) bool {
	return c.TopicID == [16]byte{} || now.ID == [16]byte{} || c.TopicID == now.ID
}

// fetchAll tells everything; by id, what has a topic that still exists.
func fetchAll(table *offsets.Table, topics consumer.Topics, byID bool) []kmsg.OffsetFetchResponseGroupTopic {
	all := []kmsg.OffsetFetchResponseGroupTopic{}
	var topic consumer.Topic
	for p, c := range table.All() {
		if len(all) == 0 || all[len(all)-1].Topic != p.Topic {
			topic, _ = topics.Topic(p.Topic)
			all = append(all, kmsg.OffsetFetchResponseGroupTopic{Topic: p.Topic, TopicID: topic.ID})
		}
		if last := &all[len(all)-1]; sameTopic(c, topic) {
			last.Partitions = append(last.Partitions, told(p.Partition, c))
		}
	}
	kept := all[:0]
	for _, t := range all {
		if len(t.Partitions) > 0 && (!byID || t.TopicID != [16]byte{}) {
			kept = append(kept, t)
		}
	}
	return kept
}

var noMetadata = ""

func nothing(partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	return kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: -1, LeaderEpoch: -1, Metadata: &noMetadata}
}

func told(partition int32, c offsets.Committed) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: &noMetadata}
	if c.Metadata != "" {
		p.Metadata = &c.Metadata
	}
	return p
}
