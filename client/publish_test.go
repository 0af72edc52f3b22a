package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/quiretest"
	"github.com/quirelog/quire/client"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TestKeysGoWhereKafkaPutsThem holds partitions against those of the Java client.
func TestKeysGoWhereKafkaPutsThem(t *testing.T) {
	c := quiretest.Start(t, partitions(6)).Client()
	for key, want := range map[string]int32{"21": 0, "foobar": 0, "user_123": 5, "customer_456": 4} {
		r := &client.Record{Topic: "t", Key: []byte(key), Partition: 99}
		publish(t, c, r)
		if r.Partition != want {
			t.Errorf("%s is on partition %d, want %d", key, r.Partition, want)
		}
	}
}

func TestPublishedRecordsComeBackWhole(t *testing.T) {
	b := quiretest.Start(t, partitions(1))
	stamp := time.UnixMilli(1_700_000_000_123)
	for _, codec := range []string{"", "none", "gzip", "snappy", "lz4", "zstd"} {
		c := newClient(t, b, client.Options{Compression: codec})
		topic := "codec-" + codec
		sent := []*client.Record{
			{Topic: topic, Key: []byte("k"), Value: []byte(strings.Repeat("v", 1000)), Timestamp: stamp,
				Headers: []client.Header{{Key: "h", Value: []byte("1")}, {Key: "h"}}},
			{Topic: topic, Key: []byte{}, Value: nil, Timestamp: stamp},
			{Topic: topic, Key: nil, Value: []byte{}, Timestamp: stamp},
		}
		publish(t, c, sent...)
		got := collect(t, c, topic, client.ReplayOptions{})
		if len(got) != len(sent) {
			t.Fatalf("%q: %d records, want %d", codec, len(got), len(sent))
		}
		for i, r := range got {
			// %#v tells nil from empty.
			if g, w := fmt.Sprintf("%#v", *r), fmt.Sprintf("%#v", *sent[i]); g != w {
				t.Errorf("%q: got  %s\nwant %s", codec, g, w)
			}
		}
	}
}

func TestPublishStampsNow(t *testing.T) {
	c := quiretest.Start(t).Client()
	before := time.Now().Truncate(time.Millisecond)
	r := &client.Record{Topic: "t"}
	publish(t, c, r)
	if r.Timestamp.Before(before) || r.Timestamp.After(time.Now()) {
		t.Errorf("stamped %v, want now, %v", r.Timestamp, before)
	}
}

func TestPublishAsyncAnswersInOrder(t *testing.T) {
	c := quiretest.Start(t, partitions(1)).Client()
	const n = 5000
	var offsets []int64
	for i := range n {
		c.PublishAsync(t.Context(), &client.Record{Topic: "t", Value: fmt.Append(nil, i)}, func(r *client.Record, err error) {
			if err != nil || string(r.Value) != fmt.Sprint(len(offsets)) {
				t.Errorf("record %d: %s, %v", len(offsets), r.Value, err)
			}
			offsets = append(offsets, r.Offset)
		})
	}
	c.PublishAsync(t.Context(), &client.Record{Topic: "t"}, nil)
	if err := c.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if len(offsets) != n {
		t.Fatalf("%d callbacks, want %d", len(offsets), n)
	}
	for i, at := range offsets {
		if at != int64(i) {
			t.Fatalf("record %d is at offset %d", i, at)
		}
	}
}

