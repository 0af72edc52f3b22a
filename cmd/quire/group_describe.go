package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (c *cli) groupDescribeCommand() *cobra.Command {
	var watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "describe GROUP...",
		Short: "Show who reads what, and how far behind, in records and in time",
		Long: "LAG is how many records lie behind the committed offset. BEHIND is how long the first of them has been waiting:\n" +
			"its timestamp against this machine's clock; 0s where nothing is behind. A dash is a number that nobody can tell;\n" +
			"the note beside it says why.",
		Example: `  quire group describe billing
  quire group describe billing -w              # again every second; Ctrl-C stops
  quire group describe billing -w -o jsonl --interval 10s >> billing.log
  quire group describe billing audit -o yaml`,
		Args: wantArgs(1, -1, "the name of a GROUP"),
		RunE: func(cmd *cobra.Command, names []string) error {
			if watch {
				return c.watchGroups(cmd.Context(), names, interval)
			}
			return c.request(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				views, err := c.describeGroups(ctx, newAges(cl), names)
				if err != nil {
					return err
				}
				return c.answer(views, func(w io.Writer) { c.writeGroups(w, views) })
			})
		},
		ValidArgsFunction: c.completeGroups(-1, false),
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again, in place on a terminal")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "how often, with -w")
	return cmd
}

// describeGroups is everything about the groups. Ages are asked for after the offsets were.
func (c *cli) describeGroups(ctx context.Context, a *ages, names []string) ([]*groupView, error) {
	views, err := c.loadGroups(ctx, kadm.NewClient(a.cl), names...)
	if err != nil {
		return nil, err
	}
	a.add(ctx, views, time.Now())
	return views, nil
}

func (c *cli) writeGroups(w io.Writer, views []*groupView) {
	for i, g := range views {
		if i > 0 {
			fmt.Fprintln(w)
		}
		c.writeGroup(w, g)
	}
}

func (c *cli) writeGroup(w io.Writer, g *groupView) {
	fmt.Fprintln(w, g.headline())
	if len(g.Partitions) > 0 {
		fmt.Fprintln(w)
		c.writeGroupPartitions(w, g.Partitions)
	}
	c.writeIdle(w, g.Members)
}

// headline is the group without its partitions and members.
func (g *groupView) headline() string {
	parts := []string{g.State, "type " + g.Type}
	if g.ProtocolType != "" && g.ProtocolType != "consumer" {
		parts = append(parts, "protocol "+g.ProtocolType)
	}
	if g.Assignor != "" {
		parts = append(parts, "assignor "+g.Assignor)
	}
	if g.Epoch >= 0 {
		parts = append(parts, fmt.Sprintf("epoch %d", g.Epoch))
	}
	parts = append(parts, fmt.Sprintf("coordinator %d (%s)", g.Coordinator, g.CoordinatorAddress), plural(len(g.Members), "member"))
	return fmt.Sprintf("%s: %s; %s behind, %s", g.Group, strings.Join(parts, ", "), plural(g.Lag, "record"), behind(g.LagSeconds))
}

// writeGroupPartitions leaves out the columns in which there is nothing.
func (c *cli) writeGroupPartitions(w io.Writer, list []groupPartitionView) {
	t := table{titles: []string{"TOPIC", "PARTITION>", "COMMITTED>", "START>", "END>", "LAG>", "BEHIND>"}}
	members, notes := false, false
	for _, p := range list {
		members, notes = members || p.Member != "", notes || p.Note != ""
	}
	if members {
		t.titles = append(t.titles, "CLIENT", "HOST", "MEMBER")
	}
	if notes {
		t.titles = append(t.titles, "NOTE")
	}
	for _, p := range list {
		row := []any{p.Topic, p.Partition, known(p.Committed), known(p.Start), known(p.End), known(p.Lag), behind(p.LagSeconds)}
		if members {
			row = append(row, p.Client, p.Host, cmp.Or(p.InstanceID, p.Member))
		}
		if notes {
			row = append(row, p.Note)
		}
		t.add(row...)
	}
	t.write(w, c.width)
}

// writeIdle lists the members that have no partition.
func (c *cli) writeIdle(w io.Writer, members []memberView) {
	t := table{titles: []string{"MEMBER WITHOUT PARTITIONS", "CLIENT", "HOST", "SUBSCRIBES TO"}}
	for _, m := range members {
		if m.Partitions == 0 {
			t.add(m.name(), m.Client, m.Host, strings.Join(m.Topics, " "))
		}
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(w)
		t.write(w, c.width)
	}
}

// behind is a lag in seconds as people say it: 850ms, 12s, 3m5s, 2d4h.
func behind(seconds float64) string {
	const day = 24 * time.Hour
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case seconds < 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < day:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
