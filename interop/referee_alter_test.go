package interop

import "github.com/twmb/franz-go/pkg/kmsg"

func deleteForms() []refereeCase {
	both := func(rt *kmsg.DeleteTopicsRequestTopic) { rt.Topic, rt.TopicID = kmsg.StringPtr("nowhere"), [16]byte{5} }
	unknown := remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.Topic = kmsg.StringPtr("nowhere") })
	byID := func(p *peer) kmsg.Request {
		return remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.TopicID = p.made })(p)
	}
	return []refereeCase{
		one("delete: both name and id", remove(both)),
		one("delete: neither name nor id", remove(func(*kmsg.DeleteTopicsRequestTopic) {})),
		one("delete: topic that cannot be", remove(func(rt *kmsg.DeleteTopicsRequestTopic) { rt.Topic = kmsg.StringPtr("a/b") })),
		one("delete: no topics", edit(6, unknown, func(_ *peer, r *kmsg.DeleteTopicsRequest) { r.Topics = nil })),
		one("delete: unknown topic twice", edit(6, unknown, func(_ *peer, r *kmsg.DeleteTopicsRequest) { r.Topics = append(r.Topics, r.Topics[0]) })),
		one("delete: unknown tag", edit(6, unknown, func(_ *peer, r *kmsg.DeleteTopicsRequest) { r.UnknownTags.Set(3, []byte{1, 2}) })),
		{"delete by id, then everything by that id", []step{
			send(create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "by-id" })),
			send(byID), send(byID),
			send(func(p *peer) kmsg.Request { return metadata(12, nil, p.made)(p) }),
			send(edit(13, produce("by-id", 0, -1, build(nil)), func(p *peer, r *kmsg.ProduceRequest) { r.Topics[0].TopicID = p.made })),
			send(fetch(func(p *peer, r *kmsg.FetchRequest) { r.Topics[0].TopicID = p.made })),
			send(metadata(12, kmsg.StringPtr("by-id"), [16]byte{})),
			send(endOfEpoch("by-id", 0, -1, 0)),
		}},
	}
}

func configForms() []refereeCase {
	const set, unset = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
	form := func(name string, change func(r *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource)) refereeCase {
		return one("alter: "+name, edit(1, alter("odd", "segment.bytes", "2097152", set),
			func(_ *peer, r *kmsg.IncrementalAlterConfigsRequest) { change(r, &r.Resources[0]) }))
	}
	resource := func(name string, kind kmsg.ConfigResourceType, of string) refereeCase {
		return form(name, func(_ *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			rs.ResourceType, rs.ResourceName = kind, of
		})
	}
	key := func(name string, change func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig)) refereeCase {
		return form(name, func(_ *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			change(&rs.Configs[0])
		})
	}
	return append([]refereeCase{
		key("null value", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Value = nil }),
		key("unknown operation", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Op = 9 }),
		key("negative operation", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Op = -1 }),
		key("subtract from a number", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Op = 3 }),
		key("remove what is not set", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Name, c.Op = "segment.ms", unset }),
		key("remove with a value", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Op = unset }),
		key("empty key", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Name = "" }),
		key("empty value", func(c *kmsg.IncrementalAlterConfigsRequestResourceConfig) { c.Value = kmsg.StringPtr("") }),
		form("key twice", func(_ *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			rs.Configs = append(rs.Configs, rs.Configs[0])
		}),
		form("no keys", func(_ *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			rs.Configs = nil
		}),
		form("topic twice", func(r *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			r.Resources = append(r.Resources, *rs)
		}),
		form("no resources", func(r *kmsg.IncrementalAlterConfigsRequest, _ *kmsg.IncrementalAlterConfigsRequestResource) {
			r.Resources = nil
		}),
		form("only validate", func(r *kmsg.IncrementalAlterConfigsRequest, _ *kmsg.IncrementalAlterConfigsRequestResource) {
			r.ValidateOnly = true
		}),
		form("only validate a bad value", func(r *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			r.ValidateOnly, rs.Configs[0].Value = true, kmsg.StringPtr("many")
		}),
		form("a good and an unknown key", func(_ *kmsg.IncrementalAlterConfigsRequest, rs *kmsg.IncrementalAlterConfigsRequestResource) {
			other := rs.Configs[0]
			other.Name = "no.such.key"
			rs.Configs = append(rs.Configs, other)
		}),
		resource("unknown type", 99, "odd"),
		resource("type 0", 0, "odd"),
		resource("empty topic name", kmsg.ConfigResourceTypeTopic, ""),
		resource("topic that cannot be", kmsg.ConfigResourceTypeTopic, "a/b"),
		resource("unknown broker", kmsg.ConfigResourceTypeBroker, "77"),
		resource("broker that is no number", kmsg.ConfigResourceTypeBroker, "one"),
	}, append(replaceForms(), describeForms()...)...)
}

