package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// placedView is one partition in the answer of cluster partitions.
type placedView struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Leader    int32   `json:"leader"` // -1: none
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
	State     string  `json:"state"` // "": well
}

func (c *cli) clusterPartitionsCommand() *cobra.Command {
	leader, broken := int32(-1), false
	cmd := &cobra.Command{
		Use:   "partitions [TOPIC]",
		Short: "List partitions with leader, replicas and what is wrong with them",
		Example: `  quire cluster partitions
  quire cluster partitions orders
  quire cluster partitions --leader 2
  quire cluster partitions --broken`,
		Args: wantArgs(0, 1, "at most one TOPIC"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.request(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				list, err := c.listPartitions(ctx, cl, args)
				if err != nil {
					return err
				}
				list = slices.DeleteFunc(list, func(p placedView) bool {
					return leader >= 0 && p.Leader != leader || broken && p.State == ""
				})
				return c.answer(list, func(w io.Writer) { c.writePlaced(w, list) })
			})
		},
		ValidArgsFunction: c.completeTopics(1),
	}
	cmd.Flags().Int32Var(&leader, "leader", -1, "only those that this `broker` leads")
	cmd.Flags().BoolVar(&broken, "broken", false, "only those without a leader, with replicas that lack, or damaged")
	return cmd
}

func (c *cli) listPartitions(ctx context.Context, cl *kgo.Client, topics []string) ([]placedView, error) {
	if len(topics) > 0 {
		if _, err := c.topicDetails(ctx, kadm.NewClient(cl), topics...); err != nil {
			return nil, err
		}
	}
	s, err := loadCluster(ctx, cl)
	if err != nil {
		return nil, err
	}
	list := []placedView{}
	for _, t := range s.Topics.Sorted() {
		if len(topics) > 0 && !slices.Contains(topics, t.Topic) {
			continue
		}
		for _, p := range t.Partitions.Sorted() {
			list = append(list, placedView{p.Topic, p.Partition, p.Leader, p.Replicas, p.ISR, stateOf(&s, p).String()})
		}
	}
	return list, nil
}

func (c *cli) writePlaced(w io.Writer, list []placedView) {
	t := table{titles: []string{"PARTITION", "LEADER>", "REPLICAS", "ISR", ""}}
	for _, p := range list {
		t.add(partitionName(p.Topic, p.Partition), p.Leader, joinIDs(p.Replicas), joinIDs(p.ISR), p.State)
	}
	t.write(w, c.width)
}

func partitionName(topic string, partition int32) string {
	return fmt.Sprintf("%s/%d", topic, partition)
}

// partitionState is what is wrong with a partition.
type partitionState struct {
	leaderless bool
	damaged    bool    // its leader reads it up to the damage, and takes no records
	lacks      []int32 // replicas that are not in sync
	down       []int32 // of them, those whose broker does not answer
	fenced     []int32 // replicas that their broker, which answers, has taken out of use
}

func stateOf(s *clusterState, p kadm.PartitionDetail) partitionState {
	st := partitionState{leaderless: p.Leader < 0, damaged: p.Leader >= 0 && slices.Contains(p.OfflineReplicas, p.Leader)}
	for _, id := range p.Replicas {
		switch {
		case id == p.Leader && st.damaged:
			continue
		case slices.Contains(p.OfflineReplicas, id) && s.alive(id):
			st.fenced = append(st.fenced, id)
		case !s.alive(id):
			st.down = append(st.down, id)
		}
		if !slices.Contains(p.ISR, id) {
			st.lacks = append(st.lacks, id)
		}
	}
	return st
}

// String is empty for a partition that is well.
func (st partitionState) String() string {
	var parts []string
	add := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(st.leaderless, "no leader")
	add(st.damaged, "damaged, read-only")
	add(len(st.down) > 0, "down: %s", joinIDs(st.down))
	add(len(st.fenced) > 0, "fenced: %s", joinIDs(st.fenced))
	behind := slices.DeleteFunc(slices.Clone(st.lacks), func(id int32) bool { return slices.Contains(st.down, id) || slices.Contains(st.fenced, id) })
	add(len(behind) > 0 && !st.leaderless, "behind: %s", joinIDs(behind))
	return strings.Join(parts, ", ")
}
