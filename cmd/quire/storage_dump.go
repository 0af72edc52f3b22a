package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/inspect"
)

// dump is one run of `storage dump`.
type dump struct {
	options inspect.KafkaOptions
	all     bool

	c     *cli
	items int // printed as JSON so far
}

func (d *dump) run(c *cli, paths []string) error {
	d.c = c
	if c.format == "yaml" {
		return usageError("", "quire storage dump prints table, json or jsonl, not yaml")
	}
	for _, path := range paths {
		if err := d.locked(path); err != nil {
			return err
		}
	}
	if c.format == "json" {
		defer func() { d.end() }()
	}
	for _, path := range paths {
		if err := d.path(path); err != nil {
			return fmt.Errorf("dump %s: %w", path, noSuchPath(path, err))
		}
	}
	return nil
}

// locked warns of a running broker. Without one it keeps brokers away until the process ends.
func (d *dump) locked(path string) error {
	_, err := lockStorage(path)
	if locked, ok := errors.AsType[*broker.LockedError](err); ok {
		fmt.Fprintf(d.c.err, "%s %v: what it is writing now may look torn\n", d.c.paint("33;1", "warning:"), locked)
		return nil
	}
	return err
}

func (d *dump) path(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		if _, ok := segment.ParseLogName(filepath.Base(path)); !ok {
			return fmt.Errorf("%s is no segment file: those are called by 20 digits and .log", filepath.Base(path))
		}
		return d.log(path)
	}
	names, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	logs, dirs := 0, 0
	for _, e := range names {
		full := filepath.Join(path, e.Name())
		if _, ok := segment.ParseLogName(e.Name()); ok {
			logs++
			err = d.log(full)
		} else if _, found := os.Stat(filepath.Join(full, "raft.entries")); e.IsDir() && found == nil {
			dirs++
			err = d.path(full)
		}
		if err != nil {
			return err
		}
	}
	if logs > 0 && d.all {
		return d.beside(path)
	}
	if logs+dirs == 0 {
		return errors.New("there is no partition in it")
	}
	return nil
}

// log prints a segment file.
func (d *dump) log(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if d.c.format == "table" {
		base, _ := segment.ParseLogName(path)
		fmt.Fprintf(d.c.out, "Dumping %s\n", path)
		return inspect.Kafka(d.c.out, f, info.Size(), filepath.Base(path), base, d.options)
	}
	torn, err := inspect.Views(f, info.Size(), path, d.options, func(v *inspect.BatchView) error { return d.item(v) })
	if err == nil && torn > 0 {
		err = d.item(tornView{"torn", path, info.Size() - torn, torn})
	}
	return err
}

type tornView struct {
	Type     string `json:"type"`
	File     string `json:"file"`
	Position int64  `json:"position"`
	Bytes    int64  `json:"bytes"`
}

// item prints v as JSON: one of a list, or a line.
func (d *dump) item(v any) error {
	if d.c.format == "json" {
		sep := ","
		if d.items == 0 {
			sep = "["
		}
		fmt.Fprintln(d.c.out, sep)
	}
	d.items++
	return writeJSON(d.c.out, v, "")
}

// end closes the list.
func (d *dump) end() {
	if d.items == 0 {
		fmt.Fprint(d.c.out, "[")
	}
	fmt.Fprintln(d.c.out, "]")
}

// missing drops the error of a file that need not be there.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
