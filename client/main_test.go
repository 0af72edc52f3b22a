package client_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/quiretest"
	"github.com/quirelog/quire/client"
)

// testWait bounds what a test waits for; it is only ever used up by a failure.
const testWait = 30 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	t.Cleanup(cancel)
	return ctx
}

func partitions(n int32) func(*config.Config) {
	return func(c *config.Config) { c.NumPartitions = n }
}

// publish fails the test unless all records are stored.
func publish(t *testing.T, c *client.Client, records ...*client.Record) {
	t.Helper()
	if err := c.Publish(testContext(t), records...); err != nil {
		t.Fatal(err)
	}
}

// collect reads a replay to its end.
func collect(t *testing.T, c *client.Client, topic string, o client.ReplayOptions) []*client.Record {
	t.Helper()
	var got []*client.Record
	for r, err := range c.Replay(testContext(t), topic, o) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	return got
}

func values(records []*client.Record) []string {
	got := make([]string, 0, len(records))
	for _, r := range records {
		got = append(got, string(r.Value))
	}
	return got
}

// numbered makes records "from", ... of one topic, spread by key over partitions, a second apart from begin on.
func numbered(topic string, n int, begin time.Time) []*client.Record {
	var records []*client.Record
	for i := range n {
		records = append(records, &client.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i),
			Timestamp: begin.Add(time.Duration(i) * time.Second)})
	}
	return records
}

// newClient is a client of b with options of its own.
func newClient(t *testing.T, b *quiretest.Broker, o client.Options) *client.Client {
	t.Helper()
	o.Brokers = []string{b.Addr()}
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// newClientLike is a new client with c's options.
func newClientLike(t *testing.T, c *client.Client) *client.Client {
	t.Helper()
	fresh, err := client.New(c.Opts())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fresh.Close)
	return fresh
}
