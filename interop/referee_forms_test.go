package interop

import (
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// replaceConfigs is AlterConfigs of one key of a topic.
func replaceConfigs(topic, key string, value *string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrAlterConfigsRequest()
		req.SetVersion(2)
		rs, c := kmsg.NewAlterConfigsRequestResource(), kmsg.NewAlterConfigsRequestResourceConfig()
		rs.ResourceType, rs.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		c.Name, c.Value = key, value
		rs.Configs = append(rs.Configs, c)
		req.Resources = append(req.Resources, rs)
		return req
	}
}

// formCases are well-encoded requests whose fields make no sense, alone or together.
func formCases() []refereeCase {
	var cases []refereeCase
	for _, c := range [][]refereeCase{
		produceForms(), fetchForms(), listForms(), metadataForms(), createForms(), deleteForms(), configForms(), otherForms(),
	} {
		cases = append(cases, c...)
	}
	return cases
}

func produceForms() []refereeCase {
	form := func(name string, version int16, change func(p *peer, r *kmsg.ProduceRequest)) refereeCase {
		return one("produce: "+name, edit(version, produce("odd", 0, -1, build(nil)), change))
	}
	return []refereeCase{
		form("null records", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Records = nil }),
		form("negative timeout", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.TimeoutMillis = -1 }),
		form("no topics", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Topics = nil }),
		form("no partitions", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Topics[0].Partitions = nil }),
		form("empty topic name", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Topics[0].Topic = "" }),
		form("id zero", 13, func(*peer, *kmsg.ProduceRequest) {}),
		form("known and unknown topic", 9, func(_ *peer, r *kmsg.ProduceRequest) {
			other := r.Topics[0]
			other.Topic = "nowhere"
			r.Topics = append(r.Topics, other)
		}),
		form("unknown tag", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.UnknownTags.Set(77, []byte("tag")) }),
		form("empty transactional id", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.TransactionID = kmsg.StringPtr("") }),
		form("acks 32767", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Acks = math.MaxInt16 }),
		form("partition 2147483647", 9, func(_ *peer, r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = math.MaxInt32 }),
	}
}

func fetchForms() []refereeCase {
	form := func(name string, change func(p *peer, r *kmsg.FetchRequest)) refereeCase {
		return one("fetch: "+name, fetch(change))
	}
	part := func(name string, change func(rp *kmsg.FetchRequestTopicPartition)) refereeCase {
		return form(name, func(_ *peer, r *kmsg.FetchRequest) { change(&r.Topics[0].Partitions[0]) })
	}
	return []refereeCase{
		form("negative max wait", func(_ *peer, r *kmsg.FetchRequest) { r.MaxWaitMillis = -1 }),
		form("negative min bytes", func(_ *peer, r *kmsg.FetchRequest) { r.MinBytes = -1 }),
		form("negative max bytes", func(_ *peer, r *kmsg.FetchRequest) { r.MaxBytes = -1 }),
		form("unknown isolation level", func(_ *peer, r *kmsg.FetchRequest) { r.IsolationLevel = 7 }),
		form("no topics", func(_ *peer, r *kmsg.FetchRequest) { r.Topics = nil }),
		form("id zero", func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].TopicID = [16]byte{} }),
		form("empty name", func(_ *peer, r *kmsg.FetchRequest) { r.SetVersion(12) }),
		form("session id with epoch 0", func(_ *peer, r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = 9, 0 }),
		form("session epoch without id", func(_ *peer, r *kmsg.FetchRequest) { r.SessionEpoch = 5 }),
		form("negative session id", func(_ *peer, r *kmsg.FetchRequest) { r.SessionID, r.SessionEpoch = -4, 3 }),
		form("session epoch -2", func(_ *peer, r *kmsg.FetchRequest) { r.SessionEpoch = -2 }),
		form("unknown session, closed", func(_ *peer, r *kmsg.FetchRequest) { r.SessionID = 77777 }),
		form("unknown tag", func(_ *peer, r *kmsg.FetchRequest) { r.UnknownTags.Set(99, []byte("tag")) }),
		form("forgotten topics without session", func(_ *peer, r *kmsg.FetchRequest) {
			r.ForgottenTopics = append(r.ForgottenTopics, kmsg.FetchRequestForgottenTopic{TopicID: [16]byte{7}, Partitions: []int32{1}})
		}),
		part("max bytes 0", func(rp *kmsg.FetchRequestTopicPartition) { rp.PartitionMaxBytes = 0 }),
		part("negative partition max bytes", func(rp *kmsg.FetchRequestTopicPartition) { rp.PartitionMaxBytes = -1 }),
		part("negative partition", func(rp *kmsg.FetchRequestTopicPartition) { rp.Partition = -1 }),
		part("offset -1", func(rp *kmsg.FetchRequestTopicPartition) { rp.FetchOffset = -1 }),
		part("largest offset", func(rp *kmsg.FetchRequestTopicPartition) { rp.FetchOffset = math.MaxInt64 }),
		part("negative leader epoch", func(rp *kmsg.FetchRequestTopicPartition) { rp.CurrentLeaderEpoch = -5 }),
		part("last fetched epoch of the future", func(rp *kmsg.FetchRequestTopicPartition) { rp.LastFetchedEpoch = 1 << 20 }),
		part("negative last fetched epoch", func(rp *kmsg.FetchRequestTopicPartition) { rp.LastFetchedEpoch = -9 }),
	}
}

