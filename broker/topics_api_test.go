package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func createRequest(names ...string) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis = 7, waiting
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
		r.Topics = append(r.Topics, t)
	}
	return r
}

func TestCreateTopics(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	r := createRequest("one", "two", "twice", "b ad", "twice")
	r.Topics[1].NumPartitions = 2
	cfg := kmsg.NewCreateTopicsRequestTopicConfig()
	cfg.Name, cfg.Value = "segment.bytes", nullable("2000000")
	r.Topics[1].Configs = append(r.Topics[1].Configs, cfg)
	got := c.do(r).(*kmsg.CreateTopicsResponse).Topics
	want := []struct {
		name       string
		code       int16
		partitions int32
	}{{"one", 0, 4}, {"two", 0, 2}, {"twice", 42, -1}, {"b ad", 17, -1}}
	for i, w := range want {
		if len(got) != len(want) || got[i].Topic != w.name || got[i].ErrorCode != w.code || got[i].NumPartitions != w.partitions {
			t.Fatalf("got %+v", got)
		}
	}
	i := slices.IndexFunc(got[1].Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == "segment.bytes" })
	if *got[1].Configs[i].Value != "2000000" || got[1].Configs[i].Source != int8(kmsg.ConfigSourceDynamicTopicConfig) {
		t.Errorf("configuration %+v", got[1].Configs[i])
	}
	wantLeading(t, b, b.controller.Image().Topics["one"]) // when the response is there
	if b.controller.Image().Topics["one"].ID != got[0].TopicID {
		t.Error("the response has another topic id")
	}

	r = createRequest("three")
	r.ValidateOnly = true
	if got := c.do(r).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 || b.controller.Image().Topics["three"] != nil {
		t.Errorf("validate only: %+v", got)
	}
	if got := c.do(createRequest("one")).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 36 {
		t.Errorf("made again: %+v", got)
	}
	r = createRequest("strange")
	cfg.Name = "nokey"
	r.Topics[0].Configs = append(r.Topics[0].Configs, cfg)
	if got := c.do(r).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 40 || b.controller.Image().Topics["strange"] != nil ||
		!strings.Contains(*got.ErrorMessage, "nokey") {
		t.Errorf("unknown key: %+v", got)
	}
}

func TestDeleteTopics(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	one, two := makeTopic(t, b, "one", 2), makeTopic(t, b, "two", 1)
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TimeoutMillis = 6, waiting
	add := func(name *string, id [16]byte) {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic, rt.TopicID = name, id
		r.Topics = append(r.Topics, rt)
	}
	add(nullable("one"), [16]byte{})
	add(nil, two.ID)
	add(nullable("none"), [16]byte{})
	add(nil, [16]byte{1})
	add(nil, [16]byte{})
	add(nullable("both"), [16]byte{2})
	got := c.do(r).(*kmsg.DeleteTopicsResponse).Topics
	var codes []int16
	for _, rt := range got {
		codes = append(codes, rt.ErrorCode)
	}
	if !slices.Equal(codes, []int16{0, 0, 3, 100, 42, 42}) || *got[1].Topic != "two" || got[0].TopicID != one.ID {
		t.Errorf("codes %v of %+v", codes, got)
	}
	if n := len(b.controller.Image().Topics); n != 0 || b.partitions.Get("one", 0) != nil {
		t.Errorf("%d topics are left", n)
	}
	// Made again under its name it is another topic, from offset 0 on.
	if again := makeTopic(t, b, "one", 1); again.ID == one.ID {
		t.Error("the topic id came back")
	}
	old := kmsg.NewPtrDeleteTopicsRequest()
	old.Version, old.TimeoutMillis, old.TopicNames = 5, waiting, []string{"one"}
	if got := c.do(old).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != 0 {
		t.Errorf("by name at version 5: %+v", got)
	}
}

