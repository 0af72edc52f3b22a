package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (c *cli) groupDeleteCommand() *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "delete GROUP...",
		Aliases: []string{"rm"},
		Short:   "Delete groups with their committed offsets",
		Long:    "Whoever joins such a group later begins anew. A group with active members is not deleted.",
		Example: `  quire group delete billing                   # asks first
  quire group delete billing audit -y          # in a script
  quire group delete billing --dry-run         # says what would go`,
		Args: wantArgs(1, -1, "the name of a GROUP"),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := f.refuse(c, "delete "+strings.Join(names, ", "), "group delete "+quoted(names)); err != nil {
				return err
			}
			return c.deleteGroups(cmd.Context(), names, f)
		},
		ValidArgsFunction: c.completeGroups(-1, false),
	}
	f.add(cmd, "deleted")
	return cmd
}

// groupDeletion is one group in the answer of group delete.
type groupDeletion struct {
	Group   string `json:"group"`
	Offsets int    `json:"offsets"`
	Deleted bool   `json:"deleted"`
}

func (d groupDeletion) String() string {
	return fmt.Sprintf("%s (%s)", d.Group, plural(d.Offsets, "offset"))
}

// deleteGroups asks, unless told not to, without a time limit: only what the broker does has one.
func (c *cli) deleteGroups(ctx context.Context, names []string, f changeFlags) error {
	var list []groupDeletion
	err := c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		views, err := c.loadGroups(ctx, adm, names...)
		if err != nil {
			return err
		}
		for _, g := range views {
			if err := c.refuseActive(g); err != nil {
				return err
			}
			list = append(list, groupDeletion{Group: g.Group, Offsets: len(g.offsets())})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if f.dryRun {
		return c.answerGroupsDeleted(list, f)
	}
	if !f.yes {
		if err := c.confirm(ctx, "delete group "+joined(list)+"?"); err != nil {
			return err
		}
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error { return c.deleteListedGroups(ctx, adm, list, f) })
}

func (c *cli) deleteListedGroups(ctx context.Context, adm *kadm.Client, list []groupDeletion, f changeFlags) error {
	var firstErr error
	names := make([]string, len(list))
	for i, d := range list {
		names[i] = d.Group
	}
	answers, err := adm.DeleteGroups(ctx, names...)
	for i := range list {
		a, ok := answers[list[i].Group]
		if !ok {
			a.Err = firstOf(err, fmt.Errorf("the broker does not answer for it"))
		}
		list[i].Deleted = a.Err == nil
		if a.Err != nil && firstErr == nil {
			firstErr = c.groupError(list[i].Group, a.Err, a.ErrMessage)
		}
	}
	if err := c.answerGroupsDeleted(list, f); err != nil {
		return err
	}
	return firstErr
}

func (c *cli) answerGroupsDeleted(list []groupDeletion, f changeFlags) error {
	return c.answer(list, func(w io.Writer) {
		for _, d := range list {
			fmt.Fprintf(w, "%s group %s\n", f.deletedVerb(d.Deleted), d)
		}
	})
}
