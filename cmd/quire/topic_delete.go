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
			return c.deleteTopics(cmd.Context(), names, yes, dryRun)
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

// deleteTopics asks, unless told not to, without a time limit: only what the broker does has one.
func (c *cli) deleteTopics(ctx context.Context, names []string, yes, dryRun bool) error {
	var list []deletion
	err := c.admin(ctx, func(ctx context.Context, adm *kadm.Client) (err error) {
		list, err = c.deletions(ctx, adm, names)
		return err
	})
	if err != nil {
		return err
	}
	if dryRun {
		return c.answerDeleted(list)
	}
	if !yes {
		if err := c.confirm(ctx, fmt.Sprintf("delete %s?", joined(list))); err != nil {
			return err
		}
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		return c.deleteListed(ctx, adm, names, list)
	})
}

// deletions says what names stand for.
func (c *cli) deletions(ctx context.Context, adm *kadm.Client, names []string) ([]deletion, error) {
	topics, err := c.topicDetails(ctx, adm, names...)
	if err != nil {
		return nil, err
	}
	ends, err := loadEnds(ctx, adm, names...)
	if err != nil {
		return nil, err
	}
	var list []deletion
	for _, name := range names {
		list = append(list, deletion{Topic: name, Partitions: len(topics[name].Partitions), Records: ends.records(name)})
	}
	return list, nil
}

func (c *cli) deleteListed(ctx context.Context, adm *kadm.Client, names []string, list []deletion) error {
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

// joined is list in a sentence.
func joined[T fmt.Stringer](list []T) string {
	parts := make([]string, len(list))
	for i, d := range list {
		parts[i] = d.String()
	}
	return strings.Join(parts, ", ")
}

// confirm asks at the terminal. Anything but yes is an error. Reading a terminal cannot be interrupted: at Ctrl-C the reading
// goroutine is left behind in its read, to end with the process.
func (c *cli) confirm(ctx context.Context, question string) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.in).ReadString('\n') // an end without a line is a no
		lines <- line
	}()
	select {
	case line := <-lines:
		if !strings.HasSuffix(line, "\n") { // Ctrl-D leaves the cursor behind the question
			fmt.Fprintln(c.err)
		}
		if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
			return errors.New("nothing was changed")
		}
		return nil
	case <-ctx.Done():
		return errInterrupted
	}
}

func isAlreadyThere(err error) bool { return errors.Is(err, kerr.TopicAlreadyExists) }
