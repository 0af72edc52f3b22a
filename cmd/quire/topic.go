package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/quirelog/quire/broker/topicconfig"
)

func (c *cli) topicCommand() *cobra.Command {
	cmd := group("topic", "Create, list, describe, change, trim and delete topics", `  quire topic create orders -p 6 -c segment.ms=1d
  quire topic list
  quire topic describe orders
  quire topic config orders -c retention.ms=1d
  quire topic trim orders --before @-1h
  quire topic delete orders`,
		c.topicCreateCommand(), c.topicListCommand(), c.topicDescribeCommand(), c.topicConfigCommand(),
		c.topicAddPartitionsCommand(), c.topicTrimCommand(), c.topicDeleteCommand())
	c.clientFlags(cmd)
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

// topicSummary is one topic in an answer.
type topicSummary struct {
	Topic      string `json:"topic"`
	ID         string `json:"id,omitempty"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
	Internal   bool   `json:"internal,omitempty"`
}

func summarize(t kadm.TopicDetail) topicSummary {
	return topicSummary{
		Topic: t.Topic, ID: idText(t.ID), Partitions: len(t.Partitions), Replicas: t.Partitions.NumReplicas(),
		Internal: t.IsInternal,
	}
}

// idText is a topic's id as Kafka's own tools print it.
func idText(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (c *cli) topicCreateCommand() *cobra.Command {
	var partitions int32
	var replicas int16
	var pairs []string
	var ifNotExists bool
	cmd := &cobra.Command{
		Use:   "create NAME...",
		Short: "Create topics",
		Long: "Partitions and replicas that are not given are the broker's defaults. Configuration keys are Kafka's; values\n" +
			"may be human: 1d, 64MiB. Quire knows\n" + indented(topicKeys(), helpColumns) + ".",
		Example: `  quire topic create orders
  quire topic create orders -p 6 -r 1
  quire topic create events -p 12 -c segment.ms=1d -c segment.bytes=64MiB -c max.message.bytes=4MiB`,
		Args: wantArgs(1, -1, "the NAME of a topic"),
		RunE: func(cmd *cobra.Command, names []string) error {
			configs, err := parseConfigs(pairs)
			if err != nil {
				return err
			}
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				answers, err := adm.CreateTopics(ctx, partitions, replicas, configs, names...)
				if err != nil {
					return fmt.Errorf("create topics: %w", err)
				}
				c.noteCompaction(configs["cleanup.policy"])
				return c.answerCreated(answers, names, ifNotExists)
			})
		},
	}
	f := cmd.Flags()
	f.Int32VarP(&partitions, "partitions", "p", -1, "number of `partitions`; -1: the broker's default")
	f.Int16VarP(&replicas, "replicas", "r", -1, "number of `replicas` of each partition; -1: the broker's default")
	f.StringArrayVarP(&pairs, "config", "c", nil, "configuration, as `KEY=VALUE`; may be repeated")
	f.BoolVar(&ifNotExists, "if-not-exists", false, "do nothing where the topic exists already")
	_ = cmd.RegisterFlagCompletionFunc("config", completeConfigs)
	return cmd
}

// noteCompaction says, to whoever sets a cleanup.policy with compact, what it does not do yet.
func (c *cli) noteCompaction(policy *string) {
	if policy != nil && slices.Contains(topicconfig.Items(*policy), topicconfig.Compact) {
		fmt.Fprintln(c.err, "note: Quire does not compact yet: with cleanup.policy=compact it keeps every record, and every record needs a key")
	}
}

// answerCreated prints the topics that were made, and returns the error of the first that was not.
func (c *cli) answerCreated(answers kadm.CreateTopicResponses, names []string, ifNotExists bool) error {
	var firstErr error
	made := []topicSummary{}
	for _, name := range names {
		a := answers[name]
		switch {
		case ifNotExists && isAlreadyThere(a.Err):
		case a.Err != nil && firstErr == nil:
			firstErr = c.topicError(name, a.Err, a.ErrMessage)
		case a.Err == nil:
			made = append(made, topicSummary{
				Topic: name, ID: idText(a.ID), Partitions: int(a.NumPartitions), Replicas: int(a.ReplicationFactor),
			})
		}
	}
	err := c.answer(made, func(w io.Writer) {
		for _, t := range made {
			fmt.Fprintf(w, "created topic %s: %s, %s\n", t.Topic, plural(t.Partitions, "partition"), plural(t.Replicas, "replica"))
		}
	})
	if firstErr != nil {
		return firstErr
	}
	return err
}

func (c *cli) topicListCommand() *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List topics",
		Example: `  quire topic list
  quire topic list -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				topics, err := adm.ListTopicsWithInternal(ctx)
				if err != nil {
					return fmt.Errorf("list topics: %w", err)
				}
				if !internal {
					topics.FilterInternal()
				}
				return c.answerTopics(topics)
			})
		},
	}
	cmd.Flags().BoolVar(&internal, "internal", false, "list internal topics too")
	return cmd
}

func (c *cli) answerTopics(topics kadm.TopicDetails) error {
	list := []topicSummary{}
	for _, t := range topics.Sorted() {
		list = append(list, summarize(t))
	}
	return c.answer(list, func(w io.Writer) {
		t := table{titles: []string{"TOPIC", "PARTITIONS>", "REPLICAS>"}}
		for _, s := range list {
			t.add(s.Topic, s.Partitions, s.Replicas)
		}
		t.write(w, c.width)
	})
}

func (c *cli) topicAddPartitionsCommand() *cobra.Command {
	var add int
	cmd := &cobra.Command{
		Use:     "add-partitions NAME -n NUMBER",
		Short:   "Give a topic more partitions",
		Long:    "Records already there stay where they are; records of a key may go to another partition than before from now on.",
		Example: `  quire topic add-partitions orders -n 2     # two more than it has`,
		Args:    wantArgs(1, 1, "the NAME of one topic"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if add < 1 {
				return usageError(c.command("topic add-partitions "+args[0]+" -n 2"), "say how many partitions to add: -n 1 or more")
			}
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				return c.addPartitions(ctx, adm, args[0], add)
			})
		},
		ValidArgsFunction: c.completeTopics(1),
	}
	cmd.Flags().IntVarP(&add, "num", "n", 0, "`number` of partitions to add")
	return cmd
}

func (c *cli) addPartitions(ctx context.Context, adm *kadm.Client, name string, add int) error {
	topics, err := c.topicDetails(ctx, adm, name)
	if err != nil {
		return err
	}
	total := len(topics[name].Partitions) + add
	answers, err := adm.UpdatePartitions(ctx, total, name)
	if err != nil {
		return fmt.Errorf("add partitions to topic %s: %w", name, err)
	}
	if a := answers[name]; a.Err != nil {
		return c.topicError(name, a.Err, a.ErrMessage)
	}
	s := summarize(topics[name])
	s.Partitions = total
	return c.answer(s, func(w io.Writer) { fmt.Fprintf(w, "topic %s: %s\n", name, plural(total, "partition")) })
}

// sortedKeys lists a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
