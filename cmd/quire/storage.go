package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/quirelog/quire/broker"
)

func (c *cli) storageCommand() *cobra.Command {
	cmd := group("storage", "Look at a data directory while no broker runs on it; nothing is written",
		`  quire storage verify quire-data
  quire storage dump quire-data/orders-0 --records`,
		c.storageDumpCommand(), c.storageVerifyCommand())
	c.outputFlag(cmd)
	cmd.PersistentPreRunE = c.checkOutput
	return cmd
}

func (c *cli) storageDumpCommand() *cobra.Command {
	var d dump
	cmd := &cobra.Command{
		Use:   "dump PATH...",
		Short: "Print the batches of a data directory, a partition's directory or a segment file",
		Long: "The lines are those of kafka-dump-log on the same file, with --records those of its --deep-iteration, with --data\n" +
			"those of its --print-data-log. Where a broker is running, the end may be torn: it says so on stderr.",
		Example: `  quire storage dump quire-data/orders-0 --records
  quire storage dump quire-data/orders-0/00000000000000000000.log --data
  quire storage dump quire-data --all -o jsonl`,
		Args: wantArgs(1, -1, "a PATH"),
		RunE: func(_ *cobra.Command, paths []string) error { return d.run(c, paths) },
	}
	cmd.Flags().BoolVar(&d.options.Records, "records", false, "print the records too")
	cmd.Flags().BoolVar(&d.options.Data, "data", false, "print the records with their keys and values")
	cmd.Flags().BoolVar(&d.all, "all", false, "print indexes, Raft's own entries, checkpoint and partition.meta too")
	return cmd
}

// lockStorage keeps brokers off the data directory that path is, or lies in, until release is called.
func lockStorage(path string) (release func(), err error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	for range 3 { // a segment file, its partition's directory, the data directory
		if _, err := os.Stat(filepath.Join(abs, "quire.lock")); err == nil {
			unlock, err := broker.LockShared(abs)
			if err != nil {
				return nil, err
			}
			return func() { _ = unlock() }, nil // it was only read
		}
		abs = filepath.Dir(abs)
	}
	return func() {}, nil
}

// noSuchPath is the error for a path that is not there.
func noSuchPath(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return withHint(fmt.Errorf("there is no %s", path), "ls %s", shellQuote(filepath.Dir(path)))
	}
	return err
}
