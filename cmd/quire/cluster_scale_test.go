package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// trio is three brokers, processes of their own, that form a cluster.
type trio []*killable

// startTrio starts them and returns when all are ready; they are killed with the test.
func startTrio(t *testing.T, bin string, flags ...string) trio {
	t.Helper()
	var c trio
	var seeds []string
	for range 3 {
		b := newKillable(t, bin)
		c, seeds = append(c, b), append(seeds, b.rpc)
	}
	for _, b := range c {
		b.flags = append([]string{"--seeds", strings.Join(seeds, ",")}, flags...)
		b.launch(t)
		t.Cleanup(func() { b.kill(t) })
	}
	c.awaitReady(t)
	return c
}

func (c trio) awaitReady(t *testing.T) {
	t.Helper()
	for _, b := range c {
		until(t, time.Minute, "a broker of three is ready", b.ready)
	}
}

// addrs are the Kafka addresses of all but one of them; -1: of all.
func (c trio) addrs(but int) []string {
	var addrs []string
	for i, b := range c {
		if i != but {
			addrs = append(addrs, b.addr)
		}
	}
	return addrs
}

// client is a client that notices soon where a partition has gone.
func (c trio) client(t *testing.T, but int, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append(opts, kgo.SeedBrokers(c.addrs(but)...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// create makes a topic of three replicas and waits until every partition has taken a record.
func (c trio) create(t *testing.T, topic string, partitions int) time.Duration {
	t.Helper()
	cl := c.client(t, -1, kgo.DefaultProduceTopic(topic))
	defer cl.Close()
	adm := kadm.NewClient(cl)
	adm.SetTimeoutMillis(60_000)
	began := time.Now()
	if resp, err := adm.CreateTopic(t.Context(), int32(partitions), 3, nil, topic); err != nil {
		t.Fatal(resp, err)
	}
	all := make([]int32, partitions)
	for p := range all {
		all[p] = int32(p)
	}
	slowest(t, cl, all, time.Now())
	return time.Since(began)
}

// slowest writes a record to each of the partitions, acks=all, and returns how long after began the last one was acknowledged.
func slowest(t *testing.T, cl *kgo.Client, partitions []int32, began time.Time) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var last time.Duration
	var failed error
	for _, p := range partitions {
		cl.Produce(ctx, &kgo.Record{Partition: p, Value: []byte("x")}, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if last = time.Since(began); err != nil {
				failed = fmt.Errorf("partition %d: %w", p, err)
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	return last
}

// led lists the partitions of a topic that a broker leads.
func (c trio) led(t *testing.T, topic string, broker int32) []int32 {
	t.Helper()
	cl := c.client(t, -1)
	defer cl.Close()
	md, err := kadm.NewClient(cl).Metadata(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var led []int32
	for _, p := range md.Topics[topic].Partitions {
		if p.Leader == broker {
			led = append(led, p.Partition)
		}
	}
	return led
}

// awaitInSync waits until every partition has its three replicas in sync.
func (c trio) awaitInSync(t *testing.T, topic string, partitions int) {
	t.Helper()
	cl := c.client(t, -1)
	defer cl.Close()
	until(t, 2*time.Minute, "all replicas are in sync", func() bool {
		md, err := kadm.NewClient(cl).Metadata(t.Context(), topic)
		if err != nil || len(md.Topics[topic].Partitions) != partitions {
			return false
		}
		for _, p := range md.Topics[topic].Partitions {
			if len(p.ISR) != 3 || p.Leader < 0 {
				return false
			}
		}
		return true
	})
}

// TestClusterOfManyPartitions makes QUIRE_CLUSTER_PARTITIONS (60; `make cluster` has 1,000) partitions of three replicas, measures what the brokers take
// while nothing happens, and how long it takes until each partition that a broker led takes writes again: after kill -9, and after SIGSTOP.
func TestClusterOfManyPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three brokers")
	}
	partitions := int(envInt(t, "QUIRE_CLUSTER_PARTITIONS", 60))
	idle := time.Duration(envInt(t, "QUIRE_CLUSTER_IDLE_SECONDS", 1)) * time.Second
	c := startTrio(t, binary(t))
	took := c.create(t, "many", partitions)
	t.Logf("%d partitions of three replicas: made and written to within %v", partitions, took)
	if limit := atMost(60 * time.Second); took > limit {
		t.Errorf("they took %v, limit %v", took, limit)
	}
	c.awaitInSync(t, "many", partitions)
	c.measureIdle(t, idle, partitions)

	c.fail(t, partitions, 1, "killed", atMost(2*time.Second), func(b *killable) { b.kill(t) }, func(b *killable) { b.launch(t) })
	c.fail(t, partitions, 2, "stopped", atMost(4*time.Second),
		func(b *killable) { _ = b.cmd.Process.Signal(syscall.SIGSTOP) }, func(b *killable) { _ = b.cmd.Process.Signal(syscall.SIGCONT) })
}

// measureIdle measures the brokers' processor time and memory while nothing happens.
func (c trio) measureIdle(t *testing.T, d time.Duration, partitions int) {
	t.Helper()
	var before [3]time.Duration
	for i, b := range c {
		before[i] = b.cpu(t)
	}
	began := time.Now()
	<-time.After(d)
	for i, b := range c {
		share, rss := (b.cpu(t)-before[i]).Seconds()/time.Since(began).Seconds(), b.rss(t)>>20
		t.Logf("broker %d idle for %v: %.1f%% of a core, RSS %d MiB", i+1, d, 100*share, rss)
		if partitions <= 1000 && (rss > 250 || d >= 10*time.Second && share > 0.1) {
			t.Errorf("broker %d takes %.1f%% of a core and %d MiB with %d partitions, limits 10%% and 250 MiB", i+1, 100*share, rss, partitions)
		}
	}
}

// fail takes a broker away and measures until every partition that it led has taken a write, then brings it back.
func (c trio) fail(t *testing.T, partitions int, broker int32, what string, limit time.Duration, away, back func(*killable)) {
	t.Helper()
	led := c.led(t, "many", broker)
	if len(led) == 0 {
		t.Fatalf("broker %d leads nothing", broker)
	}
	cl := c.client(t, int(broker-1), kgo.DefaultProduceTopic("many"), kgo.ProduceRequestTimeout(500*time.Millisecond),
		kgo.RequestTimeoutOverhead(500*time.Millisecond), kgo.RetryTimeout(time.Minute))
	defer cl.Close()
	b := c[broker-1]
	away(b)
	took := slowest(t, cl, led, time.Now())
	t.Logf("broker %d, which led %d of %d partitions, is %s: all of them take writes after %v", broker, len(led), partitions, what, took)
	if took > limit {
		t.Errorf("they take writes after %v, limit %v", took, limit)
	}
	back(b)
	c.awaitReady(t)
	c.awaitInSync(t, "many", partitions)
}

// TestClusterProduceCost compares what a MB costs three brokers together with what it costs one, at batches of 64 KiB and durability os.
// QUIRE_CLUSTER_MB (50; `make cluster` has 1,000) are written to each.
func TestClusterProduceCost(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four brokers")
	}
	megabytes := envInt(t, "QUIRE_CLUSTER_MB", 50)
	bin := binary(t)
	alone := newKillable(t, bin)
	alone.flags = []string{"--durability", "os"}
	alone.start(t)
	one := produceCost(t, trio{alone}, 1, megabytes)
	alone.kill(t)
	c := startTrio(t, bin, "--durability", "os")
	three := produceCost(t, c, 3, megabytes)
	t.Logf("%d MB in 64 KiB batches, durability os: %.2f ms of processor time a MB at one broker, %.2f at three replicas, %.1f times as much",
		megabytes, one, three, three/one)
	if limit := 4.5; megabytes >= 1000 && three > limit*one {
		t.Errorf("three replicas cost %.1f times as much, limit %.1f", three/one, limit)
	}
}

// produceCost is milliseconds of processor time of all brokers for a MB.
func produceCost(t *testing.T, c trio, replicas int16, megabytes int64) float64 {
	t.Helper()
	cl := c.client(t, -1, kgo.DefaultProduceTopic("cost"), kgo.ProducerBatchMaxBytes(64<<10), kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(2000))
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 6, replicas, nil, "cost"); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 8000) // eight records are a batch
	write := func(n int64) {
		for i := range n {
			cl.Produce(t.Context(), &kgo.Record{Partition: int32(i / 8 % 6), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if err := cl.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	write(1000)
	var cpu time.Duration
	for _, b := range c {
		cpu -= b.cpu(t)
	}
	write(megabytes * 1_000_000 / int64(len(value)))
	for _, b := range c {
		cpu += b.cpu(t)
	}
	return float64(cpu.Milliseconds()) / float64(megabytes)
}
