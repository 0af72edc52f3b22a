package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (c *cli) clusterCommand() *cobra.Command {
	cmd := group("cluster", "Show the cluster and whether it is well", `  quire cluster info
  quire cluster health && echo well`, c.clusterInfoCommand(), c.clusterHealthCommand())
	c.clientFlags(cmd)
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

type brokerView struct {
	ID      int32  `json:"id"`
	Address string `json:"address"`
	Rack    string `json:"rack,omitempty"`
}

type clusterView struct {
	ClusterID  string       `json:"cluster_id"`
	Controller int32        `json:"controller"` // -1: none
	Topics     int          `json:"topics"`
	Partitions int          `json:"partitions"`
	Brokers    []brokerView `json:"brokers"`
}

func (c *cli) clusterInfoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "info",
		Short: "Show the cluster's id, brokers and controller",
		Example: `  quire cluster info
  quire cluster info -o json`,
		Args: wantArgs(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				md, err := adm.Metadata(ctx)
				if err != nil {
					return fmt.Errorf("load the cluster: %w", err)
				}
				v := viewCluster(md)
				return c.answer(v, func(w io.Writer) { c.writeCluster(w, v) })
			})
		},
	}
}

func viewCluster(md kadm.Metadata) clusterView {
	v := clusterView{ClusterID: md.Cluster, Controller: md.Controller, Topics: len(md.Topics), Brokers: []brokerView{}}
	for _, t := range md.Topics {
		v.Partitions += len(t.Partitions)
	}
	for _, b := range md.Brokers {
		view := brokerView{ID: b.NodeID, Address: address(b)}
		if b.Rack != nil {
			view.Rack = *b.Rack
		}
		v.Brokers = append(v.Brokers, view)
	}
	return v
}

func address(b kadm.BrokerDetail) string { return fmt.Sprintf("%s:%d", b.Host, b.Port) }

func (c *cli) writeCluster(w io.Writer, v clusterView) {
	fmt.Fprintf(w, "cluster %s: %s, %s, %s\n\n", v.ClusterID, plural(len(v.Brokers), "broker"), plural(v.Topics, "topic"),
		plural(v.Partitions, "partition"))
	t := table{titles: []string{"BROKER>", "ADDRESS", "RACK", ""}}
	for _, b := range v.Brokers {
		role := ""
		if b.ID == v.Controller {
			role = "controller"
		}
		t.add(b.ID, b.Address, b.Rack, role)
	}
	t.write(w, c.width)
}
