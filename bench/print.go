package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Write prints the set-up for people.
func (s Setup) Write(w io.Writer) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("machine", "%d CPUs, %s, %s", s.CPUs, s.CPU, s.OS)
	line("versions", "%s, %s, %s", or(s.Version, "quire bench"), s.Client, s.Go)
	line("brokers", "%s, protocol: %s at most", strings.Join(s.Brokers, " "), s.Protocol)
	if s.Server != nil {
		line("server", "%s (pid %d)", s.Server.Name, s.Server.PID)
	}
	line("durability", "%s", s.Durability)
	origin := "which was there"
	if s.TopicMade {
		origin = "made for this run"
	}
	line("topic", "%s, %s; partitions %d, replicas %d", s.Topic, origin, s.Partitions, s.Replicas)
	content, keys := "random bytes", "no keys"
	if s.Text {
		content = "text"
	}
	if s.Keys > 0 {
		keys = thousands(float64(s.Keys)) + " keys"
	}
	line("records", "%d B of %s, %s, compression %s", s.RecordBytes, content, keys, s.Compression)
	pace := "as fast as acknowledged"
	if s.Rate > 0 {
		pace = thousands(float64(s.Rate)) + " records/s"
	}
	line("load", "%s; producers %d, consumers %d, acks %s, batches up to %d B, linger %s ms, window %d", pace, s.Producers, s.Consumers,
		s.Acks, s.BatchBytes, decimal(s.LingerMS), s.Window)
	line("time", "%s s, after %s s that do not count", decimal(s.Seconds), decimal(s.WarmUpSeconds))
}

// Write prints the result for people.
func (r *Report) Write(w io.Writer) {
	if r.Produced != nil {
		r.Produced.write(w, "produced", "acknowledged after")
	}
	if r.Read != nil {
		r.Read.write(w, "read", "read after")
	}
	if s := r.Server; s != nil {
		fmt.Fprintf(w, "%-12s CPU %.0f%% of a core (user %s s, system %s s, %s s a GB); memory %d MiB, at most %d\n", "server",
			s.CPUPercent, decimal(s.UserSeconds), decimal(s.SystemSeconds), decimal(s.CPUSecondsPerGB), s.RSS>>20, s.PeakRSS>>20)
	}
	fmt.Fprintf(w, "%-12s CPU %.0f%% of a core", "generator", r.Generator.CPUPercent)
	if l := r.Generator.Late; l != nil {
		fmt.Fprintf(w, "; sent late by (ms) p50 %s  p99 %s  max %s", float(l.P50), float(l.P99), float(l.Max))
	}
	fmt.Fprintln(w)
	if r.Check != nil {
		r.Check.write(w)
	}
}

func (t *Throughput) write(w io.Writer, verb, after string) {
	fmt.Fprintf(w, "%-12s %s records/s, %s MB/s (%s records)\n", verb, thousands(t.RecordsPerSecond), decimal(t.MBPerSecond),
		thousands(float64(t.Records)))
	l := t.Latency
	if l == nil || l.Count == 0 {
		return
	}
	fmt.Fprintf(w, "%-12s (ms) p50 %s  p90 %s  p95 %s  p99 %s  p99.9 %s  max %s\n", after, float(l.P50), float(l.P90), float(l.P95),
		float(l.P99), float(l.P999), float(l.Max))
	for _, b := range l.Histogram {
		share := float64(b.Count) / float64(l.Count)
		bar := strings.Repeat("█", int(math.Round(share*40)))
		fmt.Fprintf(w, "  ≤ %9s ms  %6.2f%%  %s\n", float(b.AtMost), 100*share, bar)
	}
}

func (f *Findings) write(w io.Writer) {
	if f.OK() {
		fmt.Fprintf(w, "%-12s %s records: none lost, repeated, out of order or damaged\n", "checked", thousands(float64(f.Checked)))
		return
	}
	fmt.Fprintf(w, "%-12s %s records: lost %d, repeated %d, out of order %d, damaged %d, in the wrong partition %d\n", "CHECK FAILED",
		thousands(float64(f.Checked)), f.Lost, f.Repeated, f.Reordered, f.Corrupt, f.Misplaced)
	for _, e := range f.Examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
}

// float prints with three digits or so.
func float(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// decimal is float without zeros behind the point.
func decimal(v float64) string {
	s := float(v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func ms(us int64) string { return float(float64(us) / 1000) }

// thousands prints a whole number with commas.
func thousands(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
