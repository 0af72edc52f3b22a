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
