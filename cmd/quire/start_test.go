package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newKillable(t *testing.T, bin string) *killable {
	return &killable{bin: bin, dir: filepath.Join(t.TempDir(), "data"), addr: freeAddr(t), http: freeAddr(t), rpc: freeAddr(t)}
}

// atMost is a bound on how long something may take. It holds as it is on a machine that does nothing else (QUIRE_STRICT=1, `make strict`);
// elsewhere a test only sees that nothing is waited for that need not be.
func atMost(d time.Duration) time.Duration {
	if os.Getenv("QUIRE_STRICT") == "" {
		return 20 * d
	}
	return d
}

// TestEmptyStart measures the time from starting the process on no data at all to /readyz, and what it then holds.
func TestEmptyStart(t *testing.T) {
	const limitRSS = 40 << 20
	limit := atMost(100 * time.Millisecond)
	best := time.Hour
	bin := binary(t)
	for range 5 { // the machine may be busy; the broker is not slower than its best start
		b := newKillable(t, bin)
		started := time.Now()
		b.launch(t)
		until(t, 20*time.Second, "/readyz answers 200", func() bool { return b.ready() })
		best = min(best, time.Since(started))
		rss := b.rss(t)
		b.kill(t)
		t.Logf("ready after %v, RSS %.1f MiB", best, float64(rss)/(1<<20))
		if rss > limitRSS {
			t.Errorf("an idle broker holds %d MiB, limit %d", rss>>20, limitRSS>>20)
		}
		if best < limit {
			return
		}
	}
	t.Errorf("an empty broker is ready after %v, limit %v", best, limit)
}

// TestRestartAfterKill fills 200 partitions, kills the broker and measures how long the next one takes until it serves every
// partition with all that was acknowledged. QUIRE_RESTART_MB sets how much is in them (100; `make restart` has 1,000).
func TestRestartAfterKill(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 100 MB")
	}
	const partitions = 200
	limit := atMost(2 * time.Second)
	megabytes := envInt(t, "QUIRE_RESTART_MB", 100)
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	cl := newClient(t, b.addr, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, "full"); err != nil {
		t.Fatal(err)
	}
	want := fillPartitions(t, cl, partitions, megabytes*1_000_000)
	b.kill(t)

	started := time.Now()
	b.launch(t)
	until(t, time.Minute, "all partitions are served", func() bool { return b.ready() && b.ends(t, "full", want) })
	took := time.Since(started)
	t.Logf("%d MB in %d partitions: serving %v after the start, RSS %d MiB", megabytes, partitions, took, b.rss(t)>>20)
	if took > limit {
		t.Errorf("serving after %v, limit %v", took, limit)
	}
}

// fillPartitions spreads about total bytes over the partitions and returns the records in each.
func fillPartitions(t *testing.T, cl *kgo.Client, partitions int, total int64) map[int32]int64 {
	t.Helper()
	value := make([]byte, 10_000)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	want := map[int32]int64{}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	errs := make(chan error, 1)
	for n := range total / int64(len(value)) {
		p := int32(n % int64(partitions))
		want[p]++
		cl.Produce(ctx, &kgo.Record{Topic: "full", Partition: p, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return want
}

func (b *killable) ready() bool {
	resp, err := http.Get("http://" + b.http + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// ends says whether every partition is led and ends where it should.
func (b *killable) ends(t *testing.T, topic string, want map[int32]int64) bool {
	t.Helper()
	cl := newClient(t, b.addr)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil || ends.Error() != nil || len(ends[topic]) != len(want) {
		return false
	}
	for p, n := range want {
		if got := ends[topic][p].Offset; got != n {
			t.Fatalf("partition %d ends at %d, want %d", p, got, n)
		}
	}
	return true
}

func (b *killable) rss(t *testing.T) int64 {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
