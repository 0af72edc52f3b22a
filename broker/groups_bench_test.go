package broker

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkScrapeGroups is the part of a scrape that tells the groups, of four committed offsets each.
func BenchmarkScrapeGroups(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			br := benchBroker(b, 4)
			commitGroups(b, br, n)
			b.ReportAllocs()
			for b.Loop() {
				series := 0
				out := make(chan prometheus.Metric, 1024)
				go func() {
					defer close(out)
					brokerCollector{br}.collectGroups(out)
				}()
				for range out {
					series++
				}
				b.ReportMetric(float64(series), "series")
			}
		})
	}
}

// commitGroups has n groups commit offsets of all partitions of "t".
func commitGroups(b *testing.B, br *Broker, n int) {
	b.Helper()
	ctx := context.WithoutCancel(b.Context())
	v, journal, err := br.groups.journal(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for i := range journal.Partitions {
		if err := br.groups.awaitLeading(ctx, int32(i)); err != nil {
			b.Fatal(err)
		}
	}
	c := br.groups.coordinator.Load()
	for loading := true; loading; runtime.Gosched() {
		loading = false
		for _, state := range c.States() {
			loading = loading || state != consumergroup.Serving
		}
	}
	answered := make(chan int16, n)
	for i := range n {
		req := &kmsg.OffsetCommitRequest{Version: 9, Group: fmt.Sprint("group-", i), Generation: -1}
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = "t"
		for p := range v.Topics["t"].Partitions {
			rp := kmsg.NewOffsetCommitRequestTopicPartition()
			rp.Partition = int32(p)
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = append(req.Topics, t)
		c.Handle(&step.Call{Request: req, Answer: func(r kmsg.Response) {
			answered <- r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
		}})
	}
	for range n {
		if code := <-answered; code != 0 {
			b.Fatalf("commit: code %d", code)
		}
	}
}
