package interop

import "github.com/twmb/franz-go/pkg/kmsg"

// describe asks for the configuration of one resource.
func describe(kind kmsg.ConfigResourceType, name string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.SetVersion(4)
		rs := kmsg.NewDescribeConfigsRequestResource()
		rs.ResourceType, rs.ResourceName, rs.ConfigNames = kind, name, []string{"no.such.key"}
		req.Resources = append(req.Resources, rs)
		return req
	}
}

// metadata asks for one topic, by name or by id.
func metadata(version int16, name *string, id [16]byte) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrMetadataRequest()
		req.SetVersion(version)
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic, rt.TopicID = name, id
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func initProducer(change func(r *kmsg.InitProducerIDRequest)) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.SetVersion(4)
		change(req)
		return req
	}
}

func describeCluster(endpoint int8) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.SetVersion(1)
		req.EndpointType = endpoint
		return req
	}
}

func describeTopic(name string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = name
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func elect(kind int8, topic string, partitions ...int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrElectLeadersRequest()
		req.SetVersion(2)
		req.ElectionType, req.TimeoutMillis = kind, 5000
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func reassign(topic string, partition int32, replicas []int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.TimeoutMillis = 5000
		rt, rp := kmsg.NewAlterPartitionAssignmentsRequestTopic(), kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		rp.Partition, rp.Replicas = partition, replicas
		rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func reassignments(topics ...string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.TimeoutMillis = 5000
		for _, name := range topics {
			rt := kmsg.NewListPartitionReassignmentsRequestTopic()
			rt.Topic, rt.Partitions = name, []int32{0, 7}
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
}

func moveDir(topic string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrAlterReplicaLogDirsRequest()
		req.SetVersion(2)
		rd, rt := kmsg.NewAlterReplicaLogDirsRequestDir(), kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		rt.Topic, rt.Partitions = topic, []int32{0, 7}
		rd.Dir, rd.Topics = "/nowhere", append(rd.Topics, rt)
		req.Dirs = append(req.Dirs, rd)
		return req
	}
}

func logDirs(version int16, topics ...string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.SetVersion(version)
		for _, name := range topics {
			rt := kmsg.NewDescribeLogDirsRequestTopic()
			rt.Topic, rt.Partitions = name, []int32{0, 1, 7}
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
}

func producersOf(topic string, partitions ...int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeProducersRequest()
		rt := kmsg.NewDescribeProducersRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func quorum(topic string, partitions ...int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeQuorumRequest()
		req.SetVersion(2)
		rt := kmsg.NewDescribeQuorumRequestTopic()
		rt.Topic = topic
		for _, n := range partitions {
			rt.Partitions = append(rt.Partitions, kmsg.DescribeQuorumRequestTopicPartition{Partition: n})
		}
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func updateFeature(version int16, kind int8, name string, level int16) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		req.SetVersion(version)
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = name, level, kind
		req.FeatureUpdates = append(req.FeatureUpdates, u)
		return req
	}
}

func configResources(types ...int8) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.SetVersion(1)
		req.ResourceTypes = types
		return req
	}
}

func handshake(version int16) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrSASLHandshakeRequest()
		req.SetVersion(version)
		req.Mechanism = "PLAIN"
		return req
	}
}

func authenticate(version int16) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.SetVersion(version)
		req.SASLAuthBytes = []byte("\x00user\x00password")
		return req
	}
}

// alterBroker changes one key of a broker; dry only asks whether it could.
func alterBroker(name, key string, op kmsg.IncrementalAlterConfigOp, value *string, dry bool) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.SetVersion(1)
		req.ValidateOnly = dry
		rs, c := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rs.ResourceType, rs.ResourceName = kmsg.ConfigResourceTypeBroker, name
		c.Name, c.Value, c.Op = key, value, op
		rs.Configs = append(rs.Configs, c)
		req.Resources = append(req.Resources, rs)
		return req
	}
}

// brokerCases change the configuration of a running broker.
func brokerCases() []refereeCase {
	const set, remove, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	value := kmsg.StringPtr
	return []refereeCase{
		one("broker: set", alterBroker("1", "max.connections", set, value("5000"), false)),
		one("broker: unset", alterBroker("1", "max.connections", remove, nil, false)),
		one("broker: set for all", alterBroker("", "max.connections", set, value("5000"), true)),
		one("broker: not a number", alterBroker("1", "max.connections", set, value("x"), false)),
		one("broker: too small", alterBroker("1", "max.connections", set, value("-3"), false)),
		one("broker: null", alterBroker("1", "max.connections", set, nil, false)),
		one("broker: append to a number", alterBroker("1", "max.connections", add, value("3"), false)),
		one("broker: another one", alterBroker("77", "max.connections", set, value("3"), false)),
		one("broker: by name", alterBroker("one", "max.connections", set, value("3"), false)),
		one("broker: static key", alterBroker("1", "num.partitions", set, value("3"), false)),
		one("broker: unset a static key", alterBroker("1", "num.partitions", remove, nil, false)),
	}
}