func TestCreatePartitions(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	for _, p := range []struct {
		name    string
		topic   string
		count   int32
		assign  [][]int32
		dry     bool
		code    int16
		partsIs int
	}{
		{"unknown", "none", 3, nil, false, 3, 2},
		{"the same", "t", 2, nil, false, 37, 2},
		{"fewer", "t", 1, nil, false, 37, 2},
		{"short assignment", "t", 4, [][]int32{{1}}, false, 39, 2},
		{"unknown broker", "t", 3, [][]int32{{9}}, false, 39, 2},
		{"dry run", "t", 4, nil, true, 0, 2},
		{"more", "t", 4, nil, false, 0, 4},
		{"assigned", "t", 5, [][]int32{{1}}, false, 0, 5},
		{"too many", "t", 1 << 30, nil, false, 37, 5},
	} {
		r := kmsg.NewPtrCreatePartitionsRequest()
		r.Version, r.TimeoutMillis, r.ValidateOnly = 3, waiting, p.dry
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = p.topic, p.count
		for _, a := range p.assign {
			ra := kmsg.NewCreatePartitionsRequestTopicAssignment()
			ra.Replicas = a
			rt.Assignment = append(rt.Assignment, ra)
		}
		r.Topics = append(r.Topics, rt)
		got := c.do(r).(*kmsg.CreatePartitionsResponse).Topics[0]
		topic := b.controller.Image().Topics["t"]
		if got.ErrorCode != p.code || len(topic.Partitions) != p.partsIs {
			t.Errorf("%s: code %d and %d partitions, want %d and %d", p.name, got.ErrorCode, len(topic.Partitions), p.code, p.partsIs)
		}
		wantLeading(t, b, topic)
	}
}

func metadataRequest(version int16, names ...string) *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Version = version
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		r.Topics = append(r.Topics, t)
	}
	return r
}

func TestMetadata(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	for version := int16(0); version <= 13; version++ {
		got := c.do(metadataRequest(version, "t", "t", "b ad", "none")).(*kmsg.MetadataResponse)
		if version < 4 { // such a client cannot forbid that topics are made
			wantLeading(t, b, b.controller.Image().Topics["none"])
			if err := b.controller.DeleteTopic(testContext(t), b.controller.Image().Topics["none"].ID); err != nil {
				t.Fatal(err)
			}
			got.Topics = got.Topics[:2]
		} else if len(got.Topics) != 3 || got.Topics[2].ErrorCode != 3 {
			t.Fatalf("version %d: %+v", version, got.Topics)
		}
		p := got.Topics[0].Partitions
		if len(got.Brokers) != 1 || got.Topics[1].ErrorCode != 17 || len(p) != 2 || p[1].Leader != 1 || len(p[1].ISR) != 1 {
			t.Fatalf("version %d: %+v", version, got)
		}
	}
	byID := metadataRequest(12)
	for _, id := range [][16]byte{topic.ID, {1}} {
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = id
		byID.Topics = append(byID.Topics, rt)
	}
	byID.IncludeTopicAuthorizedOperations = true
	got := c.do(byID).(*kmsg.MetadataResponse).Topics
	if *got[0].Topic != "t" || got[0].AuthorizedOperations != 3576 || got[1].ErrorCode != 100 || got[1].Topic != nil {
		t.Errorf("by id: %+v", got)
	}
	if all := c.do(metadataRequest(9)).(*kmsg.MetadataResponse); len(all.Topics) != 1 || all.AuthorizedOperations != -1<<31 {
		t.Errorf("all: %+v", all)
	}
	none := metadataRequest(9)
	none.Topics = []kmsg.MetadataRequestTopic{}
	none.IncludeClusterAuthorizedOperations = true
	if got := c.do(none).(*kmsg.MetadataResponse); len(got.Topics) != 0 || got.AuthorizedOperations != 8096 {
		t.Errorf("none: %+v", got)
	}
}

func TestTopicsAreMadeOnFirstUse(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.NumPartitions = 3
	b := startBroker(t, cfg)
	c := newTestClient(t, b)
	r := metadataRequest(13, "new", "new.er")
	r.AllowAutoTopicCreation = true
	for _, rt := range c.do(r).(*kmsg.MetadataResponse).Topics {
		if rt.ErrorCode != 0 || len(rt.Partitions) != 3 || rt.Partitions[2].ErrorCode != 0 || rt.Partitions[2].Leader != 1 {
			t.Errorf("%+v", rt)
		}
	}
	c.mustProduce("new", 2, testBatch(t, 1)) // at once
}

