package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quirelog/quire/partition"
)

type healthView struct {
	Healthy         bool     `json:"healthy"`
	Controller      int32    `json:"controller"` // -1: none
	Brokers         int      `json:"brokers"`    // that answer
	Partitions      int      `json:"partitions"`
	Down            []int32  `json:"down"`       // brokers that do not answer
	Leaderless      []string `json:"leaderless"` // TOPIC/PARTITION
	UnderReplicated []string `json:"under_replicated"`
	// Damaged can be read up to the damage, but take no records.
	Damaged []string     `json:"damaged"`
	Fenced  []fencedView `json:"fenced"`
	Disks   []diskView   `json:"disks"` // those that are not well
}

// fencedView is a replica that a live broker has taken out of use, since its files are damaged or lost.
type fencedView struct {
	Partition string `json:"partition"` // TOPIC/PARTITION
	Broker    int32  `json:"broker"`
}

// diskView is a data directory that is not well.
type diskView struct {
	Broker      int32  `json:"broker"`
	Dir         string `json:"dir"`
	UsableBytes int64  `json:"usable_bytes"` // -1: unknown
	Problem     string `json:"problem"`
}

const (
	healthWait  = time.Minute // of --wait without a time
	healthEvery = 500 * time.Millisecond
)

func (c *cli) clusterHealthCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether brokers, partitions and disks are well",
		Long: "Healthy is a cluster whose brokers all answer, whose partitions all have a leader, all their replicas and undamaged\n" +
			"files, and whose disks have room. Exits with 0 when healthy, 10 when not, 3 when no broker answers. What is wrong\n" +
			"with a fenced replica is in its broker's log.",
		Example: `  quire cluster health
  quire cluster health --wait=5m             # until it is healthy, 5 minutes at most
  quire cluster health -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := c.awaitHealth(cmd.Context(), wait)
			if err != nil {
				return err
			}
			if err := c.answer(v, func(w io.Writer) { writeHealth(w, v) }); err != nil {
				return err
			}
			if !v.Healthy {
				return errUnhealthy
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.DurationVarP(&wait, "wait", "w", 0, "`time` to wait until it is healthy; --wait alone: "+healthWait.String())
	f.Lookup("wait").NoOptDefVal = healthWait.String()
	return cmd
}

// awaitHealth looks until the cluster is healthy or wait is over, and returns what it saw last.
func (c *cli) awaitHealth(ctx context.Context, wait time.Duration) (healthView, error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	until := time.Now().Add(wait)
	for {
		var v healthView
		err := c.request(ctx, func(ctx context.Context, cl *kgo.Client) (err error) {
			v, err = loadHealth(ctx, cl)
			return err
		})
		if left := time.Until(until); v.Healthy || left <= 0 || err != nil && exitCode(err) != exitUnreachable {
			return v, err
		}
		select {
		case <-time.After(healthEvery):
		case <-ctx.Done():
			return v, errInterrupted
		}
	}
}

func loadHealth(ctx context.Context, cl *kgo.Client) (healthView, error) {
	s, err := loadCluster(ctx, cl)
	if err != nil {
		return healthView{}, err
	}
	dirs, err := kadm.NewClient(cl).DescribeAllLogDirs(ctx, nil)
	// A broker that may not or cannot tell its disks is not unhealthy for that; nor is one that has gone down since it was listed.
	if _, some := errors.AsType[*kadm.ShardErrors](err); err != nil && !some && (ctx.Err() != nil || unreachable(err)) {
		return healthView{}, fmt.Errorf("look at the disks: %w", err)
	}
	return viewHealth(s, dirs), nil
}

func viewHealth(s clusterState, dirs kadm.DescribedAllLogDirs) healthView {
	v := healthView{Controller: s.Controller, Down: []int32{}, Leaderless: []string{}, UnderReplicated: []string{}, Damaged: []string{},
		Fenced: []fencedView{}, Disks: sickDisks(dirs)}
	for _, b := range s.brokers {
		if b.Alive {
			v.Brokers++
		} else {
			v.Down = append(v.Down, b.ID)
		}
	}
	for _, t := range s.Topics.Sorted() {
		for _, p := range t.Partitions.Sorted() {
			v.Partitions++
			v.add(&s, p)
		}
	}
	v.Healthy = v.Controller >= 0 && len(v.Down)+len(v.Leaderless)+len(v.UnderReplicated)+len(v.Damaged)+len(v.Fenced)+len(v.Disks) == 0
	return v
}

func (v *healthView) add(s *clusterState, p kadm.PartitionDetail) {
	name := partitionName(p.Topic, p.Partition)
	st := stateOf(s, p)
	switch {
	case st.damaged:
		v.Damaged = append(v.Damaged, name)
	case p.Leader < 0:
		v.Leaderless = append(v.Leaderless, name)
	case len(st.lacks)+len(st.fenced) > 0:
		v.UnderReplicated = append(v.UnderReplicated, name)
	}
	for _, id := range st.fenced {
		v.Fenced = append(v.Fenced, fencedView{name, id})
	}
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
	if len(v.Down) > 0 {
		fmt.Fprintf(w, "brokers that do not answer: %s\n", joinIDs(v.Down))
	}
	for _, list := range []struct {
		what  string
		names []string
	}{
		{"without a leader", v.Leaderless}, {"lacking replicas", v.UnderReplicated}, {"damaged, read-only", v.Damaged},
	} {
		if len(list.names) > 0 {
			fmt.Fprintf(w, "%s: %s\n", list.what, strings.Join(list.names, " "))
		}
	}
	for _, f := range v.Fenced {
		fmt.Fprintf(w, "fenced: %s on broker %d, whose log says why\n", f.Partition, f.Broker)
	}
	for _, d := range v.Disks {
		fmt.Fprintf(w, "disk of broker %d at %s: %s\n", d.Broker, d.Dir, d.Problem)
	}
}
