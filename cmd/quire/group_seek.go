package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// seekFlags are those of group seek.
type seekFlags struct {
	to, toGroup string
	changeFlags
}

func (c *cli) groupSeekCommand() *cobra.Command {
	var f seekFlags
	cmd := &cobra.Command{
		Use:   "seek GROUP [TOPIC[:PARTITION,...]...]",
		Short: "Move a group's committed offsets",
		Long: "Without topics, every partition moves that the group has an offset of. Where the group goes on, in each of them:\n" +
			"  start, end     the first record there is; only what comes from now on\n" +
			"  N, +N, -N      offset N; N records further on or back from its committed offset\n" +
			"  @T, -2h        the first record of time T or later: milliseconds since 1970, a date (UTC), RFC 3339, or a time ago\n" +
			"An offset outside the log is moved to its nearest end, and the answer says so. The group must have no active members:\n" +
			"they would go on where they are. A group that is not there yet is made, so that its first members begin there.",
		Example: `  quire group seek billing --to -2h            # the last two hours again; shows the change and asks
  quire group seek billing --to start --dry-run
  quire group seek billing orders:0,3 --to +1  # over one bad record in each of two partitions
  quire group seek billing orders --to @2026-05-01T08:30:00Z -y
  quire group seek replay --to-group billing   # where another group is`,
		Args: wantArgs(1, -1, "the name of a GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.seekGroup(cmd.Context(), args[0], args[1:], f)
		},
		ValidArgsFunction: c.completeGroups(1, true),
	}
	cmd.Flags().StringVar(&f.to, "to", "", "where the group goes on: start, end, `OFFSET`, +N, -N, @TIME or -2h")
	cmd.Flags().StringVar(&f.toGroup, "to-group", "", "go on where this `group` is")
	_ = cmd.RegisterFlagCompletionFunc("to-group", c.completeGroups(-1, false)) // fails only for a flag that does not exist
	f.add(cmd, "moved")
	return cmd
}

func (c *cli) seekGroup(ctx context.Context, name string, args []string, f seekFlags) error {
	to, err := parseSeek(f)
	if err != nil {
		return usageError(c.command("group seek --help"), "%w", err)
	}
	only, err := parsePartitions(args)
	if err != nil {
		return usageError(c.command("group seek --help"), "%w", err)
	}
	if err := f.refuse(c, "move group "+name, seekArgs(name, args, f)); err != nil {
		return err
	}
	plan := &seekPlan{group: name, to: to}
	err = c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error { return c.planSeek(ctx, adm, plan, only, f) })
	if err != nil {
		return err
	}
	if f.dryRun || len(plan.moves) == 0 {
		return c.answerSeek(plan, f)
	}
	if !f.yes {
		plan.write(c.err, c.width)
		if err := c.confirm(ctx, fmt.Sprintf("move group %s in %s?", name, plural(len(plan.moves), "partition"))); err != nil {
			return err
		}
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error { return c.commitSeek(ctx, adm, plan, f) })
}

// commitSeek commits the plan. A broker refuses that where members have come meanwhile.
func (c *cli) commitSeek(ctx context.Context, adm *kadm.Client, plan *seekPlan, f seekFlags) error {
	offsets := kadm.Offsets{}
	for _, m := range plan.moves {
		offsets.AddOffset(m.Topic, m.Partition, m.After, -1)
	}
	answers, err := adm.CommitOffsets(ctx, plan.group, offsets)
	if err != nil {
		return c.groupError(plan.group, err, "")
	}
	var firstErr error
	for i := range plan.moves {
		m := &plan.moves[i]
		a, ok := answers.Lookup(m.Topic, m.Partition)
		switch {
		case !ok:
			a.Err = errors.New("the broker does not answer for it")
			fallthrough
		case a.Err != nil:
			m.Note = errorText(a.Err)
			if firstErr == nil {
				firstErr = c.seekError(plan.group, m, a.Err)
			}
		default:
			m.Moved = true
		}
	}
	if err := c.answerSeek(plan, f); err != nil {
		return err
	}
	return firstErr
}

func (c *cli) seekError(group string, m *move, err error) error {
	if outOfGroup(err) { // members came meanwhile
		return c.groupError(group, kerr.NonEmptyGroup, "")
	}
	return c.groupError(group, fmt.Errorf("%s-%d: %w", m.Topic, m.Partition, brokerError(err, "")), "")
}

func (c *cli) answerSeek(plan *seekPlan, f seekFlags) error {
	return c.answer(plan.moves, func(w io.Writer) {
		plan.write(w, c.width)
		moved := 0
		for _, m := range plan.moves {
			if m.Moved {
				moved++
			}
		}
		if f.dryRun {
			fmt.Fprintf(w, "would move group %s in %s\n", plan.group, plural(len(plan.moves), "partition"))
		} else {
			fmt.Fprintf(w, "moved group %s in %s\n", plan.group, plural(moved, "partition"))
		}
	})
}
