package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// moveFlags are those of what moves replicas.
type moveFlags struct {
	goal
	yes, dryRun, noWait bool
}

func (f *moveFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	fs.BoolVar(&f.dryRun, "dry-run", false, "only say what would be moved")
	fs.BoolVar(&f.noWait, "no-wait", false, "return when the moves have begun")
}

const movesGoOn = "Replicas copy the log before they count and the old ones leave, so nothing is ever without its replicas. The cluster\n" +
	"carries the moves out by itself: Ctrl-C ends only the watching, and the same command again goes on with it."

func (c *cli) clusterMoveCommand() *cobra.Command {
	var f moveFlags
	cmd := &cobra.Command{
		Use:   "move TOPIC[/PARTITION]... --to BROKERS | --from BROKER [--to BROKER] | --even",
		Short: "Move replicas to other brokers",
		Long: "--to names the brokers of all replicas, the preferred leader first; of several partitions each broker is preferred in\n" +
			"turn. --from takes the replicas off one broker. --even moves what makes the brokers as even as can be. Without a\n" +
			"TOPIC all topics are meant.\n\n" + movesGoOn,
		Example: `  quire cluster move orders --to 1,2,3           # also to have more or fewer replicas
  quire cluster move orders/0 --to 2,3,1
  quire cluster move orders --from 1 --to 4
  quire cluster move --even --dry-run            # what a new broker would get`,
		Args: wantArgs(0, -1, "TOPICs"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return usageError(cmd.CommandPath()+" --help", "%w", err)
			}
			return c.move(cmd.Context(), migration{
				c: c, flags: f, again: "cluster move " + strings.Join(append(args, f.words()...), " "),
				choose: func(l *layout) ([]spot, []moveView, error) {
					chosen, err := l.choose(args)
					if err != nil {
						return nil, nil, err
					}
					moves, err := l.plan(chosen, f.goal)
					return chosen, moves, err
				},
			})
		},
		ValidArgsFunction: c.completeTopics(-1),
	}
	fs := cmd.Flags()
	fs.Int32SliceVar(&f.to, "to", nil, "`brokers` that are to have the replicas, separated by commas")
	fs.Int32Var(&f.from, "from", -1, "`broker` that is to have none of the replicas")
	fs.BoolVar(&f.even, "even", false, "spread replicas and leaders evenly")
	f.add(cmd)
	return cmd
}

func (f *moveFlags) check(args []string) error {
	switch {
	case f.even && (f.from >= 0 || len(f.to) > 0):
		return fmt.Errorf("--even chooses the brokers itself: leave --from and --to away")
	case !f.even && f.from < 0 && len(f.to) == 0:
		return fmt.Errorf("say where the replicas are to be: --to 1,2,3, or --from 1, or --even")
	case f.from >= 0 && len(f.to) > 1:
		return fmt.Errorf("--from %d goes with one broker in --to, or none", f.from)
	case len(args) == 0 && !f.even && f.from < 0:
		return fmt.Errorf("name the TOPIC that --to is about")
	}
	return nil
}

// words are the flags as they were typed.
func (f *moveFlags) words() (words []string) {
	if f.even {
		words = append(words, "--even")
	}
	if f.from >= 0 {
		words = append(words, fmt.Sprintf("--from %d", f.from))
	}
	if len(f.to) > 0 {
		words = append(words, "--to "+joinIDs(f.to))
	}
	return words
}

// move plans, asks unless told not to, begins the moves and watches them.
func (c *cli) move(ctx context.Context, m migration) error {
	err := c.request(ctx, func(ctx context.Context, cl *kgo.Client) error { return m.load(ctx, cl) })
	if err != nil {
		return err
	}
	if m.flags.dryRun || len(m.moves) == 0 && len(m.under) == 0 && m.after == nil {
		return m.answer()
	}
	if len(m.moves) > 0 && !m.flags.yes {
		what := "move replicas of " + plural(len(m.moves), "partition")
		if !c.inTTY {
			return usageError(c.command(m.again+" -y"), "refusing to %s: there is no terminal to ask at", what)
		}
		if err := c.confirm(ctx, what+"?"); err != nil {
			return err
		}
	}
	if err := m.run(ctx); err != nil {
		return err
	}
	return m.answer()
}

func (m *migration) answer() error {
	list := m.views()
	return m.c.answer(list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "nothing to move")
			return
		}
		t := table{titles: []string{"PARTITION", "FROM", "TO", ""}}
		for _, v := range list {
			t.add(partitionName(v.Topic, v.Partition), joinIDs(v.From), joinIDs(v.To), v.State)
		}
		t.write(w, m.c.width)
	})
}
