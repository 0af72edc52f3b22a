package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c *cli) clusterCommand() *cobra.Command {
	cmd := group("cluster", "Show the cluster, whether it is well, and move replicas in it", `  quire cluster info
  quire cluster health --wait && echo well
  quire cluster partitions --broken
  quire cluster move orders --to 1,2,3
  quire cluster drain 3`, c.clusterInfoCommand(), c.clusterHealthCommand(), c.clusterPartitionsCommand(), c.clusterMoveCommand(),
		c.clusterDrainCommand(), c.clusterUnregisterCommand())
	c.clientFlags(cmd)
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

type brokerView struct {
	ID       int32  `json:"id"`
	Address  string `json:"address"`
	Rack     string `json:"rack,omitempty"`
	Alive    bool   `json:"alive"`
	Leaders  int    `json:"leaders"`  // partitions that it leads
	Replicas int    `json:"replicas"` // partitions of which it has a replica, or is to have one
}

type clusterView struct {
	ClusterID  string       `json:"cluster_id"`
	Controller int32        `json:"controller"` // -1: none
	Topics     int          `json:"topics"`
	Partitions int          `json:"partitions"`
	Brokers    []brokerView `json:"brokers"` // also those that do not answer, where the cluster tells of them
}

func (c *cli) clusterInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Show the cluster's id, brokers and controller",
		Long:  "LEADERS are the partitions that a broker leads, REPLICAS those of which it has a replica. DOWN is who does not answer the others.",
		Example: `  quire cluster info
  quire cluster info -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.request(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				s, err := loadCluster(ctx, cl)
				if err != nil {
					return err
				}
				v := s.view()
				return c.answer(v, func(w io.Writer) { c.writeCluster(w, v) })
			})
		},
	}
}

// clusterState is what the cluster says of itself.
type clusterState struct {
	kadm.Metadata
	brokers []brokerView // by id, those that are down too
}

// loadCluster asks for topics and brokers. Brokers that are down are told of by Quire and Kafka 4 (KIP-1073); elsewhere only those
// that are up are known.
func loadCluster(ctx context.Context, cl *kgo.Client) (clusterState, error) {
	md, err := kadm.NewClient(cl).Metadata(ctx)
	if err != nil {
		return clusterState{}, fmt.Errorf("load the cluster: %w", err)
	}
	s := clusterState{Metadata: md}
	for _, b := range md.Brokers {
		view := brokerView{ID: b.NodeID, Address: address(b), Alive: true}
		if b.Rack != nil {
			view.Rack = *b.Rack
		}
		s.brokers = append(s.brokers, view)
	}
	s.brokers = append(s.brokers, downBrokers(ctx, cl)...)
	s.count()
	return s, nil
}

// downBrokers are those that are registered and do not answer; none where nobody tells.
func downBrokers(ctx context.Context, cl *kgo.Client) (down []brokerView) {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType, req.IncludeFencedBrokers = 1, true
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || resp.ErrorCode != 0 {
		return nil
	}
	for _, b := range resp.Brokers {
		if !b.IsFenced {
			continue
		}
		view := brokerView{ID: b.NodeID, Address: fmt.Sprintf("%s:%d", b.Host, b.Port)}
		if b.Rack != nil {
			view.Rack = *b.Rack
		}
		down = append(down, view)
	}
	return down
}

// count completes the brokers by what the partitions say; a broker that only they name is down.
func (s *clusterState) count() {
	at := func(id int32) *brokerView {
		for i := range s.brokers {
			if s.brokers[i].ID == id {
				return &s.brokers[i]
			}
		}
		s.brokers = append(s.brokers, brokerView{ID: id})
		return &s.brokers[len(s.brokers)-1]
	}
	for _, t := range s.Topics {
		for _, p := range t.Partitions {
			if p.Leader >= 0 {
				at(p.Leader).Leaders++
			}
			for _, id := range p.Replicas {
				at(id).Replicas++
			}
		}
	}
	slices.SortFunc(s.brokers, func(a, b brokerView) int { return int(a.ID) - int(b.ID) })
}

// broker is one of the cluster's brokers; nil: there is none of that id.
func (s *clusterState) broker(id int32) *brokerView {
	for i := range s.brokers {
		if s.brokers[i].ID == id {
			return &s.brokers[i]
		}
	}
	return nil
}

func (s *clusterState) alive(id int32) bool {
	b := s.broker(id)
	return b != nil && b.Alive
}

func (s *clusterState) view() clusterView {
	v := clusterView{ClusterID: s.Cluster, Controller: s.Controller, Topics: len(s.Topics), Brokers: s.brokers}
	if v.Brokers == nil {
		v.Brokers = []brokerView{}
	}
	for _, t := range s.Topics {
		v.Partitions += len(t.Partitions)
	}
	return v
}

func address(b kadm.BrokerDetail) string { return fmt.Sprintf("%s:%d", b.Host, b.Port) }

func (c *cli) writeCluster(w io.Writer, v clusterView) {
	fmt.Fprintf(w, "cluster %s: %s, %s, %s\n\n", v.ClusterID, plural(len(v.Brokers), "broker"), plural(v.Topics, "topic"),
		plural(v.Partitions, "partition"))
	t := table{titles: []string{"BROKER>", "ADDRESS", "RACK", "LEADERS>", "REPLICAS>", ""}}
	for _, b := range v.Brokers {
		role := ""
		switch {
		case !b.Alive:
			role = "DOWN"
		case b.ID == v.Controller:
			role = "controller"
		}
		t.add(b.ID, b.Address, b.Rack, b.Leaders, b.Replicas, role)
	}
	t.write(w, c.width)
}