func replaceForms() []refereeCase {
	return []refereeCase{
		one("replace: null value", replaceConfigs("odd", "segment.bytes", nil)),
		one("replace: unknown key", replaceConfigs("odd", "no.such.key", kmsg.StringPtr("1"))),
		one("replace: bad value", replaceConfigs("odd", "segment.bytes", kmsg.StringPtr("-3"))),
		one("replace: topic that cannot be", replaceConfigs("a/b", "segment.bytes", kmsg.StringPtr("1048576"))),
		one("replace: topic twice", edit(2, replaceConfigs("odd", "segment.bytes", kmsg.StringPtr("1048576")),
			func(_ *peer, r *kmsg.AlterConfigsRequest) { r.Resources = append(r.Resources, r.Resources[0]) })),
		one("replace: key twice", edit(2, replaceConfigs("odd", "segment.bytes", kmsg.StringPtr("1048576")),
			func(_ *peer, r *kmsg.AlterConfigsRequest) {
				r.Resources[0].Configs = append(r.Resources[0].Configs, r.Resources[0].Configs[0])
			})),
		one("replace: unknown type", edit(2, replaceConfigs("odd", "segment.bytes", kmsg.StringPtr("1048576")),
			func(_ *peer, r *kmsg.AlterConfigsRequest) { r.Resources[0].ResourceType = 99 })),
	}
}

func describeForms() []refereeCase {
	return []refereeCase{
		one("describe: topic twice", edit(4, describe(kmsg.ConfigResourceTypeTopic, "odd"), func(_ *peer, r *kmsg.DescribeConfigsRequest) {
			r.Resources = append(r.Resources, r.Resources[0])
		})),
		one("describe: nothing", edit(4, describe(kmsg.ConfigResourceTypeTopic, "odd"), func(_ *peer, r *kmsg.DescribeConfigsRequest) {
			r.Resources = nil
		})),
		one("describe: type 0", describe(0, "odd")),
		one("describe: negative type", describe(-1, "odd")),
		one("describe: empty topic name", describe(kmsg.ConfigResourceTypeTopic, "")),
		one("describe: default of all brokers", describe(kmsg.ConfigResourceTypeBroker, "")),
		one("describe: broker with a leading zero", describe(kmsg.ConfigResourceTypeBroker, "01")),
		one("describe: negative broker", describe(kmsg.ConfigResourceTypeBroker, "-1")),
	}
}

func otherForms() []refereeCase {
	grow := func(name string, count int32, change func(r *kmsg.CreatePartitionsRequest, rt *kmsg.CreatePartitionsRequestTopic)) refereeCase {
		return one("partitions: "+name, edit(3, addPartitions("odd", count), func(_ *peer, r *kmsg.CreatePartitionsRequest) {
			r.ValidateOnly = true
			change(r, &r.Topics[0])
		}))
	}
	assign := func(replicas ...[]int32) func(*kmsg.CreatePartitionsRequest, *kmsg.CreatePartitionsRequestTopic) {
		return func(_ *kmsg.CreatePartitionsRequest, rt *kmsg.CreatePartitionsRequestTopic) {
			for _, ids := range replicas {
				rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: ids})
			}
		}
	}
	topics := func(name string, change func(r *kmsg.DescribeTopicPartitionsRequest)) refereeCase {
		return one("describe topic partitions: "+name, edit(0, describeTopic("odd"),
			func(_ *peer, r *kmsg.DescribeTopicPartitionsRequest) { change(r) }))
	}
	cursor := func(topic string, partition int32) func(r *kmsg.DescribeTopicPartitionsRequest) {
		return func(r *kmsg.DescribeTopicPartitionsRequest) {
			r.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
		}
	}
	software := func(name, version string) refereeCase {
		return one("api versions: software "+name+" "+version, func(*peer) kmsg.Request {
			req := kmsg.NewPtrApiVersionsRequest()
			req.SetVersion(3)
			req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
			return req
		})
	}
	return []refereeCase{
		grow("none", 0, assign()), grow("minus one", -1, assign()),
		grow("assigned", 4, assign([]int32{1})), grow("assigned too few", 5, assign([]int32{1})), grow("assigned to nobody", 4, assign([]int32{})),
		grow("assigned to an unknown broker", 4, assign([]int32{9})), grow("assigned twice to one", 4, assign([]int32{1, 1})),
		grow("topic twice", 9, func(r *kmsg.CreatePartitionsRequest, rt *kmsg.CreatePartitionsRequestTopic) {
			r.Topics = append(r.Topics, *rt)
		}),
		grow("no topics", 9, func(r *kmsg.CreatePartitionsRequest, _ *kmsg.CreatePartitionsRequestTopic) { r.Topics = nil }),
		grow("empty name", 9, func(_ *kmsg.CreatePartitionsRequest, rt *kmsg.CreatePartitionsRequestTopic) { rt.Topic = "" }),
		topics("limit 0", func(r *kmsg.DescribeTopicPartitionsRequest) { r.ResponsePartitionLimit = 0 }),
		topics("negative limit", func(r *kmsg.DescribeTopicPartitionsRequest) { r.ResponsePartitionLimit = -1 }),
		topics("limit 1", func(r *kmsg.DescribeTopicPartitionsRequest) { r.ResponsePartitionLimit = 1 }),
		topics("twice", func(r *kmsg.DescribeTopicPartitionsRequest) { r.Topics = append(r.Topics, r.Topics[0]) }),
		topics("cursor", cursor("odd", 1)), topics("cursor behind all", cursor("zzz", 0)), topics("negative cursor", cursor("odd", -1)),
		topics("cursor past the partitions", cursor("odd", 99)),
		software("", ""), software("a b", "1"), software("name", "-1"), software("good-name", "1.2.3"),
		one("init producer: id without epoch", initProducer(func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 3 })),
		one("init producer: id and epoch", initProducer(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = 3, 3 })),
		one("init producer: negative both", initProducer(func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = -7, -7 })),
		one("init producer: negative timeout", initProducer(func(r *kmsg.InitProducerIDRequest) { r.TransactionTimeoutMillis = -1 })),
	}
}
