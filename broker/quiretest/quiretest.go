// Package quiretest starts a broker in a Go test, in one line and within milliseconds:
//
//	func TestOrders(t *testing.T) {
//		b := quiretest.Start(t)
//		err := b.Client().Publish(t.Context(), &client.Record{Topic: "orders", Key: []byte("user_123"), Value: []byte("a coffee")})
//		...
//	}
//
// It is the broker that `quire serve` runs, in the test's own process, on a free port and a directory that goes with the test. Any
// Kafka client connects to Addr.
package quiretest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/client"
	"github.com/quirelog/quire/segment/flush"
)

const (
	startTimeout = 30 * time.Second // of a machine that is busy: the usual is milliseconds
	closeTimeout = 10 * time.Second
	leakTimeout  = 5 * time.Second // for goroutines to end after the broker has closed
	// label marks the goroutines of a broker and its client, so that those left over are told from anybody else's.
	label = "quiretest"
)

// started numbers the brokers of a process, for label.
var started atomic.Int64

// Broker is a broker of one test.
type Broker struct {
	t      testing.TB
	id     string
	cfg    config.Config
	broker *broker.Broker
	client *client.Client
}

// Start starts a broker that answers requests when Start returns, and stops at the end of the test, after whatever the test has
// registered with t.Cleanup since. A broker that does not start fails the test at once; one that does not stop cleanly, or leaves
// goroutines behind, fails it at the end. Warnings go to the test's log.
//
// Topics are made on first use, with one partition for each of the broker's num.partitions (4). Acknowledged records are not
// flushed to disk, and there is no admin HTTP. change, if any, changes the configuration before the broker starts:
//
//	b := quiretest.Start(t, func(c *config.Config) { c.NumPartitions = 1 })
//
// Any number of brokers may run in one process at once.
func Start(t testing.TB, change ...func(*config.Config)) *Broker {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.KafkaAddr, cfg.RPCAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.Durability = flush.OS
	for _, f := range change {
		f(&cfg)
	}
	return start(t, cfg, nil)
}

// start starts a broker, on a listener for other brokers if there is one.
func start(t testing.TB, cfg config.Config, rpc net.Listener) *Broker {
	t.Helper()
	b := newBroker(t, cfg)
	if err := b.run(rpc); err != nil {
		t.Fatalf("quiretest: start a broker: %v", err)
	}
	t.Cleanup(b.stop)
	b.makeClient(b.Addr())
	return b
}

func newBroker(t testing.TB, cfg config.Config) *Broker {
	return &Broker{t: t, cfg: cfg, id: fmt.Sprintf("%s#%d", t.Name(), started.Add(1))}
}

// run starts the broker, and returns when it answers requests.
func (b *Broker) run(rpc net.Listener) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), startTimeout)
	defer cancel()
	b.labelled(ctx, func(ctx context.Context) {
		b.broker, err = broker.Start(ctx, b.cfg, broker.Options{
			Logger:  slog.New(slog.NewTextHandler(b.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", b.cfg.NodeID),
			Version: "quiretest", RPCListener: rpc,
			OnFatal: func(err error) { b.t.Errorf("quiretest: the broker cannot go on: %v", err) },
		})
	})
	if err == nil {
		b.cfg.KafkaAddr = b.Addr() // for the next time
	}
	return err
}

func (b *Broker) makeClient(addrs ...string) {
	b.t.Helper()
	var err error
	b.labelled(b.t.Context(), func(context.Context) {
		b.client, err = client.New(client.Options{Brokers: addrs, ClientID: "quiretest"})
	})
	if err != nil {
		b.t.Fatalf("quiretest: make a client: %v", err)
	}
}

// Addr is host:port of the Kafka listener.
func (b *Broker) Addr() string { return b.broker.Addr() }

// HTTPAddr is host:port of the admin listener; "" unless the configuration was changed to have one.
func (b *Broker) HTTPAddr() string { return b.broker.HTTPAddr() }

// Client is a client of this broker, the same at each call. It is closed when the broker stops.
func (b *Broker) Client() *client.Client { return b.client }

// labelled runs f so that the goroutines it starts, and those they start, are known as this broker's.
func (b *Broker) labelled(ctx context.Context, f func(context.Context)) {
	pprof.Do(ctx, pprof.Labels(label, b.id), f)
}

func (b *Broker) stop() {
	if b.client != nil {
		b.client.Close()
	}
	b.halt()
	b.reportLeftOver()
}

// halt stops the broker, if it runs.
func (b *Broker) halt() {
	if b.broker == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := b.broker.Close(ctx); err != nil {
		b.t.Errorf("quiretest: stop the broker: %v", err)
	}
	b.broker = nil
}

func (b *Broker) reportLeftOver() {
	if left := b.leftOver(leakTimeout); left != "" {
		b.t.Errorf("quiretest: goroutines of the broker or its client are left over:\n%s", left)
	}
}

// leftOver waits for this broker's goroutines to end, and returns the stacks of those that have not within timeout.
func (b *Broker) leftOver(timeout time.Duration) string {
	const pause = time.Millisecond
	for deadline := time.Now().Add(timeout); ; <-time.After(pause) {
		left := b.goroutines()
		if left == "" || time.Now().After(deadline) {
			return left
		}
	}
}

// goroutines are the stacks of this broker's goroutines, as the profile groups them: a count, and the functions.
func (b *Broker) goroutines() string {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return "goroutine profile: " + err.Error()
	}
	mark := fmt.Sprintf("%q:%q", label, b.id)
	var mine []string
	for group := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(group, mark) {
			mine = append(mine, group)
		}
	}
	return strings.Join(mine, "\n\n")
}
