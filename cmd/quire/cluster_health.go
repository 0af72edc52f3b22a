package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/quirelog/quire/partition"
)

type healthView struct {
	Healthy         bool     `json:"healthy"`
	Controller      int32    `json:"controller"` // -1: none
	Brokers         int      `json:"brokers"`
	Partitions      int      `json:"partitions"`
	Leaderless      []string `json:"leaderless"` // TOPIC/PARTITION
	UnderReplicated []string `json:"under_replicated"`
	// Damaged can be read up to the damage, but take no records.
	Damaged []string   `json:"damaged"`
	Disks   []diskView `json:"disks"` // those that are not well
}

// diskView is a data directory that is not well.
type diskView struct {
	Broker      int32  `json:"broker"`
	Dir         string `json:"dir"`
	UsableBytes int64  `json:"usable_bytes"` // -1: unknown
	Problem     string `json:"problem"`
}

func (c *cli) clusterHealthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Say whether partitions and disks are well",
		Long: "Healthy is a cluster whose partitions all have a leader, all their replicas and undamaged files, and whose disks\n" +
			"have room. Exits with 0 when healthy, 10 when not, 3 when no broker answers.",
		Example: `  quire cluster health
  quire cluster health -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				md, err := adm.Metadata(ctx)
				if err != nil {
					return fmt.Errorf("load the cluster: %w", err)
				}
				dirs, err := adm.DescribeAllLogDirs(ctx, nil)
				if err != nil && (ctx.Err() != nil || unreachable(err)) {
					return fmt.Errorf("look at the disks: %w", err)
				}
				v := viewHealth(md, dirs) // a broker that may not or cannot tell its disks is not unhealthy for that
				if err := c.answer(v, func(w io.Writer) { writeHealth(w, v) }); err != nil {
					return err
				}
				if !v.Healthy {
					return errUnhealthy
				}
				return nil
			})
		},
	}
}

func viewHealth(md kadm.Metadata, dirs kadm.DescribedAllLogDirs) healthView {
	v := healthView{Controller: md.Controller, Brokers: len(md.Brokers), Leaderless: []string{}, UnderReplicated: []string{},
		Damaged: []string{}, Disks: sickDisks(dirs)}
	for _, t := range md.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			v.Partitions++
			name := fmt.Sprintf("%s/%d", t.Topic, p.Partition)
			switch {
			case p.Leader < 0:
				v.Leaderless = append(v.Leaderless, name)
			case slices.Contains(p.OfflineReplicas, p.Leader):
				v.Damaged = append(v.Damaged, name)
			case len(p.ISR) < len(p.Replicas):
				v.UnderReplicated = append(v.UnderReplicated, name)
			}
		}
	}
	v.Healthy = v.Controller >= 0 && len(v.Leaderless)+len(v.UnderReplicated)+len(v.Damaged)+len(v.Disks) == 0
	return v
}

// sickDisks lists the data directories that have failed or have no room for records.
func sickDisks(dirs kadm.DescribedAllLogDirs) []diskView {
	sick := []diskView{}
	for _, d := range dirs.Sorted() {
		v := diskView{Broker: d.Broker, Dir: d.Dir, UsableBytes: d.UsableBytes}
		switch {
		case d.Err != nil:
			v.UsableBytes, v.Problem = -1, "failed: "+d.Err.Error()
		case d.UsableBytes >= 0 && d.UsableBytes < partition.MinFreeBytes:
			v.Problem = "nearly full, records are refused"
		default:
			continue
		}
		sick = append(sick, v)
	}
	return sick
}

func writeHealth(w io.Writer, v healthView) {
	state := "healthy"
	if !v.Healthy {
		state = "UNHEALTHY"
	}
	fmt.Fprintf(w, "%s: %s, %s\n", state, plural(v.Brokers, "broker"), plural(v.Partitions, "partition"))
	if v.Controller < 0 {
		fmt.Fprintln(w, "no controller")
	}
	if len(v.Leaderless) > 0 {
		fmt.Fprintf(w, "without a leader: %s\n", strings.Join(v.Leaderless, " "))
	}
	if len(v.UnderReplicated) > 0 {
		fmt.Fprintf(w, "lacking replicas: %s\n", strings.Join(v.UnderReplicated, " "))
	}
	if len(v.Damaged) > 0 {
		fmt.Fprintf(w, "damaged, read-only: %s\n", strings.Join(v.Damaged, " "))
	}
	for _, d := range v.Disks {
		fmt.Fprintf(w, "disk of broker %d at %s: %s\n", d.Broker, d.Dir, d.Problem)
	}
}
