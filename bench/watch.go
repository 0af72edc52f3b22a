package bench

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// watch looks at a load while it runs. Its goroutine owns it until run returns.
type watch struct {
	r           *run
	acks, reads side
	late        []*meter
	whole       *moment // when the load began, where it is measured whole if its measured time is too short; nil: it never is
	begun       *moment // when the measured time began; nil: not yet
	server      ServerUsage
	self        time.Duration // CPU time of this process in the measured time
	elapsed     time.Duration
}

// moment is a time by the run's clock, and the CPU time that had been used until then.
type moment struct {
	at     int64
	server cpuTime
	self   time.Duration
}

func (r *run) moment() *moment {
	return &moment{at: r.clock.now(), server: r.server.cpu(), self: selfCPU()}
}

// side is the producers or the consumers.
type side struct {
	meters         []*meter
	from, last, to totals
	latency        *hdrhistogram.Histogram
}

func (r *run) newWatch(producers []*producer, consumers []*consumer) *watch {
	w := &watch{r: r}
	for _, p := range producers {
		w.acks.meters = append(w.acks.meters, p.acks)
		w.late = append(w.late, p.late)
	}
	for _, c := range consumers {
		w.reads.meters = append(w.reads.meters, c.read)
	}
	w.acks.latency, w.reads.latency = newHistogram(), newHistogram()
	return w
}

// run watches from now on; the measured time is from begin to end.
func (w *watch) run(ctx context.Context, begin, end <-chan time.Time) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		select {
		case <-begin:
			begin = nil
			w.begin()
		case <-end:
			if begin != nil { // so short that both came at once
				w.begin()
			}
			w.end()
			return
		case <-ticks.C:
			w.tick()
		case <-ctx.Done():
			w.end()
			return
		}
	}
}

func (w *watch) begin() {
	w.begun = w.r.moment()
	for _, s := range []*side{&w.acks, &w.reads} {
		s.from = take(s.meters, w.begun.at, s.latency)
		s.last = s.from
	}
	w.server.PeakRSS = w.r.server.rss()
}

func (w *watch) end() {
	now := w.r.moment()
	for _, s := range []*side{&w.acks, &w.reads} {
		s.to = take(s.meters, now.at, s.latency)
	}
	if w.begun == nil {
		return
	}
	w.measureWhole()
	w.elapsed = time.Duration(now.at - w.begun.at)
	w.self = now.self - w.begun.self
	w.server.used(now.server.since(w.begun.server), w.r.server.rss())
}

// measureWhole lets the measured time begin with the load where less than half of what was read came in it: the warm-up ends between
// two reads, and where all comes in a few, or this goroutine is late, there may be next to nothing after it.
func (w *watch) measureWhole() {
	if w.whole != nil && 2*(w.reads.to.records-w.reads.from.records) < w.reads.to.records {
		w.begun, w.reads.from = w.whole, totals{at: w.whole.at}
	}
}

// tick is called every second.
func (w *watch) tick() {
	w.server.PeakRSS = max(w.server.PeakRSS, w.r.server.rss())
	if w.r.progress == nil {
		for _, s := range []*side{&w.acks, &w.reads} {
			take(s.meters, 0, s.latency)
		}
		return
	}
	now := w.r.clock.now()
	line := "warm-up"
	if w.begun != nil {
		line = fmt.Sprintf("%5.0f s", time.Duration(now-w.begun.at).Seconds())
	}
	line += w.acks.tick("produced", now) + w.reads.tick("read", now)
	if _, err := io.WriteString(w.r.progress, line+"\n"); err != nil {
		w.r.progress = nil // nobody listens any more
	}
}

func (s *side) tick(verb string, now int64) string {
	if len(s.meters) == 0 {
		return ""
	}
	second := newHistogram()
	t := take(s.meters, now, s.latency, second)
	d := t.since(s.last)
	s.last = t
	line := fmt.Sprintf("  %s %s records/s  %s MB/s", verb, thousands(d.RecordsPerSecond), decimal(d.MBPerSecond))
	if second.TotalCount() > 0 {
		line += fmt.Sprintf("  p50 %s  p99 %s  max %s ms", ms(second.ValueAtQuantile(50)), ms(second.ValueAtQuantile(99)), ms(second.Max()))
	}
	return line
}

// report is called when the lanes have ended: latencies of what was under way at the end of the measured time count.
func (w *watch) report() Report {
	report := Report{MeasuredSeconds: w.elapsed.Seconds()}
	fill := func(s *side, paced bool) *Throughput {
		if len(s.meters) == 0 {
			return nil
		}
		take(s.meters, 0, s.latency)
		d := s.to.since(s.from)
		if paced {
			d.Latency = summarize(s.latency)
		}
		return &d
	}
	report.Produced = fill(&w.acks, true)
	report.Read = fill(&w.reads, w.r.load.Kind == EndToEnd)
	report.Generator.CPUPercent = percentOf(w.self, w.elapsed)
	if w.r.load.Rate > 0 {
		late := newHistogram()
		take(w.late, 0, late)
		report.Generator.Late = summarize(late)
	}
	if w.r.server != nil {
		w.server.CPUPercent = percentOf(w.server.user+w.server.system, w.elapsed)
		bytes := int64(0)
		for _, t := range []*Throughput{report.Produced, report.Read} {
			if t != nil {
				bytes = max(bytes, t.Bytes)
			}
		}
		if bytes > 0 {
			w.server.CPUSecondsPerGB = (w.server.user + w.server.system).Seconds() / (float64(bytes) / 1e9)
		}
		report.Server = &w.server
	}
	return report
}

func (t totals) since(from totals) Throughput {
	d := Throughput{Records: t.records - from.records, Bytes: t.bytes - from.bytes}
	if s := float64(t.at-from.at) / 1e9; s > 0 {
		d.RecordsPerSecond, d.MBPerSecond = float64(d.Records)/s, float64(d.Bytes)/1e6/s
	}
	return d
}

func percentOf(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * part.Seconds() / whole.Seconds()
}

// selfCPU is the CPU time of this process.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
