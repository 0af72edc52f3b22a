package broker

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waitingJoin joins a group, second, whose other member, first, does not come back: so it waits.
func waitingJoin(t *testing.T, b *Broker, metadata int) (first *groupClient, second *testClient) {
	t.Helper()
	first = &groupClient{testClient: newTestClient(t, b), b: b, group: "g"}
	first.find()
	first.join()
	second = newTestClient(t, b)
	second.send(joinRequest("g", metadata))
	return first, second
}

func joinRequest(group string, metadata int) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 1, group, 30_000, 30_000
	req.ProtocolType = "consumer"
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: bytes.Repeat([]byte{'x'}, metadata)}}
	return req
}

// A join that waits takes nothing of what other requests need, but of its own amount; and its end gives that back, whoever hears of it.
func TestWaitingJoinsAreCountedApart(t *testing.T) {
	const metadata = 500 << 10
	b := startBroker(t, groupConfig(t))
	first, second := waitingJoin(t, b, metadata)
	waitFor(t, "the join waits", func() bool { return b.groups.waiting.used.Load() > metadata })
	waitFor(t, "the request has given its memory back", func() bool { return b.kafka.budget.used.Load() == 0 })

	b.groups.waiting.used.Add(maxWaitingBytes)
	third := newTestClient(t, b)
	if got := third.do(joinRequest("g", 10)).(*kmsg.JoinGroupResponse); got.ErrorCode != 15 {
		t.Errorf("a join beyond the limit: %+v", got)
	}
	b.groups.waiting.used.Add(-maxWaitingBytes)

	second.nc.Close()
	if code := first.leave(); code != 0 {
		t.Errorf("leave: code %d", code)
	}
	waitFor(t, "nothing waits", func() bool { return b.groups.waiting.used.Load() == 0 })
}

// Closing the broker does not wait for members that do not come: who waits is sent to look for another coordinator.
func TestCloseEndsWaitingJoins(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	_, second := waitingJoin(t, b, 10)
	waitFor(t, "the join waits", func() bool { return b.groups.waiting.used.Load() > 0 })
	began := time.Now()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closeBroker(t, b)
	}()
	if got := second.receive(joinRequest("g", 10)).(*kmsg.JoinGroupResponse); got.ErrorCode != 16 {
		t.Errorf("the waiting join: %+v", got)
	}
	<-closed
	if took := time.Since(began); took > drainTime {
		t.Errorf("closing took %s", took)
	}
}

// A coordinator that does not answer in time is not waited for longer.
func TestGroupCallGivesUp(t *testing.T) {
	req := kmsg.NewPtrHeartbeatRequest()
	c := groupCall{req: req, answered: make(chan kmsg.Response, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	if got := c.wait(ctx, time.Nanosecond, nil, errNoCoordinator).msg.(*kmsg.HeartbeatResponse); got.ErrorCode == 0 {
		t.Errorf("late: %+v", got)
	}
	c.answered <- req.ResponseKind()
	if got := c.wait(ctx, 0, nil, errNoCoordinator).msg.(*kmsg.HeartbeatResponse); got.ErrorCode != 0 {
		t.Errorf("in time: %+v", got)
	}
	if cancel(); c.wait(ctx, time.Hour, nil, errNoCoordinator).err == nil {
		t.Error("the client is gone")
	}
}

// The journal is Kafka's, and clients leave it alone.
func TestJournalIsTheBrokersOwn(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	c := &groupClient{testClient: newTestClient(t, b), b: b, group: "g"}
	c.find()
	journal := b.view().Topics[consumergroup.JournalTopic]
	if len(journal.Partitions) != 4 || journal.Configs["cleanup.policy"] != "compact" || journal.Configs["segment.bytes"] != "104857600" {
		t.Errorf("the journal is %+v", journal)
	}
	if got := c.do(metadataRequest(9, consumergroup.JournalTopic, "t")).(*kmsg.MetadataResponse).Topics; !got[0].IsInternal || got[1].IsInternal {
		t.Errorf("metadata: %+v", got)
	}
	if got := c.produce(produceRequest(9, consumergroup.JournalTopic, 0, testBatch(t, 1))); got.ErrorCode != 17 {
		t.Errorf("produce: %+v", got)
	}
	for _, tt := range []struct {
		name      string
		got, want int16
	}{
		{"delete", c.deleteTopic(consumergroup.JournalTopic), 17},
		{"grow", c.growTopic(consumergroup.JournalTopic, 8), 17},
		{"trim", c.trimTopic(consumergroup.JournalTopic), 17},
		{"policy", c.setTopic(consumergroup.JournalTopic, "cleanup.policy", "delete"), 40},
		{"segments", c.setTopic(consumergroup.JournalTopic, "segment.bytes", "2097152"), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: code %d, want %d", tt.name, tt.got, tt.want)
		}
	}
	if !b.view().topics[journal.ID].internal || b.view().topics[journal.ID].config.Deletes {
		t.Error("records of the journal may expire")
	}
}

func (c *testClient) deleteTopic(name string) int16 {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames, req.TimeoutMillis = 5, []string{name}, 1000
	return c.do(req).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode
}

func (c *testClient) growTopic(name string, partitions int32) int16 {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Topics, req.TimeoutMillis = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: partitions}}, 1000
	return c.do(req).(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode
}

func (c *testClient) trimTopic(name string) int16 {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: name, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	return c.do(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode
}

func (c *testClient) setTopic(name, key, value string) int16 {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}},
	}}
	return c.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

