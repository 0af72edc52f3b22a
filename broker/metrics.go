package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the broker's counters. What requests touch is resolved once, when the dispatch table is built.
type metrics struct {
	registry    *prometheus.Registry
	latency     *prometheus.HistogramVec
	bytesIn     prometheus.Counter
	bytesOut    prometheus.Counter
	connections prometheus.Gauge
	refused     *prometheus.CounterVec // by the key of the limit
	fsync       prometheus.Histogram
	fsyncFiles  prometheus.Counter
}

// requestMetrics are those of one request key. The histogram's count is the number of requests.
type requestMetrics struct {
	latency prometheus.Observer
}

func (m requestMetrics) observe(d time.Duration) { m.latency.Observe(d.Seconds()) }

// latencyBuckets are few on purpose: every one is a time series a request key.
var latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .1, .5, 2.5}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.latency = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "quire_kafka_request_latency_seconds",
		Help:    "From the whole request read to its response written; long polls included.",
		Buckets: latencyBuckets,
	}, []string{"request"})
	m.bytesIn = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "quire_kafka_received_bytes_total", Help: "Bytes of requests."})
	m.bytesOut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "quire_kafka_sent_bytes_total", Help: "Bytes of responses."})
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "quire_kafka_connections", Help: "Open Kafka connections."})
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "quire_kafka_connections_refused_total", Help: "Connections closed because there were too many.",
	}, []string{"limit"})
	for _, key := range []string{keyConnections, keyConnectionsPerIP, keyConnectionsOfOneIP} {
		m.refused.WithLabelValues(key) // shown before the first
	}
	m.fsync = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "quire_storage_fsync_seconds", Help: "How long a flush cycle took.",
		Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .05, .25, 1, 10}})
	m.fsyncFiles = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "quire_storage_fsync_files_total", Help: "Files made durable by flush cycles."})
	m.registry.MustRegister(m.latency, m.bytesIn, m.bytesOut, m.connections, m.refused, m.fsync, m.fsyncFiles)
	return m
}

func (m *metrics) request(name string) requestMetrics {
	return requestMetrics{latency: m.latency.WithLabelValues(name)}
}

// observeFlush is the flusher's observer.
func (m *metrics) observeFlush(d time.Duration, files int) {
	m.fsync.Observe(d.Seconds())
	m.fsyncFiles.Add(float64(files))
}
