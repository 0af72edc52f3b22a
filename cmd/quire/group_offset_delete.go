package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (c *cli) groupOffsetDeleteCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:   "offset-delete GROUP TOPIC[:PARTITION,...]...",
		Short: "Delete a group's offsets of topics that it reads no more",
		Long:  "Such offsets only show an ever growing lag. Topics that active members subscribe to are refused.",
		Example: `  quire group offset-delete billing old-orders  # asks first
  quire group offset-delete billing orders:6,7 events -y
  quire group offset-delete billing orders --dry-run`,
		Args: wantArgs(2, -1, "the name of a GROUP and a TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			only, err := parsePartitions(args[1:])
			if err != nil {
				return usageError(c.command("group offset-delete --help"), "%w", err)
			}
			if err := f.refuse(c, "delete offsets of group "+args[0], "group offset-delete "+quoted(args)); err != nil {
				return err
			}
			return c.deleteOffsets(cmd.Context(), args[0], only, f)
		},
		ValidArgsFunction: c.completeGroups(1, true),
	}
	f.add(cmd, "deleted")
	return cmd
}

// offsetDeletion is one partition in the answer of group offset-delete.
type offsetDeletion struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Deleted   bool   `json:"deleted"`
}

func (c *cli) deleteOffsets(ctx context.Context, name string, only kadm.TopicsSet, f changeFlags) error {
	var list []offsetDeletion
	err := c.admin(ctx, func(ctx context.Context, adm *kadm.Client) (err error) {
		list, err = c.offsetDeletions(ctx, adm, name, only)
		return err
	})
	if err != nil {
		return err
	}
	if f.dryRun {
		return c.answerOffsetsDeleted(name, list, f)
	}
	if !f.yes {
		parts := make([]kadm.Partition, len(list))
		for i, d := range list {
			parts[i] = kadm.Partition{Topic: d.Topic, Partition: d.Partition}
		}
		question := fmt.Sprintf("delete %s of group %s, of %s?", plural(len(list), "offset"), name, topicPartitionNames(parts))
		if err := c.confirm(ctx, question); err != nil {
			return err
		}
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		return c.deleteListedOffsets(ctx, adm, name, list, f)
	})
}

// offsetDeletions lists what the group has committed of the partitions named.
func (c *cli) offsetDeletions(ctx context.Context, adm *kadm.Client, name string, only kadm.TopicsSet) ([]offsetDeletion, error) {
	g, err := c.loadGroup(ctx, adm, name)
	if err != nil {
		return nil, err
	}
	var list []offsetDeletion
	found := kadm.TopicsSet{}
	for _, p := range g.Partitions {
		some, named := only[p.Topic]
		if _, ok := some[p.Partition]; p.Committed < 0 || !named || len(some) > 0 && !ok {
			continue
		}
		found.Add(p.Topic, p.Partition)
		list = append(list, offsetDeletion{Topic: p.Topic, Partition: p.Partition, Offset: p.Committed})
	}
	for topic, some := range only {
		lacking := ""
		if len(found[topic]) == 0 {
			lacking = "topic " + topic
		}
		for p := range some {
			if !found.Lookup(topic, p) {
				lacking = fmt.Sprintf("%s-%d", topic, p)
			}
		}
		if lacking != "" {
			return nil, withHint(fmt.Errorf("group %s has no offset of %s", name, lacking), "%s",
				c.command("group describe "+shellQuote(name)))
		}
	}
	return list, nil
}

func (c *cli) deleteListedOffsets(ctx context.Context, adm *kadm.Client, name string, list []offsetDeletion, f changeFlags) error {
	set := kadm.TopicsSet{}
	for _, d := range list {
		set.Add(d.Topic, d.Partition)
	}
	answers, err := adm.DeleteOffsets(ctx, name, set)
	if err != nil {
		return c.groupError(name, err, "")
	}
	var firstErr error
	for i, d := range list {
		err, ok := answers.Lookup(d.Topic, d.Partition)
		if !ok {
			err = errors.New("the broker does not answer for it")
		}
		list[i].Deleted = err == nil
		if err != nil && firstErr == nil {
			firstErr = c.groupError(name, err, "")
		}
	}
	if err := c.answerOffsetsDeleted(name, list, f); err != nil {
		return err
	}
	return firstErr
}

func (c *cli) answerOffsetsDeleted(name string, list []offsetDeletion, f changeFlags) error {
	return c.answer(list, func(w io.Writer) {
		for _, d := range list {
			fmt.Fprintf(w, "%s offset %d of group %s in %s-%d\n", f.deletedVerb(d.Deleted), d.Offset, name, d.Topic, d.Partition)
		}
	})
}
