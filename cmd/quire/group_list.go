package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	groupStates = []string{"Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Dead"}
	groupTypes  = []string{"classic", "consumer"}
)

// groupSummary is one group in the answer of group list. Numbers are -1 where they are not known.
type groupSummary struct {
	Group        string `json:"group"`
	Type         string `json:"type"`
	ProtocolType string `json:"protocol_type,omitempty"`
	State        string `json:"state"`
	Coordinator  int32  `json:"coordinator"`
	Members      int    `json:"members"`
	Lag          int64  `json:"lag"` // records
}

func (c *cli) groupListCommand() *cobra.Command {
	var states, types []string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List consumer groups with their members and lag",
		Example: `  quire group list
  quire group list --state empty               # nobody reads
  quire group list --type consumer -o json     # those of the new protocol`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.request(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				list, err := c.listGroups(ctx, cl, states, types)
				if err != nil {
					return err
				}
				return c.answer(list, func(w io.Writer) {
					t := table{titles: []string{"GROUP", "TYPE", "PROTOCOL", "STATE", "MEMBERS>", "LAG>"}}
					for _, g := range list {
						t.add(g.Group, g.Type, g.ProtocolType, g.State, known(g.Members), known(g.Lag))
					}
					t.write(w, c.width)
				})
			})
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these `states`, such as stable or empty")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only groups of these `types`: classic or consumer")
	completeFlag(cmd, "state", groupStates)
	completeFlag(cmd, "type", groupTypes)
	return cmd
}

// listGroups asks every broker for its groups, and then for what list does not tell. A group that goes meanwhile is left out.
func (c *cli) listGroups(ctx context.Context, cl *kgo.Client, states, types []string) ([]groupSummary, error) {
	list, err := listSummaries(ctx, cl, states, types)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", brokerError(err, ""))
	}
	var names []string
	for _, g := range list {
		if slices.Contains(groupTypes, g.Type) { // neither share nor Streams groups
			names = append(names, g.Group)
		}
	}
	adm := kadm.NewClient(cl)
	known := loadStates(ctx, adm, names)
	var views []*groupView
	for _, s := range known {
		if s.view != nil {
			views = append(views, s.view)
		}
	}
	if err := c.addOffsets(ctx, adm, views); err != nil {
		return nil, err
	}
	kept := list[:0]
	for _, g := range list {
		s := known[g.Group]
		if s.view != nil {
			g.State, g.Members, g.Lag = s.view.State, len(s.view.Members), s.view.Lag
		}
		if !errors.Is(s.err, kerr.GroupIDNotFound) {
			kept = append(kept, g)
		}
	}
	return kept, nil
}

// listSummaries lists groups by name: kadm's call does not tell their types.
func listSummaries(ctx context.Context, cl *kgo.Client, states, types []string) ([]groupSummary, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	list := []groupSummary{}
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		resp := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return nil, err
		}
		for _, g := range resp.Groups {
			list = append(list, groupSummary{Group: g.Group, Type: cmp.Or(g.GroupType, "classic"), ProtocolType: g.ProtocolType,
				State: g.GroupState, Coordinator: shard.Meta.NodeID, Members: -1, Lag: -1})
		}
	}
	slices.SortFunc(list, func(a, b groupSummary) int { return cmp.Compare(a.Group, b.Group) })
	return list, nil
}

// known is n for a table, where -1 is not known.
func known[N int | int64](n N) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