// clusterCases are the calls that operate a cluster, to the only broker of one.
func clusterCases() []refereeCase {
	return []refereeCase{
		one("elect: preferred", elect(0, "odd", 0, 1, 77)),
		one("elect: unclean", elect(1, "odd", 0, 77)),
		one("elect: unknown topic", elect(0, "nowhere", 0)),
		one("elect: topic that cannot be", elect(0, "a/b", 0)),
		one("elect: unknown type", elect(3, "odd", 0, 77)),
		one("reassign: as it is", reassign("odd", 0, []int32{1})),
		one("reassign: cancel nothing", reassign("odd", 0, nil)),
		one("reassign: to nobody", reassign("odd", 0, []int32{})),
		one("reassign: unknown broker", reassign("odd", 0, []int32{9})),
		one("reassign: one more", reassign("odd", 0, []int32{1, 9})),
		one("reassign: twice the same", reassign("odd", 0, []int32{1, 1})),
		one("reassign: unknown partition", reassign("odd", 77, []int32{1})),
		one("reassign: cancel at an unknown partition", reassign("odd", 77, nil)),
		one("reassign: unknown topic", reassign("nowhere", 0, []int32{1})),
		one("reassignments: all", reassignments()),
		one("reassignments: some", reassignments("odd", "nowhere", "a/b")),
		one("move to an unknown directory", moveDir("odd")),
		one("move an unknown topic to an unknown directory", moveDir("nowhere")),
		one("log directories: all", logDirs(4)),
		one("log directories: some", logDirs(3, "odd", "nowhere")),
		one("producers", producersOf("odd", 0, 1)),
		one("producers: unknown partition", producersOf("odd", 77)),
		one("producers: unknown topic", producersOf("nowhere", 0)),
		one("producers: topic that cannot be", producersOf("a/b", 0)),
		one("quorum: of a topic", quorum("odd", 0)),
		one("quorum: other partition", quorum("__cluster_metadata", 1)),
		one("quorum: two partitions", quorum("__cluster_metadata", 0, 1)),
		one("features: unknown", updateFeature(2, 1, "no.such.feature", 1)),
		one("features: unknown at version 0", updateFeature(0, 1, "no.such.feature", 1)),
		one("features: remove an unknown one", updateFeature(1, 2, "no.such.feature", 0)),
		one("features: unknown kind of change", updateFeature(1, 9, "no.such.feature", 0)),
		one("config resources: topics", configResources(2)),
		one("config resources: unknown type", configResources(2, 99)),
		{"SASL on a listener without, then metadata", []step{
			send(handshake(0)), send(handshake(1)), send(authenticate(0)), send(authenticate(2)),
			send(metadata(12, kmsg.StringPtr("nowhere"), [16]byte{})),
		}},
	}
}

// adminCases leaves out a Metadata topic with neither name nor id: Kafka stumbles (UNKNOWN_SERVER_ERROR), Quire calls it an
// invalid topic.
func adminCases() []refereeCase {
	long := string(make([]byte, 300))
	return []refereeCase{
		one("describe: unknown topic", describe(kmsg.ConfigResourceTypeTopic, "nowhere")),
		one("describe: topic that cannot be", describe(kmsg.ConfigResourceTypeTopic, "a/b")),
		one("describe: topic", describe(kmsg.ConfigResourceTypeTopic, "odd")),
		one("describe: broker", describe(kmsg.ConfigResourceTypeBroker, "1")),
		one("describe: other broker", describe(kmsg.ConfigResourceTypeBroker, "77")),
		one("describe: broker by name", describe(kmsg.ConfigResourceTypeBroker, "one")),
		one("describe: unknown type", describe(99, "odd")),
		one("metadata: unknown topic", metadata(12, kmsg.StringPtr("nowhere"), [16]byte{})),
		one("metadata: name that cannot be", metadata(12, kmsg.StringPtr("a/b"), [16]byte{})),
		one("metadata: long name", metadata(12, &long, [16]byte{})),
		one("metadata: unknown id", metadata(12, nil, [16]byte{3})),
		one("init producer: empty transactional id", initProducer(func(r *kmsg.InitProducerIDRequest) {
			r.TransactionalID = kmsg.StringPtr("")
		})),
		one("init producer: epoch without id", initProducer(func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 3 })),
		one("describe cluster: brokers", describeCluster(1)),
		one("describe cluster: controllers", describeCluster(2)),
		one("describe cluster: neither", describeCluster(9)),
		one("describe topic partitions: unknown", describeTopic("nowhere")),
		one("describe topic partitions: name that cannot be", describeTopic("a/b")),
		one("describe topic partitions", describeTopic("odd")),
	}
}
