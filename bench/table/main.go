// Command table prints the throughput table of docs/PERFORMANCE.md: it starts a broker a durability mode on a throw-away
// directory, and produces to and consumes from topics of 1, 6 and 64 partitions with records of 100 B and 1 KiB.
//
//	go run ./bench/table [-quire ./bin/quire] [-dir .] [-seconds 5] [-rate 0]
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quirelog/quire/bench"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type settings struct {
	quire, dir string
	duration   time.Duration
	rate       int
	modes      []string
}

func main() {
	var s settings
	flag.StringVar(&s.quire, "quire", "./bin/quire", "the broker's binary")
	flag.StringVar(&s.dir, "dir", ".", "where the throw-away data directories are made (the disk that is measured)")
	seconds := flag.Int("seconds", 5, "seconds to produce in each row")
	flag.IntVar(&s.rate, "rate", 0, "records a second; 0: as fast as they are acknowledged")
	modes := flag.String("modes", "fsync,os", "durability modes")
	flag.Parse()
	s.duration, s.modes = time.Duration(*seconds)*time.Second, strings.Split(*modes, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	fmt.Println("| durability | partitions | record | produce records/s | MB/s | p50 / p99 ms | broker CPU s/GB | consume records/s | MB/s | broker CPU s/GB | RSS MiB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, mode := range s.modes {
		for _, partitions := range []int32{1, 6, 64} {
			for _, size := range []int{100, 1024} {
				if err := row(ctx, s, mode, partitions, size); err != nil {
					return fmt.Errorf("%s, %d partitions, %d B: %w", mode, partitions, size, err)
				}
			}
		}
	}
	return nil
}

func row(ctx context.Context, s settings, mode string, partitions int32, size int) error {
	b, err := startBroker(ctx, s, mode)
	if err != nil {
		return err
	}
	defer b.stop()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, 1, nil, "bench"); err != nil {
		return err
	}
	load := bench.Load{Broker: b.addr, Topic: "bench", RecordBytes: size, Duration: s.duration, WarmUp: time.Second, Rate: s.rate}
	cpu0 := b.cpu()
	w, err := bench.Produce(ctx, load)
	if err != nil {
		return err
	}
	cpu1 := b.cpu()
	r, err := bench.Consume(ctx, load)
	if err != nil {
		return err
	}
	cpu2 := b.cpu()
	// The warm-up's second counts into the broker's CPU time, so its bytes do too: all that was stored.
	stored := float64(r.Bytes) / 1e9
	fmt.Printf("| %s | %d | %d B | %.0f | %.0f | %.1f / %.1f | %.2f | %.0f | %.0f | %.2f | %d |\n", mode, partitions, size, w.PerSecond(), w.MBPerSecond(),
		float64(w.Latency.ValueAtQuantile(50))/1000, float64(w.Latency.ValueAtQuantile(99))/1000, (cpu1-cpu0).Seconds()/stored,
		r.PerSecond(), r.MBPerSecond(), (cpu2-cpu1).Seconds()/stored, b.rss()>>20)
	return nil
}

// process is a broker under measurement.
type process struct {
	cmd  *exec.Cmd
	addr string
	dir  string
}

func startBroker(ctx context.Context, s settings, mode string) (*process, error) {
	dir, err := os.MkdirTemp(s.dir, "quire-bench-")
	if err != nil {
		return nil, err
	}
	b := &process{addr: freeAddr(), dir: dir}
	b.cmd = exec.CommandContext(ctx, s.quire, "serve", "--data-dir", filepath.Join(dir, "data"), "--durability", mode,
		"--kafka-addr", b.addr, "--http-addr", freeAddr(), "--rpc-addr", freeAddr())
	b.cmd.Stderr = os.Stderr
	if err := b.cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	for range 500 {
		if c, err := net.Dial("tcp", b.addr); err == nil {
			c.Close()
			return b, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.stop()
	return nil, fmt.Errorf("%s does not listen on %s", s.quire, b.addr)
}

func (b *process) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	_ = b.cmd.Wait()
	os.RemoveAll(b.dir)
}

// cpu is the user and system time that the broker has used (fields 14 and 15 of /proc/PID/stat, in ticks of 10 ms).
func (b *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// rss is the broker's resident memory in bytes.
func (b *process) rss() int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", b.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close()
	return l.Addr().String()
}
