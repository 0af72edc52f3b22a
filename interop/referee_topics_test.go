package interop

import "github.com/twmb/franz-go/pkg/kmsg"

func create(change func(r *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic)) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.SetVersion(7)
		req.TimeoutMillis = 5000
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "made", 1, 1
		req.Topics = append(req.Topics, rt)
		change(req, &req.Topics[0])
		return req
	}
}

// configValueCases are values at the edges of what Kafka allows.
func configValueCases() []refereeCase {
	var cases []refereeCase
	for _, k := range []struct {
		key    string
		values []string
	}{
		{"compression.type", []string{"none", "uncompressed", "GZIP", "producer"}},
		{"compression.gzip.level", []string{"0", "10", "-1", "9"}},
		{"compression.lz4.level", []string{"0", "18", "17"}},
		{"compression.zstd.level", []string{"23", "-131073", "-131072", "22"}},
		{"message.timestamp.before.max.ms", []string{"-1", "9223372036854775807"}},
		{"message.timestamp.after.max.ms", []string{"-1", "3600000"}},
		{"flush.messages", []string{"0", "1000"}},
		{"flush.ms", []string{"-1", "1000"}},
		{"delete.retention.ms", []string{"-1", "0"}},
		{"min.compaction.lag.ms", []string{"-1", "2000"}},
		{"max.compaction.lag.ms", []string{"0", "1000", "3000"}}, // the second is below min.compaction.lag.ms
		{"min.cleanable.dirty.ratio", []string{"-0.1", "1.1", "1", "half"}},
		{"unclean.leader.election.enable", []string{"maybe", "FALSE"}},
	} {
		for _, v := range k.values {
			cases = append(cases, one("alter: "+k.key+"="+v, alter("odd", k.key, v, kmsg.IncrementalAlterConfigOpSet)))
		}
	}
	return cases
}

func createWith(key, value string) request {
	return create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, &value
		rt.Configs = append(rt.Configs, c)
	})
}

func alter(topic, key, value string, op kmsg.IncrementalAlterConfigOp) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.SetVersion(1)
		rs, c := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rs.ResourceType, rs.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		c.Name, c.Value, c.Op = key, &value, op
		rs.Configs = append(rs.Configs, c)
		req.Resources = append(req.Resources, rs)
		return req
	}
}

func addPartitions(topic string, count int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.SetVersion(3)
		req.TimeoutMillis = 5000
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = topic, count
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func remove(change func(rt *kmsg.DeleteTopicsRequestTopic)) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.SetVersion(6)
		req.TimeoutMillis = 5000
		rt := kmsg.NewDeleteTopicsRequestTopic()
		change(&rt)
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func topicCases() []refereeCase {
	named := func(name string) request {
		return create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = name })
	}
	counts := func(partitions int32, replicas int16) request {
		return create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
			rt.NumPartitions, rt.ReplicationFactor = partitions, replicas
		})
	}
	assigned := create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Replicas = []int32{44}
		rt.NumPartitions, rt.ReplicationFactor = -1, -1
		rt.ReplicaAssignment = append(rt.ReplicaAssignment, a)
	})
	dry := create(func(r *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) {
		r.ValidateOnly, rt.Topic = true, "dry"
	})
	return []refereeCase{
		one("create: unknown configuration key", createWith("no.such.key", "1")),
		one("create: bad configuration value", createWith("segment.bytes", "many")),
		one("create: configuration value out of range", createWith("segment.bytes", "1")),
		one("create: empty name", named("")),
		one("create: dot", named(".")),
		one("create: slash", named("a/b")),
		one("create: existing", named("odd")),
		one("create: no partitions", counts(0, 1)),
		one("create: minus two partitions", counts(-2, 1)),
		one("create: three replicas of one broker", counts(1, 3)),
		one("create: no replicas", counts(1, 0)),
		one("create: unknown broker", assigned),
		one("create: only validate", dry),
		one("delete: what was only validated", remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.Topic = kmsg.StringPtr("dry") })),
		one("delete: unknown name", remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.Topic = kmsg.StringPtr("nowhere") })),
		one("delete: unknown id", remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.TopicID = [16]byte{4, 4} })),
		one("alter: unknown key", alter("odd", "no.such.key", "1", kmsg.IncrementalAlterConfigOpSet)),
		one("alter: remove an unknown key", alter("odd", "no.such.key", "", kmsg.IncrementalAlterConfigOpDelete)),
		one("alter: bad value", alter("odd", "segment.bytes", "-3", kmsg.IncrementalAlterConfigOpSet)),
		one("alter: append to a number", alter("odd", "segment.bytes", "3", kmsg.IncrementalAlterConfigOpAppend)),
		one("alter: unknown topic", alter("nowhere", "segment.bytes", "1048576", kmsg.IncrementalAlterConfigOpSet)),
		one("alter: well-formed", alter("odd", "segment.bytes", "2097152", kmsg.IncrementalAlterConfigOpSet)),
		one("alter: unclean election stays off", alter("odd", "unclean.leader.election.enable", "false", kmsg.IncrementalAlterConfigOpSet)),
		one("partitions: fewer", addPartitions("odd", 1)),
		one("partitions: as many", addPartitions("odd", 2)),
		one("partitions: unknown topic", addPartitions("nowhere", 4)),
		one("partitions: more", addPartitions("odd", 3)),
		// How long a produce to a deleted topic goes on working is a matter of time in Kafka: broker/produce_test.go has Quire's.
	}
}
