package broker

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/quirelog/quire/segment/vfs"
)

// brokerCollector reads what is not counted but looked up, when metrics are scraped: nothing is paid in between.
type brokerCollector struct{ b *Broker }

var (
	descMaxOffset = prometheus.NewDesc("quire_kafka_max_offset", "High watermark.", []string{"topic", "partition"}, nil)
	descMinOffset = prometheus.NewDesc("quire_kafka_log_start_offset", "First offset that can be read.",
		[]string{"topic", "partition"}, nil)
	descLogBytes  = prometheus.NewDesc("quire_storage_log_bytes", "Bytes of segment files.", []string{"topic", "partition"}, nil)
	descDiskFree  = prometheus.NewDesc("quire_storage_disk_free_bytes", "Free bytes on the data directory's file system.", nil, nil)
	descDiskTotal = prometheus.NewDesc("quire_storage_disk_total_bytes", "Size of the data directory's file system.", nil, nil)
	descDiskFull  = prometheus.NewDesc("quire_storage_disk_full",
		"1 while records are refused because the disk is nearly full, else 0.", nil, nil)
	descFenced = prometheus.NewDesc("quire_storage_fenced_partitions",
		"Partitions that take no records because their files are damaged or could not be opened.", nil, nil)
	descInFlight = prometheus.NewDesc("quire_kafka_request_memory_bytes", "Memory that requests under way hold.", nil, nil)
	descLeading  = prometheus.NewDesc("quire_kafka_leader_partitions", "Partitions that this broker leads.", nil, nil)
	descChanges  = prometheus.NewDesc("quire_raft_leadership_changes", "How often this broker began or ceased to lead.",
		[]string{"topic", "partition"}, nil)
	descBuild = prometheus.NewDesc("quire_build_info", "Always 1; the label is what counts.", []string{"version"}, nil)
)

// collectBroker registers what is read from the broker and from the Go runtime.
func (m *metrics) collectBroker(b *Broker) {
	m.registry.MustRegister(brokerCollector{b}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Describe tells nothing: which partitions there are changes.
func (brokerCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the values.
func (c brokerCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descBuild, 1, c.b.options.Version)
	if free, total, err := vfs.OS.Free(c.b.cfg.DataDir); err == nil {
		gauge(descDiskFree, float64(free))
		gauge(descDiskTotal, float64(total))
	}
	if !c.b.ready.Load() {
		return // the rest is not there yet, or no longer
	}
	gauge(descInFlight, float64(c.b.kafka.budget.used.Load()))
	full := 0.0
	if c.b.partitions.DiskFull() != nil {
		full = 1
	}
	gauge(descDiskFull, full)
	leading, fenced := 0, c.b.reconciler.failures()
	for _, p := range c.b.partitions.All() {
		n := strconv.Itoa(int(p.ID().Partition))
		out <- prometheus.MustNewConstMetric(descChanges, prometheus.CounterValue, float64(p.LeadershipChanges()), p.Topic(), n)
		gauge(descLogBytes, float64(p.Size()), p.Topic(), n)
		if p.Damaged() {
			fenced++
		}
		if marks, err := p.Marks(-1); err == nil {
			leading++
			gauge(descMaxOffset, float64(marks.HighWatermark), p.Topic(), n)
			gauge(descMinOffset, float64(marks.LogStart), p.Topic(), n)
		}
	}
	gauge(descLeading, float64(leading))
	gauge(descFenced, float64(fenced))
	c.collectGroups(out)
}