func TestTopicsAreNotMadeWhereThatIsOff(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.AutoCreateTopics = false
	b := startBroker(t, cfg)
	r := metadataRequest(13, "new")
	r.AllowAutoTopicCreation = true
	if got := newTestClient(t, b).do(r).(*kmsg.MetadataResponse).Topics[0]; got.ErrorCode != 3 {
		t.Errorf("%+v", got)
	}
}

func TestDescribeTopicPartitions(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "a", 2)
	makeTopic(t, b, "b", 3)
	c := newTestClient(t, b)
	r := kmsg.NewPtrDescribeTopicPartitionsRequest()
	r.ResponsePartitionLimit = 3
	var pages []string
	for {
		resp := c.do(r).(*kmsg.DescribeTopicPartitionsResponse)
		page := ""
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				page += *rt.Topic + string('0'+rune(p.Partition))
			}
		}
		pages = append(pages, page)
		if resp.NextCursor == nil {
			break
		}
		r.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	if !slices.Equal(pages, []string{"a0a1b0", "b1b2"}) {
		t.Errorf("pages %v", pages)
	}
	one := kmsg.NewPtrDescribeTopicPartitionsRequest()
	for _, name := range []string{"none", "b ad"} {
		rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
		rt.Topic = name
		one.Topics = append(one.Topics, rt)
	}
	if got := c.do(one).(*kmsg.DescribeTopicPartitionsResponse).Topics; got[0].ErrorCode != 17 || got[1].ErrorCode != 3 {
		t.Errorf("%+v", got)
	}
}

func TestDescribeCluster(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	r := kmsg.NewPtrDescribeClusterRequest()
	for endpoint, code := range map[int8]int16{1: 0, 2: 114, 7: 115} {
		r.Version, r.EndpointType = 2, endpoint
		got := c.do(r).(*kmsg.DescribeClusterResponse)
		if got.ErrorCode != code || (code == 0) != (len(got.Brokers) == 1 && got.ClusterID == b.clusterID && got.ControllerID == 1) {
			t.Errorf("endpoint type %d: %+v", endpoint, got)
		}
	}
}

