package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// spelled is a described key: its value, whence it is, and what else is set for it.
func (c *testClient) spelled(kind kmsg.ConfigResourceType, name, key string) string {
	c.t.Helper()
	got := c.describe(kind, name, key).Configs
	if len(got) != 1 {
		c.t.Fatalf("%s: %+v", key, got)
	}
	value := "null"
	if got[0].Value != nil {
		value = *got[0].Value
	}
	list := []string{fmt.Sprintf("%s %s", value, got[0].Source)}
	for _, s := range got[0].ConfigSynonyms {
		list = append(list, fmt.Sprintf("%s=%s %s", s.Name, *s.Value, s.Source))
	}
	return strings.Join(list, ", ")
}

func TestTopicDefaultsOfABroker(t *testing.T) {
	cfg := testConfig(t.TempDir())
	if err := cfg.Set("log.retention.hours", "24"); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	const (
		ofTopic, ofBroker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
		set, unset        = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete
		hours             = "log.retention.hours=24 STATIC_BROKER_CONFIG, log.retention.hours=168 DEFAULT_CONFIG"
		usual             = "message.max.bytes=1048588 DEFAULT_CONFIG"
	)
	want := func(kind kmsg.ConfigResourceType, name, key, want string) {
		t.Helper()
		if got := c.spelled(kind, name, key); got != want {
			t.Errorf("%s of %s:\n%s, want\n%s", key, name, got, want)
		}
	}
	alter := func(broker, key string, op kmsg.IncrementalAlterConfigOp, value string, want int16) {
		t.Helper()
		if got := c.alterBroker(broker, key, op, nullable(value), false); got != want {
			t.Errorf("%s=%s of broker %q: code %d, want %d", key, value, broker, got, want)
		}
	}
	want(ofTopic, "t", "retention.ms", "86400000 STATIC_BROKER_CONFIG, "+hours)
	want(ofBroker, "1", "log.retention.ms", "null DEFAULT_CONFIG")
	want(ofBroker, "1", "log.retention.minutes", "null DEFAULT_CONFIG")
	want(ofBroker, "1", "log.retention.hours", "24 STATIC_BROKER_CONFIG, "+hours)
	alter("1", "log.retention.hours", set, "5", 42)
	alter("1", "log.retention.ms", set, "0", 42)
	alter("1", "log.retention.ms", set, "1d", 42)
	alter("", "log.retention.ms", set, "7000", 0)
	want(ofTopic, "t", "retention.ms", "7000 DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.ms=7000 DYNAMIC_DEFAULT_BROKER_CONFIG, "+hours)
	alter("", "log.retention.ms", unset, "", 0)
	want(ofTopic, "t", "retention.ms", "86400000 STATIC_BROKER_CONFIG, "+hours)

	want(ofTopic, "t", "max.message.bytes", "1048588 DEFAULT_CONFIG, "+usual)
	alter("", "message.max.bytes", set, "400", 0)
	alter("1", "message.max.bytes", set, "300", 0)
	layers := "message.max.bytes=300 DYNAMIC_BROKER_CONFIG, message.max.bytes=400 DYNAMIC_DEFAULT_BROKER_CONFIG, " + usual
	want(ofTopic, "t", "max.message.bytes", "300 DYNAMIC_BROKER_CONFIG, "+layers)
	want(ofBroker, "1", "message.max.bytes", "300 DYNAMIC_BROKER_CONFIG, "+layers)
	want(ofBroker, "", "message.max.bytes", "400 DYNAMIC_DEFAULT_BROKER_CONFIG, message.max.bytes=400 DYNAMIC_DEFAULT_BROKER_CONFIG")
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 3))); got.ErrorCode != 10 {
		t.Errorf("over message.max.bytes: %+v", got)
	}
	c.alter("max.message.bytes", "2000", set)
	want(ofTopic, "t", "max.message.bytes", "2000 DYNAMIC_TOPIC_CONFIG, max.message.bytes=2000 DYNAMIC_TOPIC_CONFIG, "+layers)
	c.mustProduce("t", 0, testBatch(t, 3))
}

