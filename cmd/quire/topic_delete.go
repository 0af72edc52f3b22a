package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func (c *cli) topicDeleteCommand() *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:     "delete NAME...",
		Aliases: []string{"rm"},
		Short:   "Delete topics with all their records",
		Example: `  quire topic delete orders                  # asks first
  quire topic delete orders events -y        # in a script
  quire topic delete orders --dry-run        # says what would go`,
		Args: wantArgs(1, -1, "the NAME of a topic"),
		RunE: func(cmd *cobra.Command, names []string) error {
			if !yes && !dryRun && !c.inTTY {
				return usageError(c.command("topic delete "+strings.Join(names, " ")+" -y"),
					"refusing to delete %s: there is no terminal to ask at", strings.Join(names, ", "))
			}
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				return c.deleteTopics(ctx, adm, names, yes, dryRun)
			})
		},
		ValidArgsFunction: c.completeTopics(-1),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be deleted")
	return cmd
}

// deletion is one topic in the answer of topic delete.
type deletion struct {
	Topic      string `json:"topic"`
	Partitions int    `json:"partitions"`
	Records    int64  `json:"records"`
	Deleted    bool   `json:"deleted"`
}

func (d deletion) String() string {
	return fmt.Sprintf("%s (%s, %s)", d.Topic, plural(d.Partitions, "partition"), plural(d.Records, "record"))
}

func (c *cli) deleteTopics(ctx context.Context, adm *kadm.Client, names []string, yes, dryRun bool) error {
	topics, err := c.topicDetails(ctx, adm, names...)
	if err != nil {
		return err
	}
	ends, err := loadEnds(ctx, adm, names...)
	if err != nil {
		return err
	}
	var list []deletion
	for _, name := range names {
		list = append(list, deletion{Topic: name, Partitions: len(topics[name].Partitions), Records: ends.records(name)})
	}
	if dryRun {
		return c.answerDeleted(list)
	}
	if !yes && !c.confirm(fmt.Sprintf("delete %s?", joinDeletions(list))) {
		return errors.New("nothing was deleted")
	}
	answers, err := adm.DeleteTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("delete topics: %w", err)
	}
	var firstErr error
	for i, d := range list {
		a := answers[d.Topic]
		list[i].Deleted = a.Err == nil
		if a.Err != nil && firstErr == nil {
			firstErr = c.topicError(d.Topic, a.Err, a.ErrMessage)
		}
	}
	if err := c.answerDeleted(list); err != nil {
		return err
	}
	return firstErr
}

func (c *cli) answerDeleted(list []deletion) error {
	return c.answer(list, func(w io.Writer) {
		for _, d := range list {
			verb := "would delete"
			if d.Deleted {
				verb = "deleted"
			}
			fmt.Fprintf(w, "%s topic %s\n", verb, d)
		}
	})
}

func joinDeletions(list []deletion) string {
	parts := make([]string, len(list))
	for i, d := range list {
		parts[i] = d.String()
	}
	return strings.Join(parts, ", ")
}

// confirm asks at the terminal. Anything but yes is no.
func (c *cli) confirm(question string) bool {
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	line, _ := bufio.NewReader(c.in).ReadString('\n') // an end without a line is a no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

func isAlreadyThere(err error) bool { return errors.Is(err, kerr.TopicAlreadyExists) }
