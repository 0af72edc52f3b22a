package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is the outcome of a run. Its JSON form is stable: fields are added, never changed. MB and GB are 10^6 and 10^9 bytes, of
// values.
type Report struct {
	Kind            Kind         `json:"kind"`
	Setup           Setup        `json:"setup"`
	MeasuredSeconds float64      `json:"measured_seconds"`
	Produced        *Throughput  `json:"produced"` // null: not measured. Latency is that of the acknowledgement.
	Read            *Throughput  `json:"read"`     // null: not measured. Latency is that from the intended send time to the consumer.
	Server          *ServerUsage `json:"server"`   // null: not measured
	Generator       Generator    `json:"generator"`
	Check           *Findings    `json:"check"` // null: nothing was checked
}

// Failed reports that records were lost, repeated, reordered, damaged or in the wrong partition.
func (r *Report) Failed() bool { return r.Check != nil && !r.Check.OK() }

// Throughput is what came through in the measured time.
type Throughput struct {
	Records          int64    `json:"records"`
	Bytes            int64    `json:"bytes"`
	RecordsPerSecond float64  `json:"records_per_second"`
	MBPerSecond      float64  `json:"mb_per_second"`
	Latency          *Latency `json:"latency_ms"`
}

// Latency is in ms, with three significant digits. It is that of the records that were to be sent in the measured time, from the time
// they were to be sent: a load that has fallen behind its pace waits in it.
type Latency struct {
	Count     int64    `json:"count"`
	Mean      float64  `json:"mean"`
	P50       float64  `json:"p50"`
	P90       float64  `json:"p90"`
	P95       float64  `json:"p95"`
	P99       float64  `json:"p99"`
	P999      float64  `json:"p99_9"`
	Max       float64  `json:"max"`
	Histogram []Bucket `json:"histogram"`
}

// Bucket counts the records whose latency is at most AtMost and above that of the bucket before. Buckets double.
type Bucket struct {
	AtMost float64 `json:"at_most_ms"`
	Count  int64   `json:"count"`
}

// ServerUsage is what the server's process has used in the measured time.
type ServerUsage struct {
	CPUPercent      float64 `json:"cpu_percent"` // of one core
	UserSeconds     float64 `json:"user_seconds"`
	SystemSeconds   float64 `json:"system_seconds"`
	CPUSecondsPerGB float64 `json:"cpu_seconds_per_gb"`
	RSS             int64   `json:"rss_bytes"` // at the end
	PeakRSS         int64   `json:"rss_peak_bytes"`

	user, system time.Duration
}

func (u *ServerUsage) used(t cpuTime, rss int64) {
	u.user, u.system = t.user, t.system
	u.UserSeconds, u.SystemSeconds = t.user.Seconds(), t.system.Seconds()
	u.RSS, u.PeakRSS = rss, max(u.PeakRSS, rss)
}

// Generator is the measuring program itself: whether it was the bottleneck.
type Generator struct {
	CPUPercent float64  `json:"cpu_percent"` // of one core
	Late       *Latency `json:"late_ms"`     // how much later than intended records were sent; null: not paced
}

func summarize(h *hdrhistogram.Histogram) *Latency {
	at := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	l := &Latency{
		Count: h.TotalCount(), Mean: h.Mean() / 1000, P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9),
		Max: float64(h.Max()) / 1000, Histogram: []Bucket{},
	}
	limit, count := int64(125), int64(0) // µs
	for _, bar := range h.Distribution() {
		for bar.From > limit {
			l.Histogram = append(l.Histogram, Bucket{float64(limit) / 1000, count})
			limit, count = 2*limit, 0
		}
		count += bar.Count
	}
	l.Histogram = append(l.Histogram, Bucket{float64(limit) / 1000, count})
	return trimBuckets(l)
}

// trimBuckets drops the empty buckets at both ends.
func trimBuckets(l *Latency) *Latency {
	b := l.Histogram
	for len(b) > 0 && b[len(b)-1].Count == 0 {
		b = b[:len(b)-1]
	}
	for len(b) > 0 && b[0].Count == 0 {
		b = b[1:]
	}
	l.Histogram = b
	return l
}
