package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/segment"
)

func (c *cli) storageVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check every byte of a data directory against its checksums, and its files against each other",
		Long: "One line a partition; below it the file and the byte of whatever is wrong. What a crash leaves and the next start puts in\n" +
			"order is noted, not counted. Exit 1 when something is damaged. No broker can start on DIR meanwhile.",
		Example: `  quire storage verify quire-data
  quire storage verify /var/lib/quire -o json`,
		Args: wantArgs(1, 1, "one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			v := verification{c: c, dir: args[0], now: time.Now}
			release, err := v.begin()
			if err != nil {
				return err
			}
			defer release()
			err = broker.ExamineDir(ctx, v.dir, broker.ExamineOptions{Progress: v.progress, Each: v.each})
			v.clear()
			if err != nil {
				return noSuchPath(v.dir, err)
			}
			return v.end()
		},
	}
}

// verification is one run of `storage verify`.
type verification struct {
	c   *cli
	dir string
	now func() time.Time

	found      []broker.Examined
	partitions int
	faults     int
	done       int64 // bytes
	total      int64
	told       time.Time // of the progress line; zero: there is none
	started    time.Time
}

// begin keeps brokers away and counts what is to be read.
func (v *verification) begin() (release func(), err error) {
	if _, err := os.Stat(v.dir); err != nil {
		return nil, noSuchPath(v.dir, err)
	}
	if _, err := os.Stat(filepath.Join(v.dir, "quire.meta")); err != nil {
		if _, err := os.Stat(filepath.Join(v.dir, "raft.entries")); err == nil {
			return nil, withHint(fmt.Errorf("%s is one partition of a data directory", v.dir), "quire storage verify %s",
				shellQuote(filepath.Dir(filepath.Clean(v.dir))))
		}
	}
	release, err = lockStorage(v.dir)
	if locked, ok := errors.AsType[*broker.LockedError](err); ok && locked.PID != 0 {
		return nil, withHint(err, "stop it with kill %d, or verify a copy", locked.PID)
	}
	if err != nil {
		return nil, err
	}
	v.started = v.now()
	if !v.c.errTTY {
		return release, nil
	}
	err = filepath.WalkDir(v.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			v.total += info.Size()
		}
		return err
	})
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// progress tells how far it is after a second, and then every fifth of one.
func (v *verification) progress(bytes int64) {
	v.done += bytes
	now := v.now()
	if !v.c.errTTY || now.Sub(v.started) < time.Second || now.Sub(v.told) < time.Second/5 {
		return
	}
	v.told = now
	fmt.Fprintf(v.c.err, "\r\x1b[Kverifying: %d of %d MiB, %s", v.done>>20, v.total>>20, plural(v.partitions, "partition"))
}

// clear removes the progress line.
func (v *verification) clear() {
	if !v.told.IsZero() {
		fmt.Fprint(v.c.err, "\r\x1b[K")
		v.told = time.Time{}
	}
}

// each takes one partition's result, or at last the directory's own.
func (v *verification) each(e broker.Examined) {
	if e.Faults == nil {
		e.Faults = []segment.Fault{}
	}
	if e.Notes == nil {
		e.Notes = []segment.Fault{}
	}
	v.found = append(v.found, e)
	v.faults += len(e.Faults)
	if e.Partition != "" {
		v.partitions++
	}
	if v.c.format != "table" {
		return
	}
	v.clear()
	v.line(e)
	for _, f := range e.Faults {
		fmt.Fprintf(v.c.out, "  %s\n", f)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(v.c.out, "  note: %s\n", n)
	}
}

func (v *verification) line(e broker.Examined) {
	state := "ok"
	switch {
	case len(e.Faults) > 0:
		state = "DAMAGED"
	case e.Partition != "" && !e.Clean:
		state = "ok (not closed cleanly)"
	}
	if e.Partition == "" {
		fmt.Fprintf(v.c.out, "quire.meta, votes.db, controller: %s\n", state)
		return
	}
	fmt.Fprintf(v.c.out, "%s: %s, offsets %d to %d, %s, %d batches, %s, %d bytes\n", e.Partition, state, e.Start, e.End,
		plural(e.Segments, "segment"), e.Batches, plural(e.Records, "record"), e.Bytes)
}

// end prints the answer and fails when there was damage.
func (v *verification) end() error {
	err := v.c.answer(v.found, func(w io.Writer) {
		if v.faults == 0 {
			fmt.Fprintf(w, "%s: nothing is damaged\n", plural(v.partitions, "partition"))
		}
	})
	if err != nil || v.faults == 0 {
		return err
	}
	return fmt.Errorf("%s: %s found; replicas elsewhere or a backup may have what is lost here", v.dir, plural(v.faults, "fault"))
}
