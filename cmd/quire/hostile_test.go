package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestUnderAttack measures a healthy producer alone, then the same one while 2,000 slow sockets, zstd bombs, hostile counts
// and frames of 100 MiB come in: it keeps four fifths of its rate, and the broker's resident memory stays under 512 MiB
// at its highest.
//
// QUIRE_HOSTILE_SECONDS sets how long each of the two is measured: 3; `make hostile` has 60, and from 10 on there is a
// producer that sends as fast as it can besides.
func TestUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s and 4,000 sockets")
	}
	seconds := envInt(t, "QUIRE_HOSTILE_SECONDS", 3)
	measured := time.Duration(seconds) * time.Second
	loads := []struct {
		name      string
		perSecond int
	}{{"20 MB/s", 20_000}, {"as fast as it can", 0}}
	if seconds < 10 {
		loads = loads[:1]
	}
	for _, load := range loads {
		t.Run(load.name, func(t *testing.T) { underAttack(t, load.perSecond, measured) })
	}
}

func underAttack(t *testing.T, perSecond int, measured time.Duration) {
	const slowSockets, limitRSS, warmUp = 2000, 512 << 20, time.Second
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	cl := newClient(t, b.addr, kgo.DefaultProduceTopic("healthy"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), 4, 1, nil, "healthy"); err != nil {
		t.Fatal(err)
	}
	lz4 := map[string]*string{"compression.type": kadm.StringPtr("lz4")} // so that bombs have to be decompressed
	if _, err := admin.CreateTopic(t.Context(), 1, 1, lz4, "bombs"); err != nil {
		t.Fatal(err)
	}
	p := startProducer(t, cl, perSecond)
	alone := p.rate(warmUp, measured)
	aloneRSS := b.highestRSS(t)
	a := startAttack(t, b.addr, slowSockets)
	cpu := b.cpu(t)
	began, attacked := time.Now(), p.rate(warmUp, measured)
	// What else a busy machine does must not be taken for the attack's doing, and the attack has to come to all it can do.
	for deadline := began.Add(time.Minute); (attacked < alone*4/5 || !a.complete(slowSockets)) && time.Now().Before(deadline); {
		attacked = max(attacked, p.rate(0, measured))
	}
	cpu, took := b.cpu(t)-cpu, time.Since(began).Round(time.Second)
	sockets, complete, rss := a.open.Load(), a.complete(slowSockets), b.highestRSS(t)
	t.Logf("alone %.0f records/s, RSS %d MiB; attacked %.0f records/s, RSS %d MiB, %v CPU in %v; %d slow sockets, %d bombs (%d refused), %d hostile counts, %d frames of 100 MiB",
		alone, aloneRSS>>20, attacked, rss>>20, cpu, took, sockets, a.bombs.Load(), a.disarmed.Load(), a.refused.Load(), a.largest.Load())
	a.stop()
	p.stop(t)
	if attacked < alone*4/5 {
		t.Errorf("the healthy producer had %.0f records/s alone and has %.0f under attack, less than four fifths", alone, attacked)
	}
	if rss >= limitRSS {
		t.Errorf("the broker held %d MiB, the limit is %d", rss>>20, limitRSS>>20)
	}
	if !complete {
		t.Error("not all of the attack took place")
	}
}

// producer sends records of 1 KiB at a steady rate, whatever becomes of them.
type producer struct {
	cancel context.CancelFunc
	done   chan struct{}
	acked  atomic.Int64
	failed atomic.Pointer[error]
}

// startProducer sends perSecond records; 0: as many as the broker takes.
func startProducer(t *testing.T, cl *kgo.Client, perSecond int) *producer {
	ctx, cancel := context.WithCancel(t.Context())
	p := &producer{cancel: cancel, done: make(chan struct{})}
	value := make([]byte, 1024)
	rand.Read(value)
	settle := func(_ *kgo.Record, err error) {
		if err == nil {
			p.acked.Add(1)
		} else if ctx.Err() == nil {
			p.failed.CompareAndSwap(nil, &err)
		}
	}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		began, sent := time.Now(), 0
		for ctx.Err() == nil {
			due := sent + 1000
			if perSecond > 0 {
				<-tick.C
				due = int(time.Since(began).Seconds() * float64(perSecond))
			}
			for ; sent < due; sent++ {
				cl.Produce(ctx, &kgo.Record{Value: value}, settle)
			}
		}
	}()
	return p
}

// rate counts acknowledged records a second over d, after a warm-up.
func (p *producer) rate(warmUp, d time.Duration) float64 {
	<-time.After(warmUp)
	began, before := time.Now(), p.acked.Load()
	<-time.After(d)
	return float64(p.acked.Load()-before) / time.Since(began).Seconds()
}

func (p *producer) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	<-p.done
	if err := p.failed.Load(); err != nil {
		t.Errorf("the healthy producer: %v", *err)
	}
}

// highestRSS is the most memory that the process has ever had resident, in bytes.
func (b *killable) highestRSS(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int64
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatalf("no VmHWM: %v", err)
	}
	return kib << 10
}

// cpu is the processor time that the process has taken.
func (b *killable) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks [2]int64 // user and system, in hundredths of a second
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &ticks[0], &ticks[1]); err != nil {
		t.Fatalf("processor time: %v", err)
	}
	return time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond
}
