package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// setGroup sets a group's key, or removes it where value is "".
func (c *testClient) setGroup(group, key, value string) int16 {
	c.t.Helper()
	config := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Value: &value}
	if value == "" {
		config.Op, config.Value = kmsg.IncrementalAlterConfigOpDelete, nil
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version = 1
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{config},
	}}
	return c.do(req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

// groupValues describes a group: "value source" by key.
func (c *testClient) groupValues(group string) (map[string]string, int16) {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: group}}
	got := c.do(req).(*kmsg.DescribeConfigsResponse).Resources[0]
	values := map[string]string{}
	for _, v := range got.Configs {
		values[v.Name] = fmt.Sprint(*v.Value, " ", v.Source)
	}
	return values, got.ErrorCode
}

func (c *testClient) configuredGroups() []string {
	c.t.Helper()
	req := kmsg.NewPtrListConfigResourcesRequest()
	req.Version, req.ResourceTypes = 1, []int8{int8(kmsg.ConfigResourceTypeGroupConfig)}
	var names []string
	for _, r := range c.do(req).(*kmsg.ListConfigResourcesResponse).ConfigResources {
		names = append(names, r.Name)
	}
	return names
}

// What is set for a group counts for that group alone, from its next heartbeat on, and after a restart.
func TestGroupConfigs(t *testing.T) {
	cfg := groupConfig(t)
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	c := &groupClient{testClient: newTestClient(t, b), b: b, highest: true, group: "g"}
	c.find()
	interval := func(group string) int32 {
		t.Helper()
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Group, beat.MemberID, beat.RebalanceTimeoutMillis, beat.SubscribedTopicNames = group, "AAAAAAAAQUGRQUFBQUFBQQ", 30_000, []string{"t"}
		beat.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		got := c.ask(beat).(*kmsg.ConsumerGroupHeartbeatResponse)
		if got.ErrorCode != 0 {
			t.Fatalf("heartbeat of %s: %+v", group, got)
		}
		return got.HeartbeatIntervalMillis
	}
	if got := interval("g"); got != 100 {
		t.Errorf("the interval is %d before it is set", got)
	}
	for _, tt := range []struct {
		group, key, value string
		code              int16
	}{
		{"g", "consumer.heartbeat.interval.ms", "250", 0},
		{"g", "consumer.heartbeat.interval.ms", "x", 40},
		{"g", "consumer.heartbeat.interval.ms", "00000000000000000000250", 40},
		{"g", "consumer.session.timeout.ms", "250", 40}, // not above the interval
		{"g", "consumer.session.timeout.ms", "0", 40},
		{"g", "retention.ms", "1", 40},
		{"g", "no.such.key", "", 0}, // what is not there can be removed
		{"", "consumer.session.timeout.ms", "45000", 42},
		{"bad\xff", "consumer.session.timeout.ms", "45000", 42},
	} {
		if code := c.setGroup(tt.group, tt.key, tt.value); code != tt.code {
			t.Errorf("%q: %s=%s: code %d, want %d", tt.group, tt.key, tt.value, code, tt.code)
		}
	}
	if g, h := interval("g"), interval("h"); g != 250 || h != 100 {
		t.Errorf("intervals: %d and %d, want 250 and 100", g, h)
	}
	if _, code := c.groupValues(""); code != 42 {
		t.Errorf("describe no group: code %d", code)
	}
	closeBroker(t, b)

	b = startBroker(t, cfg)
	c.testClient, c.b = newTestClient(t, b), b
	c.find()
	want := map[string]string{
		"consumer.heartbeat.interval.ms": "250 GROUP_CONFIG", "consumer.session.timeout.ms": "45000 DEFAULT_CONFIG",
		"consumer.assignment.interval.ms": "100 DEFAULT_CONFIG",
	}
	if got, _ := c.groupValues("g"); fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(c.configuredGroups()) != "[g]" || interval("g") != 250 {
		t.Errorf("after a restart: %v, of %v, interval %d", got, c.configuredGroups(), interval("g"))
	}
	if code := c.setGroup("g", "consumer.heartbeat.interval.ms", ""); code != 0 || len(c.configuredGroups()) != 0 || interval("g") != 100 {
		t.Errorf("removed: code %d, %v, interval %d", code, c.configuredGroups(), interval("g"))
	}
}

// What another version has set does not keep the rest from counting.
func TestGroupTimingTakesWhatItKnows(t *testing.T) {
	usual := consumer.Timing{Session: 45 * time.Second, Heartbeat: 5 * time.Second}
	got, err := groupTiming(usual, map[string]string{"consumer.session.timeout.ms": "60000", "consumer.of.tomorrow": "1"})
	if want := (consumer.Timing{Session: time.Minute, Heartbeat: 5 * time.Second}); err == nil || got != want {
		t.Errorf("got %+v, %v; want %+v and an error", got, err, want)
	}
}