func listForms() []refereeCase {
	form := func(name string, change func(r *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition)) refereeCase {
		return one("list: "+name, listOffsets(change))
	}
	cases := []refereeCase{
		form("partition twice", func(r *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, *rp)
		}),
		form("topic twice", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) {
			r.Topics = append(r.Topics, r.Topics[0])
		}),
		form("no topics", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) { r.Topics = nil }),
		form("empty topic name", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) { r.Topics[0].Topic = "" }),
		form("topic that cannot be", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) { r.Topics[0].Topic = "a/b" }),
		form("unknown isolation level", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) { r.IsolationLevel = 9 }),
		form("negative partition", func(_ *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Partition = -1 }),
		form("negative leader epoch", func(_ *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) {
			rp.CurrentLeaderEpoch = -5
		}),
		form("smallest timestamp", func(_ *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) {
			rp.Timestamp = math.MinInt64
		}),
		form("unknown tag", func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) {
			r.UnknownTags.Set(5, []byte{1})
		}),
	}
	for name, c := range map[string]struct {
		version int16
		at      int64
	}{
		"max timestamp before version 7": {6, -3}, "earliest local before version 8": {7, -4}, "latest tiered before version 9": {8, -5},
		"pending upload before version 11": {10, -6}, "pending upload": {11, -6}, "latest tiered": {11, -5}, "earliest local": {11, -4},
		"timestamp -7": {11, -7},
	} {
		cases = append(cases, form(name, func(r *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) {
			r.SetVersion(c.version)
			rp.Timestamp = c.at
		}))
	}
	return append(cases,
		one("epoch end: epoch -1", endOfEpoch("odd", 0, -1, -1)),
		one("epoch end: epoch -2", endOfEpoch("odd", 0, -1, -2)),
		one("epoch end: negative current", endOfEpoch("odd", 0, -5, 0)),
		one("epoch end: negative partition", endOfEpoch("odd", -1, -1, 0)),
		one("epoch end: topic that cannot be", endOfEpoch("a/b", 0, -1, 0)))
}

