package bench

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest latency that a histogram holds, in µs: 10 minutes. Longer ones count as that.
const maxLatency = 600_000_000

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, maxLatency, 3) }

// meter counts what one lane has done. The lane counts, the run's watch looks.
type meter struct {
	mu sync.Mutex
	// since the start of the load, warm-up included
	records, bytes int64
	// of the measured time, since take was last called; µs
	latency *hdrhistogram.Histogram
}

func newMeter() *meter { return &meter{latency: newHistogram()} }

// count counts a record.
func (m *meter) count(bytes int) {
	m.records++
	m.bytes += int64(bytes)
}

// observe takes a latency in ns.
func (m *meter) observe(ns int64) {
	_ = m.latency.RecordValue(min(max(ns/1000, 1), maxLatency)) // within the histogram's range, so that it cannot fail
}

// totals are the sums over lanes at a time, by the run's clock.
type totals struct {
	at             int64
	records, bytes int64
}

// take sums the meters up and moves the latencies into to.
func take(meters []*meter, at int64, to ...*hdrhistogram.Histogram) totals {
	t := totals{at: at}
	for _, m := range meters {
		m.mu.Lock()
		t.records += m.records
		t.bytes += m.bytes
		if m.latency.TotalCount() > 0 {
			for _, h := range to {
				h.Merge(m.latency)
			}
			m.latency.Reset()
		}
		m.mu.Unlock()
	}
	return t
}