func (c *testClient) alter(
	key, value string, op kmsg.IncrementalAlterConfigOp, more ...string,
) kmsg.IncrementalAlterConfigsResponseResource {
	c.t.Helper()
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
	pairs := append([]string{key, value}, more...)
	for i := 0; i < len(pairs); i += 2 {
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Value, rc.Op = pairs[i], nullable(pairs[i+1]), op
		rr.Configs = append(rr.Configs, rc)
	}
	r.Resources = append(r.Resources, rr)
	return c.do(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
}

// describe is a topic's configuration as DescribeConfigs lists it.
func (c *testClient) describe(kind kmsg.ConfigResourceType, name string, keys ...string) kmsg.DescribeConfigsResponseResource {
	c.t.Helper()
	r := kmsg.NewPtrDescribeConfigsRequest()
	r.Version, r.IncludeSynonyms, r.IncludeDocumentation = 4, true, true
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kind, name, keys
	r.Resources = append(r.Resources, rr)
	return c.do(r).(*kmsg.DescribeConfigsResponse).Resources[0]
}

func TestTopicConfigs(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	const set, del, app = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
	for _, a := range []struct {
		name       string
		key, value string
		op         kmsg.IncrementalAlterConfigOp
		more       []string
		code       int16
		want       string // max.message.bytes afterwards
	}{
		{"set", "max.message.bytes", "2000", set, nil, 0, "2000"},
		{"unknown key", "nokey", "1", set, nil, 40, "2000"},
		{"delete unknown key", "nokey", "", del, nil, 0, "2000"},
		{"bad value", "max.message.bytes", "x", set, nil, 40, "2000"},
		{"null", "max.message.bytes", "", set, nil, 42, "2000"},
		{"append to no list", "max.message.bytes", "1", app, nil, 40, "2000"},
		{"unknown operation", "max.message.bytes", "1", 9, nil, 42, "2000"},
		{"twice", "max.message.bytes", "1", set, []string{"max.message.bytes", "2"}, 42, "2000"},
		{"all or nothing", "max.message.bytes", "1", set, []string{"segment.ms", "x"}, 40, "2000"},
		{"delete", "max.message.bytes", "", del, nil, 0, "1048588"},
		{"two", "max.message.bytes", "300", set, []string{"message.timestamp.type", "LogAppendTime"}, 0, "300"},
	} {
		if got := c.alter(a.key, a.value, a.op, a.more...); got.ErrorCode != a.code || (a.code == 0) != (got.ErrorMessage == nil) {
			t.Errorf("%s: %+v", a.name, got)
		}
		if got := c.describe(kmsg.ConfigResourceTypeTopic, "t", "max.message.bytes").Configs; len(got) != 1 || *got[0].Value != a.want {
			t.Errorf("%s: afterwards %+v", a.name, got)
		}
	}
	// What was altered holds for the next batch.
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 3))); got.ErrorCode != 10 {
		t.Errorf("over max.message.bytes: %+v", got)
	}
	lately := time.Now().Add(-time.Minute).UnixMilli()
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 1))); got.ErrorCode != 0 || got.LogAppendTime < lately {
		t.Errorf("LogAppendTime: %+v", got)
	}

	r := kmsg.NewPtrAlterConfigsRequest()
	r.Version = 2
	rr := kmsg.NewAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
	rc := kmsg.NewAlterConfigsRequestResourceConfig()
	rc.Name, rc.Value = "segment.ms", nullable("5000")
	rr.Configs = append(rr.Configs, rc)
	r.Resources = append(r.Resources, rr)
	if got := c.do(r).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("replace: %+v", got)
	}
	if got := b.controller.Image().Topics["t"].Configs; len(got) != 1 || got["segment.ms"] != "5000" {
		t.Errorf("replaced: %v", got)
	}
}

func TestDescribeConfigs(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.NumPartitions = 9
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	if got := c.describe(kmsg.ConfigResourceTypeTopic, "t"); got.ErrorCode != 0 || len(got.Configs) < 5 ||
		got.Configs[1].ConfigType != kmsg.ConfigTypeInt || *got.Configs[0].Documentation == "" || len(got.Configs[0].ConfigSynonyms) != 1 {
		t.Errorf("topic: %+v", got)
	}
	broker := c.describe(kmsg.ConfigResourceTypeBroker, "1", "num.partitions", "fetch.max.bytes").Configs
	if len(broker) != 2 || *broker[0].Value != "9" || broker[0].Source != kmsg.ConfigSourceStaticBrokerConfig || !broker[0].ReadOnly ||
		broker[1].Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("broker: %+v", broker)
	}
	many := kmsg.NewPtrDescribeConfigsRequest()
	for range 1000 {
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		many.Resources = append(many.Resources, rr)
	}
	if got := c.do(many).(*kmsg.DescribeConfigsResponse).Resources; len(got) != 1 {
		t.Errorf("one resource asked for a thousand times is answered %d times", len(got))
	}
	for _, d := range []struct {
		kind kmsg.ConfigResourceType
		name string
		code int16
	}{
		{kmsg.ConfigResourceTypeTopic, "none", 3}, {kmsg.ConfigResourceTypeTopic, "b ad", 17}, {kmsg.ConfigResourceTypeBroker, "9", 42},
		{kmsg.ConfigResourceTypeBroker, "x", 42}, {kmsg.ConfigResourceTypeBroker, "01", 42},
		{kmsg.ConfigResourceTypeBroker, "", 0}, {77, "x", 42},
	} {
		if got := c.describe(d.kind, d.name); got.ErrorCode != d.code {
			t.Errorf("%+v: %+v", d, got)
		}
	}
}
