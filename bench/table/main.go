// Command table prints the throughput table of docs/PERFORMANCE.md: for each load it starts a broker of each kind on a throw-away
// directory, produces to it and reads it back, and prints what the two took, one row a broker, so that they stand beside each other.
//
//	go run ./bench/table [-quire ./bin/quire] [-dir .] [-duration 5s] [-brokers fsync,os,kafka,kafka-fsync] [-jars '/libs/*']
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quirelog/quire/bench"
	"github.com/twmb/franz-go/pkg/kgo"
)

type settings struct {
	quire, jars, dir string
	load             bench.Load
	brokers          []string
	partitions       []int32
	sizes            []int
}

func main() {
	var s settings
	flag.StringVar(&s.quire, "quire", "./bin/quire", "Quire's binary")
	flag.StringVar(&s.jars, "jars", "", "class path of Apache Kafka's release, for brokers kafka and kafka-fsync")
	flag.StringVar(&s.dir, "dir", ".", "where the throw-away data directories are made (the disk that is measured)")
	flag.DurationVar(&s.load.Duration, "duration", 5*time.Second, "producing that is measured in each row")
	flag.DurationVar(&s.load.WarmUp, "warmup", 2*time.Second, "producing before (a JVM needs more)")
	flag.Int64Var(&s.load.Rate, "rate", 0, "records a second; 0: as fast as they are acknowledged")
	flag.StringVar(&s.load.Compression, "compression", "none", "codec")
	flag.IntVar(&s.load.Keys, "keys", 0, "distinct keys; 0: none")
	flag.IntVar(&s.load.Producers, "producers", 1, "clients that send")
	flag.IntVar(&s.load.Consumers, "consumers", 1, "clients that read")
	brokers := flag.String("brokers", "fsync,os",
		"fsync, interval, os: Quire with that durability; kafka; kafka-fsync: with flush.messages=1")
	partitions := flag.String("partitions", "1,6,64", "numbers of partitions")
	sizes := flag.String("sizes", "100,1024", "bytes of a record's value")
	flag.Parse()
	s.load.Text = s.load.Compression != "none"
	s.brokers, s.partitions, s.sizes = strings.Split(*brokers, ","), numbers[int32](*partitions), numbers[int](*sizes)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func numbers[N int | int32](list string) (all []N) {
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(field, 10, 32)
		if err != nil {
			fmt.Fprintf(os.Stderr, "error: %q is not a number\n", field)
			os.Exit(2)
		}
		all = append(all, N(n))
	}
	return all
}

func run(ctx context.Context, s settings) error {
	fmt.Println("| partitions | record | broker | produce records/s | MB/s | p50 / p99 / p99.9 ms | broker CPU s/GB | where it goes |" +
		" consume records/s | MB/s | broker CPU s/GB | peak RSS MiB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
	for _, partitions := range s.partitions {
		for _, size := range s.sizes {
			for _, kind := range s.brokers {
				s.load.Partitions, s.load.RecordBytes = partitions, size
				if err := row(ctx, s, kind); err != nil {
					return fmt.Errorf("%s, %d partitions, %d B: %w", kind, partitions, size, err)
				}
			}
		}
	}
	return nil
}

func row(ctx context.Context, s settings, kind string) error {
	b, err := startBroker(ctx, s, kind)
	if err != nil {
		return err
	}
	defer b.stop()
	l := s.load
	l.Client = []kgo.Opt{kgo.SeedBrokers(b.addr)}
	l.Topic, l.Keep, l.TopicConfigs, l.ServerPID = "bench", true, b.topicConfigs, b.cmd.Process.Pid
	l.Kind, l.NoCheck = bench.Produce, true // the consumer checks
	profile := b.profile(ctx, l.WarmUp, l.Duration)
	w, err := bench.Run(ctx, l, nil, nil)
	cpu := profile()
	if err != nil {
		return err
	}
	l.Kind = bench.Consume
	r, err := bench.Run(ctx, l, nil, nil)
	if err != nil {
		return err
	}
	if r.Failed() {
		return fmt.Errorf("the check failed: %+v", *r.Check)
	}
	ack := w.Produced.Latency
	fmt.Printf("| %d | %d B | %s | %.0f | %.0f | %.1f / %.1f / %.1f | %.2f | %s | %.0f | %.0f | %.2f | %d |\n",
		l.Partitions, l.RecordBytes, b.name, w.Produced.RecordsPerSecond, w.Produced.MBPerSecond, ack.P50, ack.P99, ack.P999, w.Server.CPUSecondsPerGB, or(cpu, split(w.Server)),
		r.Read.RecordsPerSecond, r.Read.MBPerSecond, r.Server.CPUSecondsPerGB, max(w.Server.PeakRSS, r.Server.PeakRSS)>>20)
	return nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// split is all that is known about where the CPU of a process without a profile goes.
func split(u *bench.ServerUsage) string {
	total := u.UserSeconds + u.SystemSeconds
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("user %.0f%%, system %.0f%%", 100*u.UserSeconds/total, 100*u.SystemSeconds/total)
}
