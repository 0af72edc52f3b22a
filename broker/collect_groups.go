package broker

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/consumergroup/offsets"
)

// groupScrapeTime is how long a scrape waits for the groups; without them the rest is still told.
const groupScrapeTime = 5 * time.Second

// groupMetric is a metric under Quire's name and under the one that kafka_exporter's dashboards expect.
type groupMetric struct{ own, exporter *prometheus.Desc }

func newGroupMetric(own, exporter, help string, more ...string) groupMetric {
	var m groupMetric
	if own != "" {
		m.own = prometheus.NewDesc("quire_kafka_consumer_group_"+own, help, append([]string{"group"}, more...), nil)
	}
	if exporter != "" {
		m.exporter = prometheus.NewDesc("kafka_consumergroup_"+exporter, help, append([]string{"consumergroup"}, more...), nil)
	}
	return m
}

func (m groupMetric) tell(out chan<- prometheus.Metric, v float64, labels ...string) {
	for _, d := range []*prometheus.Desc{m.own, m.exporter} {
		if d != nil {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
	}
}

var (
	groupCommitted = newGroupMetric("committed_offset", "current_offset", "Committed offset: of the next record to read.", "topic", "partition")
	groupLag       = newGroupMetric("lag", "lag", "Records from the committed offset to the high watermark.", "topic", "partition")
	groupSum       = newGroupMetric("", "current_offset_sum", "Sum of the committed offsets of a topic.", "topic")
	groupLagSum    = newGroupMetric("", "lag_sum", "Sum of the lags of a topic.", "topic")
	groupMembers   = newGroupMetric("members", "members", "Members of the group.")
	groupState     = newGroupMetric("state", "", "Always 1; the label is the state as Kafka spells it.", "state")

	descGroups = prometheus.NewDesc("quire_kafka_consumer_groups", "Groups that this broker coordinates.", nil, nil)
	descHidden = prometheus.NewDesc("quire_kafka_consumer_groups_hidden",
		"Groups without metrics of their own: beyond the limit of series, or with an id that is not UTF-8.", nil, nil)
	descJournals = prometheus.NewDesc("quire_kafka_group_journal_partitions",
		"Partitions of __consumer_offsets that this broker leads, by state: loading, serving, damaged.", []string{"state"}, nil)
)

// collectGroups asks the coordinator for what its groups have committed. Groups are told by name until there are maxScrapedOffsets
// offsets, so that it is the same ones at every scrape.
func (c brokerCollector) collectGroups(out chan<- prometheus.Metric) {
	coordinator := c.b.groups.coordinator.Load()
	if coordinator == nil {
		return
	}
	states := map[consumergroup.State]int{consumergroup.Loading: 0, consumergroup.Serving: 0, consumergroup.Damaged: 0}
	for _, s := range coordinator.States() {
		states[s]++
	}
	for s, n := range states {
		out <- prometheus.MustNewConstMetric(descJournals, prometheus.GaugeValue, float64(n), s.String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), groupScrapeTime)
	defer cancel()
	all, err := coordinator.Offsets(ctx)
	if err != nil {
		c.b.log.Warn("no metrics of consumer groups", "err", err)
		return
	}
	slices.SortFunc(all, func(a, b consumergroup.GroupOffsets) int { return cmp.Compare(a.Group, b.Group) })
	told, hidden := 0, 0
	for i := range all {
		g := &all[i]
		if told += 1 + len(g.Offsets); told > maxScrapedOffsets || !utf8.ValidString(g.Group) {
			hidden++
			continue
		}
		c.collectGroup(out, g)
	}
	out <- prometheus.MustNewConstMetric(descGroups, prometheus.GaugeValue, float64(len(all)))
	out <- prometheus.MustNewConstMetric(descHidden, prometheus.GaugeValue, float64(hidden))
}

// topicSums are those of one topic of a group. lag is of the partitions whose end this broker knows.
type topicSums struct{ committed, lag int64 }

func (c brokerCollector) collectGroup(out chan<- prometheus.Metric, g *consumergroup.GroupOffsets) {
	groupMembers.tell(out, float64(g.Members), g.Group)
	groupState.tell(out, 1, g.Group, g.State)
	sums := map[string]topicSums{}
	for p, committed := range g.Offsets {
		n := strconv.Itoa(int(p.Partition))
		groupCommitted.tell(out, float64(committed), g.Group, p.Topic, n)
		s := sums[p.Topic]
		s.committed += committed
		if lag, ok := c.lag(p, committed); ok {
			groupLag.tell(out, float64(lag), g.Group, p.Topic, n)
			s.lag += lag
		}
		sums[p.Topic] = s
	}
	for topic, s := range sums {
		groupSum.tell(out, float64(s.committed), g.Group, topic)
		groupLagSum.tell(out, float64(s.lag), g.Group, topic)
	}
}

// lag is how far a committed offset is behind the high watermark, if this broker leads the partition.
func (c brokerCollector) lag(p offsets.Partition, committed int64) (int64, bool) {
	replica := c.b.partitions.Get(p.Topic, p.Partition)
	if replica == nil {
		return 0, false
	}
	marks, err := replica.Marks(-1)
	if err != nil {
		return 0, false
	}
	return max(int64(marks.HighWatermark)-committed, 0), true
}
