package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKillNine kills the broker with SIGKILL again and again under a paced load of idempotent producers that live through
// it, and compares what is stored, record by record, with what was acknowledged: every acknowledged record at its offset,
// no value twice, offsets without a gap, each producer's records in the order they were sent.
//
// QUIRE_CRASH_KILLS sets the number of kills (10; `make crash` does 100), QUIRE_CRASH_SEED the seed.
func TestKillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	kills, seed := envInt(t, "QUIRE_CRASH_KILLS", 10), envInt(t, "QUIRE_CRASH_SEED", time.Now().UnixNano())
	t.Logf("QUIRE_CRASH_KILLS=%d QUIRE_CRASH_SEED=%d", kills, seed)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	crashTopic(t, b.addr)

	load := startLoad(t, b.addr, 4)
	seen := &stored{}
	for n := range kills {
		load.waitAcked(t, 20+rng.IntN(400))
		b.kill(t)
		b.start(t)
		if n%10 == 9 {
			seen.readOn(t, b.addr)
		}
	}
	load.waitAcked(t, 200)
	load.stop(t)
	seen.readOn(t, b.addr)
	seen.compare(t, load)
	again := &stored{} // what was read while it was new must read the same now
	again.readOn(t, b.addr)
	again.compare(t, load)
	t.Logf("%d kills, %d records acknowledged and found", kills, len(load.acked))
}

const crashPartitions = 4

func crashTopic(t *testing.T, addr string) {
	t.Helper()
	cl := newClient(t, addr)
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), crashPartitions, 1, map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}, "crash"); err != nil {
		t.Fatal(err)
	}
}

func newClient(t *testing.T, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(addr), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))...)
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// killable is a broker process on a directory and ports that stay the same over its lives.
type killable struct {
	bin, dir, addr, http, rpc string
	flags                     []string // further ones
	cmd                       *exec.Cmd
	stderr                    *os.File
}

// start launches the broker and returns once it takes connections.
func (b *killable) start(t *testing.T) {
	t.Helper()
	b.launch(t)
	until(t, 20*time.Second, "the broker listens", func() bool {
		c, err := net.Dial("tcp", b.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (b *killable) launch(t *testing.T) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	b.stderr = out
	args := []string{"serve", "--data-dir", b.dir, "--kafka-addr", b.addr, "--http-addr", b.http, "--rpc-addr", b.rpc}
	b.cmd = exec.Command(b.bin, append(args, b.flags...)...)
	b.cmd.Stdout, b.cmd.Stderr = out, out
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (b *killable) kill(t *testing.T) {
	t.Helper()
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.stderr.Close()
	if t.Failed() {
		said, _ := os.ReadFile(b.stderr.Name())
		t.Logf("the broker said:\n%s", said)
	}
}

// load is a set of idempotent producers, each pacing records of its own key; record n of producer p has the value "p-n".
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	mu     sync.Mutex
	acked  map[string]place
	failed []error
}

type place struct {
	partition int32
	offset    int64
}

// startLoad paces about a thousand records a second in all.
func startLoad(t *testing.T, addr string, producers int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, acked: map[string]place{}}
	for p := range producers {
		cl := newClient(t, addr, kgo.DefaultProduceTopic("crash"), kgo.ProducerLinger(0), kgo.RecordRetries(1<<30),
			kgo.RecordDeliveryTimeout(time.Minute), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		l.done.Go(func() {
			defer cl.Close()
			l.produce(ctx, cl, p)
		})
	}
	return l
}

func (l *load) produce(ctx context.Context, cl *kgo.Client, p int) {
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			if err := cl.Flush(context.Background()); err != nil {
				l.fail(err)
			}
			return
		case <-pace.C:
		}
		r := &kgo.Record{Partition: int32(p % crashPartitions), Value: fmt.Appendf(nil, "%d-%d", p, n)}
		cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			if err != nil {
				l.fail(fmt.Errorf("record %s: %w", r.Value, err))
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.acked[string(r.Value)] = place{r.Partition, r.Offset}
		})
	}
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = append(l.failed, err)
}

// waitAcked returns when n more records have been acknowledged.
func (l *load) waitAcked(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acked)
	}
	goal := count() + n
	until(t, 30*time.Second, "records are acknowledged", func() bool { return count() >= goal })
}

func (l *load) stop(t *testing.T) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	if err := errors.Join(l.failed...); err != nil {
		t.Errorf("producers failed: %v", err)
	}
}

// stored is what consumers have read, by partition and offset.
type stored struct {
	values [crashPartitions][]string
}

// readOn reads from where it stopped to the ends of the partitions.
func (s *stored) readOn(t *testing.T, addr string) {
	t.Helper()
	from := map[int32]kgo.Offset{}
	for p := range s.values {
		from[int32(p)] = kgo.NewOffset().At(int64(len(s.values[p])))
	}
	cl := newClient(t, addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"crash": from}), kgo.FetchMaxWait(50*time.Millisecond))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, "crash")
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	short := func() bool {
		for p := range s.values {
			if o, _ := ends.Lookup("crash", int32(p)); int64(len(s.values[p])) < o.Offset {
				return true
			}
		}
		return false
	}
	for short() {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if due := int64(len(s.values[r.Partition])); r.Offset != due {
				t.Fatalf("partition %d: offset %d where %d was due", r.Partition, r.Offset, due)
			}
			s.values[r.Partition] = append(s.values[r.Partition], string(r.Value))
		})
	}
}

// compare holds what is stored against what was acknowledged.
func (s *stored) compare(t *testing.T, l *load) {
	t.Helper()
	found := 0
	for p, values := range s.values {
		next := 0
		for offset, v := range values {
			var producer, n int
			if _, err := fmt.Sscanf(v, "%d-%d", &producer, &n); err != nil || producer%crashPartitions != p || n != next {
				t.Fatalf("partition %d offset %d holds %q, want record %d of its producer (a repeat, a loss or a reorder)", p, offset, v, next)
			}
			next++
			if at, ok := l.acked[v]; ok && at != (place{int32(p), int64(offset)}) {
				t.Fatalf("record %s was acknowledged at %v and lies at %d/%d", v, at, p, offset)
			} else if ok {
				found++
			}
		}
	}
	if found != len(l.acked) {
		t.Fatalf("%d of %d acknowledged records are there", found, len(l.acked))
	}
}

func envInt(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// until polls cond, which another process makes true.
func until(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("gave up after %v waiting until %s", limit, what)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// binary builds quire as the Makefile does: what is timed and killed must not have the race detector in it.
func binary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "quire")
	build := exec.Command("go", "build", "-trimpath", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}
