package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func (c *cli) groupCommand() *cobra.Command {
	cmd := group("group", "List, describe, move and delete consumer groups", `  quire group list
  quire group describe billing -w              # who reads what, and how far behind; every second
  quire group seek billing --to @-2h           # read the last two hours again
  quire group delete billing`,
		c.groupListCommand(), c.groupDescribeCommand(), c.groupSeekCommand(), c.groupDeleteCommand(), c.groupOffsetDeleteCommand())
	c.clientFlags(cmd)
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

// changeFlags are those of commands that change a set.
type changeFlags struct{ yes, dryRun bool }

func (f *changeFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only say what would be "+what)
}

// refuse is the error where f wants a question and there is nobody to ask; args run the command again.
func (f changeFlags) refuse(c *cli, what, args string) error {
	if f.yes || f.dryRun || c.inTTY {
		return nil
	}
	return usageError(c.command(args+" -y"), "refusing to %s: there is no terminal to ask at", what)
}

// groupError names the group and adds what to run next.
func (c *cli) groupError(name string, err error, message string) error {
	hint := ""
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		hint = c.command("group list")
		if !strings.Contains(message, "is not a ") { // a share group, for one, is there
			message = "there is no such group"
		}
	case errors.Is(err, kerr.NonEmptyGroup):
		message = "it has active members"
		hint = "stop them first: " + c.command("group describe "+shellQuote(name))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		message = "its members divide the partitions in a way that this one does not know"
		hint = c.command("group describe " + shellQuote(name))
	case errors.Is(err, kerr.GroupSubscribedToTopic):
		message = "active members read the topic"
		hint = "stop them first: " + c.command("group describe "+shellQuote(name))
	}
	return &failure{err: fmt.Errorf("group %s: %w", name, brokerError(err, message)), hint: hint}
}

// refuseActive is the error where a group has members, which a change would be taken away from or be undone by.
func (c *cli) refuseActive(g *groupView) error {
	if len(g.Members) == 0 {
		return nil
	}
	const most = 5
	var names []string
	for i, m := range g.Members {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(g.Members)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s at %s (%s)", m.Client, m.Host, m.name()))
	}
	return withHint(fmt.Errorf("group %s is %s, with %s: %s", g.Group, g.State, plural(len(g.Members), "active member"),
		strings.Join(names, ", ")), "stop them first: %s", c.command("group describe "+shellQuote(g.Group)))
}

// deletedVerb says what became of something that was to be deleted.
func (f changeFlags) deletedVerb(deleted bool) string {
	switch {
	case deleted:
		return "deleted"
	case f.dryRun:
		return "would delete"
	}
	return "did not delete"
}

// parsePartitions parses arguments of the form TOPIC or TOPIC:0,1. A topic without partitions means all it has.
func parsePartitions(args []string) (kadm.TopicsSet, error) {
	set := kadm.TopicsSet{}
	whole := make(map[string]bool)
	for _, arg := range args {
		topic, list, some := strings.Cut(arg, ":")
		if topic == "" || some && list == "" {
			return nil, fmt.Errorf("%q: want TOPIC or TOPIC:PARTITION,…", arg)
		}
		set.Add(topic)
		whole[topic] = whole[topic] || !some
		for text := range strings.SplitSeq(list, ",") {
			if !some {
				break
			}
			n, err := strconv.ParseUint(text, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("%q: %q is not a partition", arg, text)
			}
			set.Add(topic, int32(n))
		}
	}
	for topic, all := range whole {
		if all {
			clear(set[topic])
		}
	}
	return set, nil
}

// completeGroups completes the names of groups, up to most arguments (most < 0: any number), then those of topics if they follow.
func (c *cli) completeGroups(most int, thenTopics bool) cobra.CompletionFunc {
	groups := c.completeNames(most, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		listed, err := adm.ListGroups(ctx)
		return listed.Groups(), err
	})
	topics := c.completeTopics(-1)
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if thenTopics && len(args) >= most {
			return topics(cmd, args, prefix)
		}
		return groups(cmd, args, prefix)
	}
}

// topicPartitionNames is set as "orders-0, orders-1 and 3 more".
func topicPartitionNames(list []kadm.Partition) string {
	const most = 8
	slices.SortFunc(list, func(a, b kadm.Partition) int {
		return cmpPartition(a.Topic, a.Partition, b.Topic, b.Partition)
	})
	var names []string
	for i, p := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s-%d", p.Topic, p.Partition))
	}
	return strings.Join(names, ", ")
}