// TestOpenPartitionsFollowTheBroker alters what topics have that set nothing: partitions that are open have it when the call
// is answered.
func TestOpenPartitionsFollowTheBroker(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	const set = kmsg.IncrementalAlterConfigOpSet
	for range 3 {
		c.mustProduce("t", 0, testBatch(t, 1))
	}
	if got := c.alterBroker("1", "log.retention.bytes", set, nullable("0"), false); got != 0 {
		t.Fatalf("code %d", got)
	}
	b.partitions.Retain(t.Context())
	if m, err := b.partitions.Get("t", 0).Marks(-1); err != nil || m.LogStart != 3 {
		t.Errorf("records have not expired: %+v, %v", m, err)
	}
	c.mustProduce("t", 0, testBatch(t, 1))
	if got := c.alter("cleanup.policy", "delete", kmsg.IncrementalAlterConfigOpSubtract); got.ErrorCode != 0 {
		t.Fatalf("%+v", got)
	}
	b.partitions.Retain(t.Context())
	if m, err := b.partitions.Get("t", 0).Marks(-1); err != nil || m.LogStart != 3 {
		t.Errorf("without delete in cleanup.policy records have expired: %+v, %v", m, err)
	}
}

func TestLists(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	const set, unset, app, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete,
		kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	for _, a := range []struct {
		value string
		op    kmsg.IncrementalAlterConfigOp
		code  int16
		want  string
	}{
		{"delete", app, 0, "delete DYNAMIC_TOPIC_CONFIG"},
		{"", unset, 0, "delete DEFAULT_CONFIG"},
		{"nonsense", sub, 0, "delete DYNAMIC_TOPIC_CONFIG"},
		{"nonsense", app, 40, "delete DYNAMIC_TOPIC_CONFIG"},
		{"compact", app, 0, "delete,compact DYNAMIC_TOPIC_CONFIG"},
		{"compact", sub, 0, "delete DYNAMIC_TOPIC_CONFIG"},
		{"delete,delete", app, 0, "delete DYNAMIC_TOPIC_CONFIG"},
		{"delete,", app, 40, "delete DYNAMIC_TOPIC_CONFIG"},
		{"", app, 42, "delete DYNAMIC_TOPIC_CONFIG"}, // null
		{"delete", sub, 0, " DYNAMIC_TOPIC_CONFIG"},
		{"delete", sub, 0, " DYNAMIC_TOPIC_CONFIG"},
		{" delete ", app, 0, "delete DYNAMIC_TOPIC_CONFIG"},
		{"delete , delete", set, 0, "delete DYNAMIC_TOPIC_CONFIG"},
	} {
		if got := c.alter("cleanup.policy", a.value, a.op); got.ErrorCode != a.code {
			t.Errorf("%+v: %+v", a, got)
		}
		if got := c.spelled(kmsg.ConfigResourceTypeTopic, "t", "cleanup.policy"); !strings.HasPrefix(got, a.want) {
			t.Errorf("%+v: afterwards %s", a, got)
		}
	}
	// A broker's own list begins as the default, whatever all brokers have.
	for _, a := range []struct {
		broker string
		op     kmsg.IncrementalAlterConfigOp
		want   string
	}{
		{"", sub, " DYNAMIC_DEFAULT_BROKER_CONFIG"}, {"1", app, "delete DYNAMIC_BROKER_CONFIG"}, {"1", sub, " DYNAMIC_BROKER_CONFIG"},
	} {
		if got := c.alterBroker(a.broker, "log.cleanup.policy", a.op, nullable("delete"), false); got != 0 {
			t.Errorf("%+v: code %d", a, got)
		}
		got := strings.Split(c.spelled(kmsg.ConfigResourceTypeBroker, "1", "log.cleanup.policy"), ", ")
		if !slices.Contains(got, a.want) {
			t.Errorf("%+v: afterwards %q", a, got)
		}
	}
	if got := c.alterBroker("1", "log.cleanup.policy", app, nullable("nonsense"), false); got != 42 {
		t.Errorf("append nonsense to a broker's list: code %d", got)
	}
}
