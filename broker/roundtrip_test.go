package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A real client's records come back in order, at offsets from 0 on, before and after a restart.
func TestClientRoundTripAcrossARestart(t *testing.T) {
	const records = 500
	cfg := testConfig(t.TempDir())
	b := startBroker(t, cfg)
	makeTopic(t, b, "a", 1)
	produceAll(t, b, records)
	consumeAll(t, b, records)
	closeBroker(t, b)
	consumeAll(t, startBroker(t, cfg), records)
}

func value(i int) string { return fmt.Sprintf("%d-%s", i, strings.Repeat("v", i%300)) }

func produceAll(t *testing.T, b *Broker, n int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DefaultProduceTopic("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var batch []*kgo.Record
	for i := range n {
		batch = append(batch, kgo.StringRecord(value(i)))
	}
	if err := c.ProduceSync(testContext(t), batch...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func consumeAll(t *testing.T, b *Broker, n int) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("a"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := testContext(t)
	for got := 0; got < n; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("after %d records: %v", got, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(got) || string(r.Value) != value(got) {
				t.Fatalf("offset %d holds %.20q, want %.20q at %d", r.Offset, r.Value, value(got), got)
			}
			got++
		})
	}
}

// Closing does not wait for a consumer at the end of the log: its long poll ends.
func TestCloseEndsLongPolls(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "a", 1)
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics("a"), kgo.FetchMaxWait(testWait))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(context.Background())
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		c.PollFetches(ctx)
	}()
	defer func() {
		cancel()
		<-polled
	}()
	waitFor(t, "a fetch to wait", func() bool { return b.kafka.waiting() > 0 })
	closing, cancelClosing := context.WithTimeout(context.Background(), drainTime)
	defer cancelClosing()
	if err := b.Close(closing); err != nil || closing.Err() != nil {
		t.Errorf("close: %v, %v", err, closing.Err())
	}
}