// Groups are on /metrics, under both names; what could be endless, or break the page, is not.
func TestGroupMetrics(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	topic := makeTopic(t, b, "t", 2)
	c := &groupClient{testClient: newTestClient(t, b), b: b, group: "g", topic: topic.ID, generation: -1}
	if _, body := get(t, b, "/metrics"); strings.Contains(body, "consumer_group") {
		t.Error("metrics of groups before there is one")
	}
	for range 10 {
		c.mustProduce("t", 1, testBatch(t, 1))
	}
	for _, group := range []string{"g", "h", "bad\xff"} {
		c.group = group
		c.find()
		if code := c.commit(4); code != 0 {
			t.Fatalf("commit: code %d", code)
		}
	}
	var body string
	waitFor(t, "all partitions of the journal are served", func() bool { // those that no group has asked for may come later
		_, body = get(t, b, "/metrics")
		return strings.Contains(body, `quire_kafka_group_journal_partitions{state="serving"} 4`)
	})
	lines := strings.Split(body, "\n")
	for _, want := range []string{
		`quire_kafka_consumer_group_committed_offset{group="g",partition="1",topic="t"} 4`,
		`quire_kafka_consumer_group_lag{group="g",partition="1",topic="t"} 6`,
		`quire_kafka_consumer_group_members{group="g"} 0`,
		`quire_kafka_consumer_group_state{group="g",state="Empty"} 1`,
		`kafka_consumergroup_current_offset{consumergroup="g",partition="1",topic="t"} 4`,
		`kafka_consumergroup_lag{consumergroup="h",partition="1",topic="t"} 6`,
		`kafka_consumergroup_current_offset_sum{consumergroup="h",topic="t"} 4`,
		`kafka_consumergroup_lag_sum{consumergroup="h",topic="t"} 6`,
		`kafka_consumergroup_members{consumergroup="h"} 0`,
		`quire_kafka_consumer_groups 3`,
		`quire_kafka_consumer_groups_hidden 1`,
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %s in\n%s", want, onlyGroups(lines))
		}
	}
}

func onlyGroups(lines []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		return !strings.Contains(l, "group") || strings.HasPrefix(l, "#")
	}), "\n")
}

// What a group has committed for a topic goes with the topic.
func TestOffsetsGoWithTheirTopic(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	topic := makeTopic(t, b, "t", 2)
	c := &groupClient{testClient: newTestClient(t, b), b: b, group: "g", topic: topic.ID, generation: -1}
	c.find()
	if code := c.commit(4); code != 0 || c.committed() != 4 {
		t.Fatalf("commit: code %d", code)
	}
	if code := c.deleteTopic("t"); code != 0 {
		t.Fatalf("delete topic: code %d", code)
	}
	makeTopic(t, b, "t", 2)
	waitFor(t, "the offset is forgotten", func() bool { return c.committed() == -1 && !c.listed() })
}
