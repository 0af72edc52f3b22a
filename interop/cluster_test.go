package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is brokers of bin/quire, processes of their own, that reach each other over a chaos.Mesh. Clients reach them directly.
type cluster struct {
	t       *testing.T
	mesh    *chaos.Mesh
	brokers []*clusterBroker // node id is the index and one
}

type clusterBroker struct {
	*server
	id      int32
	http    string
	dir     string
	stopped bool // by SIGSTOP
}

// startCluster starts n brokers with these further flags on throw-away directories, and returns when all are ready. They end with the test.
func startCluster(t *testing.T, n int, flags ...string) *cluster {
	t.Helper()
	var rpc []string
	for i := range n {
		rpc = append(rpc, freeAddrOn(t, chaos.Host(i)))
	}
	mesh, err := chaos.NewMesh(rpc, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, mesh: mesh}
	t.Cleanup(mesh.Close)
	var seeds []string
	for i := range n {
		seeds = append(seeds, mesh.Addr(i))
	}
	for i := range n {
		b := &clusterBroker{id: int32(i + 1), http: freeAddr(t), dir: t.TempDir()}
		addr := freeAddr(t)
		argv := []string{quireBinary(), "serve", "--node-id", fmt.Sprint(b.id), "--data-dir", b.dir, "--kafka-addr", addr, "--http-addr", b.http, "--rpc-addr", rpc[i],
			"--rpc-advertised-addr", mesh.Addr(i), "--seeds", strings.Join(seeds, ",")}
		b.server = start(t, addr, append(argv, flags...)...)
		c.brokers = append(c.brokers, b)
	}
	t.Cleanup(func() { // before they are told to stop
		mesh.Mend()
		for _, b := range c.brokers {
			b.resume()
			name := filepath.Join(t.ArtifactDir(), fmt.Sprintf("broker-%d.log", b.id)) // kept with -artifacts
			if err := os.WriteFile(name, b.out.bytes(), 0o600); err != nil {
				t.Error(err)
			}
		}
	})
	c.awaitReady(time.Minute)
	return c
}

// freeAddrOn is a free address of a host of the loopback.
func freeAddrOn(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// addrs are the brokers' Kafka addresses.
func (c *cluster) addrs() []string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, b.addr)
	}
	return addrs
}

// awaitReady waits until every broker says that it is ready.
func (c *cluster) awaitReady(d time.Duration) {
	c.t.Helper()
	for _, b := range c.brokers {
		c.await(d, func(ctx context.Context) error { return b.ready(ctx) })
	}
}

func (b *clusterBroker) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.http+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("broker %d: /readyz answers %s", b.id, resp.Status)
	}
	return nil
}

// await polls until try succeeds, and fails the test with its last error when that takes longer than d.
func (c *cluster) await(d time.Duration, try func(ctx context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), d)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("not within %v: %v", d, err)
		}
	}
}

// suspend stops the process where it is (SIGSTOP), and resume lets it go on.
func (b *clusterBroker) suspend() {
	b.stopped = true
	_ = b.cmd.Process.Signal(syscall.SIGSTOP)
}

func (b *clusterBroker) resume() {
	if b.stopped && b.cmd != nil {
		_ = b.cmd.Process.Signal(syscall.SIGCONT)
	}
	b.stopped = false
}

// client is a client of all brokers, which ends with the test.
func (c *cluster) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.addrs()...), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// admin is client for administration.
func (c *cluster) admin() *kadm.Client {
	c.t.Helper()
	return kadm.NewClient(c.client())
}

// endsAt asks one broker for the ends of a topic's partitions, whoever leads them.
func endsAt(ctx context.Context, cl *kgo.Client, broker int32, topic string, partitions int) ([]kmsg.ListOffsetsResponseTopicPartition, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	for p := range int32(partitions) {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, -1
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	resp, err := cl.Broker(int(broker)).Request(ctx, req)
	if err != nil {
		return nil, err
	}
	return resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions, nil
}

// leaders is who leads each partition of a topic; an error while one has no leader.
func leaders(ctx context.Context, adm *kadm.Client, topic string) ([]int32, error) {
	md, err := adm.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	t := md.Topics[topic]
	if t.Err != nil {
		return nil, t.Err
	}
	by := make([]int32, len(t.Partitions))
	for _, p := range t.Partitions.Sorted() {
		if p.Leader < 0 || p.Err != nil {
			return nil, fmt.Errorf("partition %d of %s has no leader: %w", p.Partition, topic, p.Err)
		}
		by[p.Partition] = p.Leader
	}
	return by, nil
}

// TestCluster: three processes form a cluster, and a topic of three replicas keeps what it was told through the end of each of them.
func TestCluster(t *testing.T) {
	c := startCluster(t, 3)
	adm := c.admin()
	if _, err := adm.CreateTopic(t.Context(), 6, 3, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	want := 0
	produce := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 50 {
			if err := cl.ProduceSync(ctx, kgo.KeySliceRecord(fmt.Append(nil, want), fmt.Append(nil, want))).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	produce()
	for _, b := range c.brokers {
		b.kill()
		produce()
		b.run(t)
		c.awaitReady(time.Minute)
		c.await(time.Minute, func(ctx context.Context) error { return inSync(ctx, adm, "orders", 3) })
	}
	ends, err := adm.ListEndOffsets(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	got := int64(0)
	ends.Each(func(o kadm.ListedOffset) { got += o.Offset })
	if got != int64(want) {
		t.Errorf("%d records, want %d", got, want)
	}
}

// inSync says which partition has fewer than n replicas in sync.
func inSync(ctx context.Context, adm *kadm.Client, topic string, n int) error {
	md, err := adm.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	for _, p := range md.Topics[topic].Partitions.Sorted() {
		if len(p.ISR) < n || p.Leader < 0 {
			return fmt.Errorf("partition %d of %s: leader %d, in sync %v", p.Partition, topic, p.Leader, p.ISR)
		}
	}
	return nil
}
