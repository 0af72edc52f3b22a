package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c *cli) clusterDrainCommand() *cobra.Command {
	var f moveFlags
	leaders := false
	cmd := &cobra.Command{
		Use:   "drain BROKER",
		Short: "Move all replicas, or only the leaderships, off a broker",
		Long: "The other brokers that answer get the replicas, evenly and by their racks. With --leaders the replicas stay and other\n" +
			"brokers lead: `cluster move --even` takes that back. A broker that is told to stop hands over what it leads by itself.\n\n" + movesGoOn,
		Example: `  quire cluster drain 3 --dry-run
  quire cluster drain 3
  quire cluster drain 3 --leaders`,
		Args: wantArgs(1, 1, "the id of one BROKER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := brokerID(args[0])
			if err != nil {
				return err
			}
			f.goal = goal{from: id}
			m := migration{c: c, flags: f, again: "cluster drain " + args[0], choose: func(l *layout) ([]spot, []moveView, error) {
				moves, err := l.plan(l.all(), f.goal)
				return l.on(id), moves, err
			}}
			if leaders {
				return c.drainLeaders(cmd.Context(), m, id)
			}
			if err := c.move(cmd.Context(), m); err != nil || f.dryRun || f.noWait {
				return err
			}
			fmt.Fprintf(c.err, "broker %d has no replicas; when it is stopped for good: %s\n", id, c.command(fmt.Sprintf("cluster unregister %d", id)))
			return nil
		},
	}
	cmd.Flags().BoolVar(&leaders, "leaders", false, "only hand over what it leads")
	f.add(cmd)
	return cmd
}

func brokerID(s string) (int32, error) {
	id, err := strconv.ParseInt(s, 10, 32)
	if err != nil || id < 0 {
		return 0, usageError("quire cluster info", "%q is no broker's id: want a whole number", s)
	}
	return int32(id), nil
}

// on are the partitions of which a broker has a replica, or is to have one.
func (l *layout) on(broker int32) (places []spot) {
	for _, p := range l.all() {
		for _, id := range l.partition(p).Replicas {
			if id == broker {
				places = append(places, p)
			}
		}
	}
	return places
}

// drainLeaders makes others the preferred leaders, and has them elected.
func (c *cli) drainLeaders(ctx context.Context, m migration, id int32) error {
	var led, alone []spot
	m.again += " --leaders"
	m.choose = func(l *layout) (chosen []spot, moves []moveView, err error) {
		if err := l.check(goal{from: id}); err != nil {
			return nil, nil, err
		}
		moves, alone = l.planLeaders(id)
		chosen = l.on(id)
		for _, p := range chosen {
			if l.Topics[p.topic].Partitions[p.partition].Leader == id {
				led = append(led, p)
			}
		}
		return chosen, moves, nil
	}
	m.after = func(ctx context.Context, cl *kgo.Client) error {
		led = slices.DeleteFunc(led, func(p spot) bool { return slices.Contains(alone, p) })
		return electPreferred(ctx, kadm.NewClient(cl), led)
	}
	if err := c.move(ctx, m); err != nil || m.flags.dryRun {
		return err
	}
	if len(alone) > 0 {
		return withHint(fmt.Errorf("broker %d goes on leading %s that no other live broker has: %s and so on", id,
			plural(len(alone), "partition"), alone[0]), "%s", c.command(fmt.Sprintf("cluster drain %d", id)))
	}
	return nil
}

func (c *cli) clusterUnregisterCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "unregister BROKER",
		Short: "Forget a broker that is gone for good",
		Long: "It must be stopped and have no replicas: `cluster drain` moves them away, also from a broker that is dead. Until then\n" +
			"the cluster waits for it, and is not healthy.",
		Example: `  quire cluster drain 3 && quire cluster unregister 3`,
		Args:    wantArgs(1, 1, "the id of one BROKER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := brokerID(args[0])
			if err != nil {
				return err
			}
			return c.request(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return c.unregister(ctx, cl, id) })
		},
	}
}

func (c *cli) unregister(ctx context.Context, cl *kgo.Client, id int32) error {
	s, err := loadCluster(ctx, cl)
	if err != nil {
		return err
	}
	b := s.broker(id)
	if b == nil {
		return withHint(fmt.Errorf("there is no broker %d", id), "%s", c.command("cluster info"))
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("unregister broker %d: %w", id, err)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		message, next := "", "cluster info"
		if resp.ErrorMessage != nil {
			message = *resp.ErrorMessage
		}
		if b.Replicas > 0 {
			next = fmt.Sprintf("cluster drain %d", id)
		}
		return withHint(fmt.Errorf("unregister broker %d: %w", id, brokerError(err, message)), "%s", c.command(next))
	}
	fmt.Fprintf(c.out, "broker %d is forgotten\n", id)
	return nil
}
