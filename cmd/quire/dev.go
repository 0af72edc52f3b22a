package main

import (
	"context"
	"fmt"
	"os"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/spf13/cobra"
)

func (c *cli) devCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a broker on a throw-away directory",
		Long: "As serve, with the data in a new directory in $TMPDIR that is removed on exit. It prints three commands to try in\n" +
			"a second terminal.",
		Example: `  quire dev
  quire dev --brokers 3                                   # a cluster, each broker a process
  quire dev --kafka-addr 127.0.0.1:0 --http-addr ''      # on a free port, without admin HTTP`,
		Args: wantArgs(0, 0, "no arguments"),
	}
	given := configFlags(cmd.Flags(), "data-dir")
	brokers := 1
	cmd.Flags().IntVar(&brokers, "brokers", 1, fmt.Sprintf("`number` of brokers, 1 to %d: several form a cluster", maxDevBrokers))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		flags := given()
		switch {
		case brokers < 1 || brokers > maxDevBrokers:
			return usageError("quire dev --brokers 3", "--brokers %d: want 1 to %d", brokers, maxDevBrokers)
		case brokers > 1:
			return c.devCluster(cmd.Context(), flags, brokers)
		}
		if _, set := flags["rpc-addr"]; !set {
			flags["rpc-addr"] = "127.0.0.1:0" // nobody joins it, so it takes nobody's port
		}
		return c.dev(cmd.Context(), flags, typed(cmd.Flags()))
	}
	return cmd
}

// dev runs a broker whose directory goes with it, unless the process is killed.
func (c *cli) dev(ctx context.Context, given map[string]string, typed []string) error {
	cfg, err := c.loadConfig(config.Source{Env: c.env, Flags: given})
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "quire-dev-")
	if err != nil {
		return withHint(fmt.Errorf("make a throw-away directory: %w", err), "name a directory that can be written: TMPDIR=. %s dev",
			shellQuote(c.self))
	}
	cfg.DataDir = dir
	return c.serve(ctx, cfg, running{
		command: "dev", flags: typed,
		leave: func() error { return os.RemoveAll(dir) },
		ready: func(b *broker.Broker) {
			fmt.Fprintf(c.err, "%s is removed on exit\n\nIn a second terminal:\n", dir)
			for _, line := range c.firstCommands(dialable(b.Addr())) {
				fmt.Fprintln(c.out, line)
			}
		},
	})
}

// firstCommands are the three lines to paste into a second terminal.
func (c *cli) firstCommands(addr string) []string {
	self, at := shellQuote(c.self), ""
	if addr != defaultBroker {
		at = " -b " + addr
	}
	return []string{
		self + " topic create orders -p 6" + at,
		"echo 'a coffee' | " + self + " produce orders -k user_123" + at,
		self + " consume orders" + at,
	}
}
