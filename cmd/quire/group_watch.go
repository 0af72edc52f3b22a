package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watchGroups shows groups every interval: in place on a terminal, else by a line a group. It goes on while no broker answers.
func (c *cli) watchGroups(ctx context.Context, names []string, interval time.Duration) error {
	if interval < 100*time.Millisecond {
		return usageError("", "--interval %s: want 100ms or more", interval)
	}
	if c.format == "json" || c.format == "yaml" {
		return usageError("", "-w has no end, and so no %s: use -o jsonl, one line a group", c.format)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	cl, err := c.connect(ctx, kgo.WithHooks(&reconnecting{cli: c}))
	if err != nil {
		return err
	}
	defer cl.Close()
	a := newAges(cl)
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		if err := c.showGroups(ctx, a, names, interval); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return errInterrupted
		case <-ticks.C:
		}
	}
}

func (c *cli) showGroups(ctx context.Context, a *ages, names []string, interval time.Duration) error {
	loading, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	views, err := c.describeGroups(loading, a, names)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return errInterrupted
	case err != nil && (unreachable(err) || kerr.IsRetriable(err)):
		return nil // it passes; reconnecting says when the broker is gone
	case err != nil:
		return err
	case c.format == "jsonl":
		return c.answer(timed(views, now), nil)
	case c.width > 0:
		return c.redraw(views, now, interval)
	}
	return c.answer(views, func(w io.Writer) {
		for _, g := range views {
			fmt.Fprintf(w, "%s %s\n", now.UTC().Format(time.RFC3339), g.headline())
		}
	})
}

// redraw writes over what was there, all at once, so that it does not flicker.
func (c *cli) redraw(views []*groupView, now time.Time, interval time.Duration) error {
	var b bytes.Buffer
	b.WriteString("\x1b[H\x1b[2J")
	fmt.Fprintf(&b, "%s, every %s; Ctrl-C stops\n\n", now.Format(time.DateTime), interval)
	c.writeGroups(&b, views)
	if _, err := c.out.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// timedGroup is a group in a line of its own.
type timedGroup struct {
	Time time.Time `json:"time"`
	groupView
}

func timed(views []*groupView, now time.Time) []timedGroup {
	list := make([]timedGroup, len(views))
	for i, g := range views {
		list[i] = timedGroup{now.UTC().Truncate(time.Millisecond), *g}
	}
	return list
}
