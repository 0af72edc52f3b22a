// Package client publishes records to Kafka topics and replays them: from an offset, a time, an age or the start. It works with any
// broker that speaks Kafka's protocol and is a thin layer over franz-go's kgo, with defaults that lose nothing: every
// acknowledged record is on all in-sync replicas, once.
//
//	c, err := client.New(client.Options{})
//	...
//	defer c.Close()
//	err = c.Publish(ctx, &client.Record{Topic: "orders", Key: []byte("user_123"), Value: order})
//	...
//	for r, err := range c.Replay(ctx, "orders", client.ReplayOptions{From: client.FromAge(time.Hour)}) {
//		...
//	}
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"
)

// Options of New. The zero value is a client of the broker on this machine.
type Options struct {
	// Brokers are host:port addresses to start from; the others are learned from them. Empty: 127.0.0.1:9092.
	Brokers []string
	// ClientID names this client in the brokers' logs, metrics and quotas. Empty: "quire".
	ClientID string
	// TLS encrypts the connections. nil: they are in the clear.
	TLS *tls.Config

	// Timeout is how long a record or request is tried before it fails. 0: 30 s.
	Timeout time.Duration
	// Compression of published batches: none, gzip, snappy, lz4 or zstd. Empty: snappy.
	Compression string
	// MaxBatchBytes bounds a batch, and so a record, before compression. 0: 1,000,012, as Kafka's producers. The broker's bound,
	// after compression, is the topic's max.message.bytes.
	MaxBatchBytes int32
	// MaxBufferedBytes bounds what is published and not yet acknowledged; beyond it publishing waits. 0: 64 MiB.
	MaxBufferedBytes int

	// Kgo are further options of the clients underneath (SASL, hooks, a dialer), applied last. Those of consuming, groups and
	// transactions do not belong here.
	Kgo []kgo.Opt
}

const (
	defaultBroker        = "127.0.0.1:9092"
	defaultTimeout       = 30 * time.Second
	defaultBufferedBytes = 64 << 20
	dialTimeout          = 5 * time.Second
	// topicAge is how soon a topic that is not there yet is looked for again: one made on first use is there within
	// milliseconds, and kgo's own 5 s would be waited for.
	topicAge = 100 * time.Millisecond
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// withDefaults validates o whole and fills in what is not set.
func (o Options) withDefaults() (Options, error) {
	var faults []error
	if len(o.Brokers) == 0 {
		o.Brokers = []string{defaultBroker}
	}
	if o.ClientID == "" {
		o.ClientID = "quire"
	}
	if o.Compression == "" {
		o.Compression = "snappy"
	}
	if _, ok := codecs[o.Compression]; !ok {
		faults = append(faults, fmt.Errorf("compression %q: want none, gzip, snappy, lz4 or zstd", o.Compression))
	}
	if o.Timeout < 0 || o.MaxBatchBytes < 0 || o.MaxBufferedBytes < 0 {
		faults = append(faults, errors.New("Timeout, MaxBatchBytes and MaxBufferedBytes must not be negative"))
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBufferedBytes == 0 {
		o.MaxBufferedBytes = defaultBufferedBytes
	}
	return o, errors.Join(faults...)
}

// Client is a connection to a cluster. It is safe for concurrent use, and meant to be shared: one is enough for a process.
type Client struct {
	options  Options // with defaults
	producer *kgo.Client
	dials    dials
	room     *semaphore.Weighted // of MaxBufferedBytes
	expiry   expiry

	// newPartitionsEvery is how often a replay that goes on looks for partitions that were added to its topic.
	newPartitionsEvery time.Duration

	mu      sync.Mutex // guards what follows
	closed  bool
	replays map[*replay]context.CancelCauseFunc // under way
	groups  map[*Group]struct{}                 // not closed
}

// New makes a client. It dials nothing yet: a wrong address shows when something is published or replayed.
func New(o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("client options: %w", err)
	}
	c := &Client{options: o, room: semaphore.NewWeighted(int64(o.MaxBufferedBytes)), expiry: expiry{timeout: o.Timeout},
		newPartitionsEvery: 10 * time.Second, replays: make(map[*replay]context.CancelCauseFunc),
		groups: make(map[*Group]struct{})}
	opts := []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),                                          // and idempotent, which is the default
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(64<<10, true, true, nil)), // KIP-794; keys by Kafka's murmur2
		kgo.ProducerBatchCompression(codecs[o.Compression], kgo.NoCompression()),
		kgo.ProducerLinger(0),               // batches form by themselves while requests are in flight
		kgo.MaxBufferedRecords(math.MaxInt), // room bounds them
		kgo.AllowAutoTopicCreation(),
	}
	if o.MaxBatchBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(o.MaxBatchBytes))
	}
	if c.producer, err = c.connect(opts...); err != nil {
		return nil, err
	}
	return c, nil
}

// connect makes a kgo client of the same cluster.
func (c *Client) connect(opts ...kgo.Opt) (*kgo.Client, error) {
	o := c.options
	common := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.ClientID(o.ClientID),
		kgo.DialTimeout(dialTimeout), kgo.RetryTimeout(o.Timeout), kgo.MetadataMinAge(topicAge),
		kgo.DisableClientMetrics(), kgo.WithHooks(&c.dials),
	}
	if o.TLS != nil {
		common = append(common, kgo.DialTLSConfig(o.TLS))
	}
	cl, err := kgo.NewClient(slices.Concat(common, opts, o.Kgo)...)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", strings.Join(o.Brokers, ", "), err)
	}
	return cl, nil
}

// Admin is for what this package has no calls for: topics, configurations, offsets. It shares the client's connections and ends
// with it.
func (c *Client) Admin() *kadm.Client { return kadm.NewClient(c.producer) }

// Close ends replays, leaves groups and closes the connections. A record whose outcome is not known yet fails with ErrClosed: call Flush before to
// wait for those. Closing again does nothing.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	for _, cancel := range c.replays {
		cancel(ErrClosed)
	}
	groups := slices.Collect(maps.Keys(c.groups))
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	for _, g := range groups {
		_ = g.Close(ctx) // who wants to know closes the group
	}
	c.producer.Close()
}

// forget drops a group that is closed.
func (c *Client) forget(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.groups, g)
}
