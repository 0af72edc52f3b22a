package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// partitionView is one partition in the answer of topic describe. Offsets are -1 where the partition cannot tell (no leader).
type partitionView struct {
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"` // -1: none
	Epoch     int32   `json:"leader_epoch"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	Start     int64   `json:"log_start_offset"`
	End       int64   `json:"high_watermark"`
	Error     string  `json:"error,omitempty"`
}

type configView struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Source string `json:"source"` // topic, broker or default
}

type topicView struct {
	topicSummary
	Records int64           `json:"records"`
	Details []partitionView `json:"partition_details"`
	Configs []configView    `json:"configs"`
}

func (c *cli) topicDescribeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME...",
		Short: "Show a topic's partitions, leaders, offsets and configuration",
		Example: `  quire topic describe orders
  quire topic describe orders -o yaml`,
		Args: wantArgs(1, -1, "the NAME of a topic"),
		RunE: func(cmd *cobra.Command, names []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				views, err := c.describeTopics(ctx, adm, names)
				if err != nil {
					return err
				}
				return c.answer(views, func(w io.Writer) {
					for i, v := range views {
						if i > 0 {
							fmt.Fprintln(w)
						}
						c.writeTopic(w, v)
					}
				})
			})
		},
		ValidArgsFunction: c.completeTopics(-1),
	}
}

func (c *cli) describeTopics(ctx context.Context, adm *kadm.Client, names []string) ([]topicView, error) {
	topics, err := c.topicDetails(ctx, adm, names...)
	if err != nil {
		return nil, err
	}
	ends, err := loadEnds(ctx, adm, names...)
	if err != nil {
		return nil, err
	}
	var views []topicView
	for _, name := range names {
		configs, err := c.topicConfigs(ctx, adm, name)
		if err != nil {
			return nil, err
		}
		v := topicView{topicSummary: summarize(topics[name]), Records: ends.records(name), Configs: configs}
		for _, p := range topics[name].Partitions.Sorted() {
			v.Details = append(v.Details, partitionView{
				Partition: p.Partition, Leader: p.Leader, Epoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR,
				Start: ends.start(name, p.Partition), End: ends.end(name, p.Partition), Error: errorText(p.Err),
			})
		}
		views = append(views, v)
	}
	return views, nil
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return brokerError(err, "").Error()
}

func (c *cli) writeTopic(w io.Writer, v topicView) {
	fmt.Fprintf(w, "%s: %s, %s, %s, id %s\n\n", v.Topic, plural(v.Partitions, "partition"), plural(v.Replicas, "replica"),
		plural(v.Records, "record"), v.ID)
	t := table{titles: []string{"PARTITION>", "LEADER>", "EPOCH>", "REPLICAS", "ISR", "START>", "END>", ""}}
	for _, p := range v.Details {
		t.add(p.Partition, p.Leader, p.Epoch, joinIDs(p.Replicas), joinIDs(p.ISR), p.Start, p.End, p.Error)
	}
	t.write(w, c.width)
	fmt.Fprintln(w)
	c.writeConfigs(w, v.Configs)
}

func (c *cli) writeConfigs(w io.Writer, configs []configView) {
	t := table{titles: []string{"CONFIG", "VALUE", "", "FROM"}}
	for _, cv := range configs {
		t.add(cv.Key, cv.Value, humanValue(cv.Key, cv.Value), cv.Source)
	}
	t.write(w, c.width)
}

func joinIDs(ids []int32) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]")
}

// topicConfigs loads a topic's configuration: what was set on the topic first, then the rest, each by name.
func (c *cli) topicConfigs(ctx context.Context, adm *kadm.Client, name string) ([]configView, error) {
	answers, err := adm.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("load the configuration of topic %s: %w", name, err)
	}
	a, err := answers.On(name, nil)
	if err == nil {
		err = a.Err
	}
	if err != nil {
		return nil, c.topicError(name, err, a.ErrMessage)
	}
	byKey := make(map[string]configView, len(a.Configs))
	for _, cfg := range a.Configs {
		byKey[cfg.Key] = configView{Key: cfg.Key, Value: cfg.MaybeValue(), Source: configSource(cfg.Source)}
	}
	var own, rest []configView
	for _, key := range sortedKeys(byKey) {
		if cv := byKey[key]; cv.Source == "topic" {
			own = append(own, cv)
		} else {
			rest = append(rest, cv)
		}
	}
	return append(own, rest...), nil
}

func configSource(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return "broker"
}

// logEnds are the first and the next offset of partitions.
type logEnds struct{ starts, ends kadm.ListedOffsets }

func loadEnds(ctx context.Context, adm *kadm.Client, names ...string) (logEnds, error) {
	starts, err := adm.ListStartOffsets(ctx, names...)
	if err != nil {
		return logEnds{}, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return logEnds{}, fmt.Errorf("list end offsets: %w", err)
	}
	return logEnds{starts, ends}, nil
}

func offsetOf(l kadm.ListedOffsets, topic string, partition int32) int64 {
	o, ok := l.Lookup(topic, partition)
	if !ok || o.Err != nil {
		return -1
	}
	return o.Offset
}

func (e logEnds) start(topic string, partition int32) int64 {
	return offsetOf(e.starts, topic, partition)
}
func (e logEnds) end(topic string, partition int32) int64 { return offsetOf(e.ends, topic, partition) }

// records is how many offsets lie between the ends of all partitions that answered.
func (e logEnds) records(topic string) int64 {
	var n int64
	for p := range e.ends[topic] {
		if from, to := e.start(topic, p), e.end(topic, p); from >= 0 && to >= from {
			n += to - from
		}
	}
	return n
}

// failed is the first partition whose offsets could not be listed.
func (e logEnds) failed() error {
	for _, l := range []kadm.ListedOffsets{e.starts, e.ends} {
		if err := l.Error(); err != nil {
			return brokerError(err, "")
		}
	}
	return nil
}
