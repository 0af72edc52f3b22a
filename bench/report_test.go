package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", file, got, want)
	}
}

// The JSON form is what scripts read: this file only ever gains fields.
func TestReportIsStable(t *testing.T) {
	h := newHistogram()
	for us := int64(100); us <= 100_000; us += 100 {
		if err := h.RecordValue(us); err != nil {
			t.Fatal(err)
		}
	}
	r := Report{
		Kind: EndToEnd, MeasuredSeconds: 10,
		Setup: Setup{
			CPU: "a CPU", CPUs: 2, OS: "linux 6.1", Version: "quire 0.1.0", Go: "go1.26", Client: "franz-go v1.22.2", Brokers: []string{"127.0.0.1:9092"},
			Protocol: "Produce 13, Fetch 18", Server: &ServerName{12, "quire"}, Durability: "durability=fsync", Topic: "quire-bench-1", TopicMade: true,
			Partitions: 6, Replicas: 1, Producers: 1, Consumers: 1, RecordBytes: 100, Keys: 1000, Compression: "none", Acks: "all",
			BatchBytes: 1_000_000, LingerMS: 0.5, Window: 32768, Rate: 10000, WarmUpSeconds: 1, Seconds: 10,
		},
		Produced: &Throughput{100_000, 10_000_000, 10_000, 1, summarize(h)},
		Read:     &Throughput{100_000, 10_000_000, 10_000, 1, summarize(hdrhistogram.New(1, maxLatency, 3))},
		Server: &ServerUsage{
			CPUPercent: 12.5, UserSeconds: 1, SystemSeconds: 0.25, CPUSecondsPerGB: 125, RSS: 64 << 20, PeakRSS: 65 << 20,
		},
		Generator: Generator{CPUPercent: 5, Late: summarize(h)},
		Check:     &Findings{Checked: 100_000, Lost: 1, Examples: []string{"partition 0: sequences 9 to 9 of producer 0 are missing at the end"}},
	}
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", append(got, '\n'))
	var text bytes.Buffer
	r.Setup.Write(&text)
	r.Write(&text)
	golden(t, "testdata/report.txt", text.Bytes())
}

func TestSummary(t *testing.T) {
	h := newHistogram()
	for us := int64(1); us <= 100_000; us++ {
		if err := h.RecordValue(us); err != nil {
			t.Fatal(err)
		}
	}
	l := summarize(h)
	near := func(got, want float64) bool { return got >= want && got <= want*1.002 }
	if !near(l.P50, 50) || !near(l.P90, 90) || !near(l.P95, 95) || !near(l.P99, 99) || !near(l.P999, 99.9) || !near(l.Max, 100) {
		t.Errorf("%+v", l)
	}
	var count int64
	for _, b := range l.Histogram {
		count += b.Count
	}
	if count != l.Count || l.Count != 100_000 || l.Histogram[0].AtMost != 0.125 || l.Histogram[0].Count != 125 {
		t.Errorf("%d in the histogram of %d: %+v", count, l.Count, l.Histogram)
	}
}

func TestListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:2384 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0
   2: 0100007F:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
`
	inodes := make(map[string]bool)
	listeners(table, 9092, inodes)
	if len(inodes) != 1 || !inodes["4711"] {
		t.Errorf("%v", inodes)
	}
}