func metadataForms() []refereeCase {
	form := func(name string, version int16, change func(p *peer, r *kmsg.MetadataRequest)) refereeCase {
		return one("metadata: "+name, edit(version, metadata(12, kmsg.StringPtr("odd"), [16]byte{}), change))
	}
	return []refereeCase{
		form("no topics", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics = []kmsg.MetadataRequestTopic{} }),
		form("no topics at version 1", 1, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics = []kmsg.MetadataRequestTopic{} }),
		form("topic twice", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics = append(r.Topics, r.Topics[0]) }),
		form("name and id", 12, func(p *peer, r *kmsg.MetadataRequest) { r.Topics[0].TopicID = p.id }),
		form("id before version 12", 11, func(p *peer, r *kmsg.MetadataRequest) { r.Topics[0].TopicID = p.id }),
		form("id", 13, func(p *peer, r *kmsg.MetadataRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = nil, p.id }),
		form("neither name nor id", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics[0].Topic = nil }),
		form("null name at version 11", 11, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics[0].Topic = nil }),
		form("empty name", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics[0].Topic = kmsg.StringPtr("") }),
		form("dots", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.Topics[0].Topic = kmsg.StringPtr("..") }),
		form("topic that cannot be, made on use", 12, func(_ *peer, r *kmsg.MetadataRequest) {
			r.AllowAutoTopicCreation, r.Topics[0].Topic = true, kmsg.StringPtr("a b")
		}),
		form("made on use", 12, func(_ *peer, r *kmsg.MetadataRequest) {
			r.AllowAutoTopicCreation, r.Topics[0].Topic = true, kmsg.StringPtr("on-use")
		}),
		form("authorized operations", 8, func(_ *peer, r *kmsg.MetadataRequest) {
			r.IncludeClusterAuthorizedOperations, r.IncludeTopicAuthorizedOperations = true, true
		}),
		form("unknown tag", 12, func(_ *peer, r *kmsg.MetadataRequest) { r.UnknownTags.Set(1000, []byte("tag")) }),
		form("known and unknown", 12, func(_ *peer, r *kmsg.MetadataRequest) {
			r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr("nowhere")})
		}),
	}
}

func createForms() []refereeCase {
	form := func(name string, change func(r *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic)) refereeCase {
		return one("create: "+name, create(func(r *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
			r.ValidateOnly = true
			change(r, rt)
		}))
	}
	assigned := func(name string, replicas ...[]int32) refereeCase {
		return form(name, func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
			rt.NumPartitions, rt.ReplicationFactor = -1, -1
			for i, ids := range replicas {
				if ids != nil {
					rt.ReplicaAssignment = append(rt.ReplicaAssignment,
						kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: ids})
				}
			}
		})
	}
	topic := func(name string, change func(rt *kmsg.CreateTopicsRequestTopic)) refereeCase {
		return form(name, func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { change(rt) })
	}
	config := func(name, key string, values ...*string) refereeCase {
		return topic(name, func(rt *kmsg.CreateTopicsRequestTopic) {
			for _, v := range values {
				rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: v})
			}
		})
	}
	return []refereeCase{
		assigned("two partitions assigned", []int32{1}, []int32{1}),
		assigned("assignment with a gap", []int32{1}, nil, []int32{1}),
		assigned("assignment from 1 on", nil, []int32{1}),
		assigned("assigned to nobody", []int32{}),
		assigned("assigned twice to one", []int32{1, 1}),
		assigned("assigned to a negative broker", []int32{-1}),
		assigned("assigned unevenly", []int32{1}, []int32{1, 2}),
		form("no topics", func(r *kmsg.CreateTopicsRequest, _ *kmsg.CreateTopicsRequestTopic) { r.Topics = nil }),
		form("topic twice", func(r *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { r.Topics = append(r.Topics, *rt) }),
		topic("assigned and counted", func(rt *kmsg.CreateTopicsRequestTopic) {
			rt.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{1}}}
		}),
		topic("defaults", func(rt *kmsg.CreateTopicsRequestTopic) { rt.NumPartitions, rt.ReplicationFactor = -1, -1 }),
		topic("factor -2", func(rt *kmsg.CreateTopicsRequestTopic) { rt.ReplicationFactor = -2 }),
		topic("two dots", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = ".." }),
		topic("longest name", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = strings.Repeat("n", 249) }),
		topic("longer name", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = strings.Repeat("n", 250) }),
		topic("name of another alphabet", func(rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "größe" }),
		config("null value", "segment.bytes", nil),
		config("key twice", "segment.bytes", kmsg.StringPtr("1048576"), kmsg.StringPtr("2097152")),
		config("empty key", "", kmsg.StringPtr("1")),
		config("empty value", "segment.bytes", kmsg.StringPtr("")),
		config("number with a fraction", "segment.bytes", kmsg.StringPtr("1048576.5")),
		config("number with spaces", "segment.bytes", kmsg.StringPtr(" 1048576 ")),
		config("number too large", "segment.bytes", kmsg.StringPtr("2147483648")),
		config("unknown choice", "message.timestamp.type", kmsg.StringPtr("logappendtime")),
		{"create: names that collide", []step{
			send(create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "co.ll_ide" })),
			send(create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "co_ll.ide" })),
		}},
	}
}
