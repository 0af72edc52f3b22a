package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// trimFlags are those of topic trim.
type trimFlags struct {
	before      string
	partitions  []int32
	yes, dryRun bool
}

func (c *cli) topicTrimCommand() *cobra.Command {
	var f trimFlags
	cmd := &cobra.Command{
		Use:   "trim NAME",
		Short: "Delete a topic's oldest records",
		Long: "Each partition begins at --before from now on; what lies below is gone for good. --before is an offset N, +N (N\n" +
			"records after the start), -N (all but the last N), end (everything), or @TIME: milliseconds since 1970, a date,\n" +
			"RFC 3339, or a time ago such as @-7d.",
		Example: `  quire topic trim orders --before @-1d        # what is older than a day; asks first
  quire topic trim orders -p 3 --before 1500   # partition 3, up to and without offset 1500
  quire topic trim orders --before end -y      # everything
  quire topic trim orders --before -100 --dry-run`,
		Args: wantArgs(1, 1, "the NAME of a topic"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.before == "" {
				return usageError(c.command("topic trim --help"), "--before is missing: where is %s to begin? An offset, end or @TIME", args[0])
			}
			before, err := parseBefore(f.before, time.Now())
			if err != nil {
				return usageError(c.command("topic trim --help"), "--before: %v", err)
			}
			if !f.yes && !f.dryRun && !c.inTTY {
				return usageError(c.command("topic trim "+args[0]+" --before "+f.before+" -y"),
					"refusing to delete records of %s: there is no terminal to ask at", args[0])
			}
			return c.trimTopic(cmd.Context(), args[0], before, f)
		},
		ValidArgsFunction: c.completeTopics(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.before, "before", "", "where the partitions are to begin: `OFFSET`, end or @TIME")
	fs.Int32SliceVarP(&f.partitions, "partition", "p", nil, "only these `partitions`; may be repeated")
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only say what would be deleted")
	return cmd
}

func parseBefore(s string, now time.Time) (bound, error) {
	r, err := parseOffset(s, now)
	if err == nil && r.to.kind != unbounded {
		err = fmt.Errorf("%q is a range, wanted is one offset or time", s)
	}
	return r.from, err
}

// trim is one partition in the answer of topic trim.
type trim struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start"`  // before
	Before    int64 `json:"before"` // where it begins, or would begin
	Records   int64 `json:"records"`
	Trimmed   bool  `json:"trimmed"`
}

// trimTopic asks, unless told not to, without a time limit: only what the broker does has one.
func (c *cli) trimTopic(ctx context.Context, name string, before bound, f trimFlags) error {
	var list []trim
	err := c.admin(ctx, func(ctx context.Context, adm *kadm.Client) (err error) {
		list, err = c.planTrim(ctx, adm, name, before, f.partitions)
		return err
	})
	if err != nil {
		return err
	}
	if f.dryRun || len(list) == 0 {
		return c.answerTrimmed(name, list)
	}
	if !f.yes {
		var records int64
		for _, t := range list {
			records += t.Records
		}
		question := fmt.Sprintf("delete %s of topic %s, in %s?", plural(records, "record"), name, plural(len(list), "partition"))
		if err := c.confirm(ctx, question); err != nil {
			return err
		}
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		return c.trimListed(ctx, adm, name, list)
	})
}

func (c *cli) trimListed(ctx context.Context, adm *kadm.Client, name string, list []trim) error {
	offsets := kadm.Offsets{}
	for _, t := range list {
		offsets.AddOffset(name, t.Partition, t.Before, -1)
	}
	answers, err := adm.DeleteRecords(ctx, offsets)
	if err != nil {
		return fmt.Errorf("delete records of topic %s: %w", name, err)
	}
	var firstErr error
	for i := range list {
		a, ok := answers.Lookup(name, list[i].Partition)
		switch {
		case !ok:
			a.Err = errors.New("the broker does not answer for it")
			fallthrough
		case a.Err != nil:
			if firstErr == nil {
				firstErr = c.topicError(name, a.Err, fmt.Sprintf("partition %d: %v", list[i].Partition, a.Err))
			}
		default:
			list[i].Before, list[i].Trimmed = a.LowWatermark, true
		}
	}
	if err := c.answerTrimmed(name, list); err != nil {
		return err
	}
	return firstErr
}

// planTrim lists the partitions that lose records.
func (c *cli) planTrim(ctx context.Context, adm *kadm.Client, name string, before bound, only []int32) ([]trim, error) {
	if _, err := c.topicDetails(ctx, adm, name); err != nil {
		return nil, err
	}
	ends, err := loadEnds(ctx, adm, name)
	if err == nil {
		err = ends.failed()
	}
	if err != nil {
		return nil, err
	}
	var timed kadm.ListedOffsets
	if before.kind == atTime {
		if timed, err = adm.ListOffsetsAfterMilli(ctx, before.n, name); err != nil {
			return nil, fmt.Errorf("list offsets by time: %w", err)
		}
	}
	if len(only) == 0 {
		only = slices.Collect(maps.Keys(ends.ends[name]))
	}
	var list []trim
	for _, p := range slices.Compact(slices.Sorted(slices.Values(only))) {
		start, end := ends.start(name, p), ends.end(name, p)
		if end < 0 {
			return nil, fmt.Errorf("topic %s has no partition %d", name, p)
		}
		to := before.resolve(start, end, offsetOf(timed, name, p))
		switch {
		case before.kind == atOffset && to > end:
			return nil, fmt.Errorf("partition %d of topic %s ends at offset %d, there is nothing up to %d", p, name, end, to)
		case before.kind == afterStart:
			to = min(to, end)
		}
		if to > start {
			list = append(list, trim{Partition: p, Start: start, Before: to, Records: to - start})
		}
	}
	return list, nil
}

func (c *cli) answerTrimmed(name string, list []trim) error {
	if list == nil {
		list = []trim{}
	}
	return c.answer(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintf(w, "topic %s has no records before that\n", name)
		}
		for _, t := range list {
			verb := "would delete"
			if t.Trimmed {
				verb = "deleted"
			}
			fmt.Fprintf(w, "%s %s of %s-%d: it begins at offset %d\n", verb, plural(t.Records, "record"), name, t.Partition, t.Before)
		}
	})
}