// TestPublishErrors wants the thing, the cause and the remedy in each message, and the code beneath it.
func TestPublishErrors(t *testing.T) {
	b := quiretest.Start(t, func(c *config.Config) { c.AutoCreateTopics = false })
	c := b.Client()
	if _, err := c.Admin().CreateTopic(testContext(t), 1, 1, map[string]*string{"max.message.bytes": new("1000")}, "small"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		record client.Record
		is     error
		says   []string
	}{
		{client.Record{Topic: "nothing"}, kerr.UnknownTopicOrPartition, []string{`publish to topic "nothing"`, "no such topic", "quire topic create"}},
		{client.Record{Topic: "a b"}, kerr.InvalidTopicException, []string{`publish to topic "a b"`, "no name", "249"}},
		{client.Record{Topic: "small", Value: incompressible(2000)}, kerr.MessageTooLarge, []string{`"small"`, "too large", "max.message.bytes"}},
		{client.Record{Topic: "small", Value: make([]byte, 2<<20)}, kerr.MessageTooLarge, []string{`"small"`, "too large", "MaxBatchBytes"}},
	} {
		err := c.Publish(testContext(t), &tt.record)
		if !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %v", tt.record.Topic, err, tt.is)
			continue
		}
		if e, ok := errors.AsType[*client.Error](err); !ok || e.Remedy == "" {
			t.Errorf("%s: no remedy in %v", tt.record.Topic, err)
		}
		for _, want := range tt.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v does not say %q", tt.record.Topic, err, want)
			}
		}
	}
}

// incompressible is n bytes that no codec makes smaller.
func incompressible(n int) []byte {
	b, x := make([]byte, n), uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

func TestPublishOfSeveralSaysWhichFailed(t *testing.T) {
	c := quiretest.Start(t).Client()
	err := c.Publish(testContext(t), &client.Record{Topic: "t"}, &client.Record{Topic: "a b"}, &client.Record{Topic: "t"})
	several, ok := errors.AsType[*client.PublishError](err)
	if !ok || len(several.Errs) != 3 || several.Errs[0] != nil || several.Errs[1] == nil || several.Errs[2] != nil {
		t.Fatalf("got %v", err)
	}
	if !errors.Is(err, kerr.InvalidTopicException) || !strings.HasPrefix(err.Error(), `1 of 3 records: publish to topic "a b"`) {
		t.Errorf("got %v", err)
	}
	if got := collect(t, c, "t", client.ReplayOptions{}); len(got) != 2 {
		t.Errorf("%d records are stored, want 2", len(got))
	}
}

// unusedAddr is an address on which nothing listens.
func unusedAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func TestNoBroker(t *testing.T) {
	addr := unusedAddr(t)
	c, err := client.New(client.Options{Brokers: []string{addr}, Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var replayed error
	for _, err := range c.Replay(testContext(t), "t", client.ReplayOptions{}) {
		replayed = err
	}
	for op, err := range map[string]error{"publish": c.Publish(testContext(t), &client.Record{Topic: "t"}), "replay": replayed} {
		if err == nil {
			t.Errorf("%s: no error", op)
			continue
		}
		for _, want := range []string{op, "no broker at " + addr, "refused", "quire dev"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	}
}

// TestPublishWaitsNoLongerThanItsContext publishes to a listener that never answers: with one record given up, others must not be
// failed with it.
func TestPublishWaitsNoLongerThanItsContext(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := client.New(client.Options{Brokers: []string{ln.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	other := make(chan error, 1)
	c.PublishAsync(t.Context(), &client.Record{Topic: "t"}, func(_ *client.Record, err error) { other <- err })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = c.Publish(ctx, &client.Record{Topic: "t"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-other:
		t.Errorf("another record failed: %v", err)
	default:
	}
	c.Close()
	if err := <-other; !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	b := quiretest.Start(t)
	c := newClient(t, b, client.Options{})
	c.Close()
	c.Close()
	if err := c.Publish(testContext(t), &client.Record{Topic: "t"}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("publish: %v", err)
	}
	for _, err := range c.Replay(testContext(t), "t", client.ReplayOptions{}) {
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("replay: %v", err)
		}
	}
}

func TestOptionsAreValidatedWhole(t *testing.T) {
	_, err := client.New(client.Options{Compression: "rar", Timeout: -1})
	if err == nil || !strings.Contains(err.Error(), `"rar"`) || !strings.Contains(err.Error(), "negative") {
		t.Errorf("got %v", err)
	}
}
