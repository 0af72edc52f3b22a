package interop

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// edit is r at another version, and with a change.
func edit[R kmsg.Request](version int16, r request, change func(p *peer, req R)) request {
	return func(p *peer) kmsg.Request {
		req := r(p)
		req.SetVersion(version)
		change(p, req.(R))
		return req
	}
}

// versions are one request at each of the versions from first to last.
func versions(name string, first, last int16, r request) []refereeCase {
	var cases []refereeCase
	for v := first; v <= last; v++ {
		cases = append(cases, one(fmt.Sprintf("%s, version %d", name, v), at(v, r)))
	}
	return cases
}

// versionCases ask for the same thing at every version that has it, the ones that Kafka no longer takes included.
func versionCases() []refereeCase {
	byName := func(p *peer) kmsg.Request {
		req := fetch(func(*peer, *kmsg.FetchRequest) {})(p).(*kmsg.FetchRequest)
		req.Topics[0].Topic = "odd"
		return req
	}
	produced := func(p *peer) kmsg.Request {
		req := produce("odd", 0, -1, build(nil))(p).(*kmsg.ProduceRequest)
		req.Topics[0].TopicID = p.id
		return req
	}
	existing := create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "odd" })
	unknown := func(*peer) kmsg.Request {
		req := kmsg.NewPtrDeleteTopicsRequest()
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = kmsg.StringPtr("nowhere")
		req.Topics, req.TopicNames, req.TimeoutMillis = append(req.Topics, rt), []string{"nowhere"}, 5000
		return req
	}
	list := listOffsets(func(*kmsg.ListOffsetsRequest, *kmsg.ListOffsetsRequestTopicPartition) {})
	var cases []refereeCase
	for _, c := range [][]refereeCase{
		versions("produce", 3, 13, produced),
		versions("fetch", 4, 18, byName),
		versions("list", 0, 11, list),
		versions("metadata of a topic", 0, 11, metadata(0, kmsg.StringPtr("odd"), [16]byte{})),
		versions("metadata of an unknown topic", 4, 11, metadata(4, kmsg.StringPtr("nowhere"), [16]byte{})),
		versions("create an existing topic", 0, 7, existing),
		versions("delete an unknown topic", 0, 6, unknown),
		versions("init producer", 0, 5, initProducer(func(*kmsg.InitProducerIDRequest) {})),
		versions("epoch end of an unknown topic", 0, 4, endOfEpoch("nowhere", 0, -1, 0)),
		versions("describe a topic", 0, 4, describe(kmsg.ConfigResourceTypeTopic, "odd")),
		versions("alter an unknown topic", 0, 2, replaceConfigs("nowhere", "segment.bytes", kmsg.StringPtr("1048576"))),
		versions("add partitions to an unknown topic", 0, 3, addPartitions("nowhere", 9)),
		versions("alter incrementally", 0, 1, alter("nowhere", "segment.bytes", "1048576", kmsg.IncrementalAlterConfigOpSet)),
		versions("cluster", 0, 2, describeCluster(1)),
		versions("api versions", 0, 4, func(*peer) kmsg.Request {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "referee", "1.0"
			return req
		}),
	} {
		cases = append(cases, c...)
	}
	return cases
}

// differences are the cases that Quire answers differently on purpose, and why.
var differences = map[string]string{
	"list, version 0":                          olderClients,
	"create an existing topic, version 0":      olderClients,
	"create an existing topic, version 1":      olderClients,
	"delete an unknown topic, version 0":       olderClients,
	"epoch end of an unknown topic, version 0": olderClients,
	"epoch end of an unknown topic, version 1": olderClients,
	"describe a topic, version 0":              olderClients,

	"produce: null records":               stumbles + "INVALID_RECORD",
	"fetch: negative max bytes":           stumbles + "as zero: one batch",
	"fetch: negative partition max bytes": stumbles + "as zero: one batch",
	"fetch: unknown isolation level":      stumbles + "as read_uncommitted",
	"list: unknown isolation level":       stumbles + "as read_uncommitted",
	"metadata: neither name nor id":       stumbles + "a topic that cannot be",
	"alter: unknown operation":            stumbles + "INVALID_REQUEST",
	"alter: negative operation":           stumbles + "INVALID_REQUEST",
	"replace: topic twice":                stumbles + "INVALID_REQUEST",

	"crossed: unknown metadata to a consumer group": stumbles + "INCONSISTENT_GROUP_PROTOCOL",

	"metadata: made on use":                        "the answer waits for the new topic's leaders, so that the client need not come back",
	"alter: topic twice":                           "one answer for each resource, however often it is named",
	"describe: topic twice":                        "one answer for each resource, however often it is named",
	"describe: broker with a leading zero":         "a broker has one name",
	"epoch end: epoch -2":                          "an epoch that cannot be has no end",
	"describe topic partitions: cursor behind all": "nothing is left to describe",
	"commit: known and unknown topic":              requestsOrder,
	"delete offsets: never committed":              requestsOrder,
	"delete groups: one twice":                     "an answer for each time a group is named: the second time it is gone",
	"find coordinator: of transactions":            "there are no transactions here: the client is told so, and not to wait for a coordinator",
}

const (
	olderClients  = "Kafka 4 no longer takes this version; Quire serves older clients"
	requestsOrder = "answers stand in the order of the request; Kafka's put what is unknown first"
	stumbles      = "Kafka runs into an exception and answers UNKNOWN_SERVER_ERROR, or nothing; Quire answers "
)
