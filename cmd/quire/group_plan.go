package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// seekTo is where group seek goes: to a bound of the log, so many records from where the group is, or to another group's offsets.
type seekTo struct {
	bound
	shift bool
	group string
}

// parseSeek parses --to. Other than in an offset of consume, +N and -N count from where the group is.
func parseSeek(f seekFlags) (seekTo, error) {
	if (f.to == "") == (f.toGroup == "") {
		return seekTo{}, errors.New("say where: either --to or --to-group")
	}
	if f.toGroup != "" {
		return seekTo{group: f.toGroup}, nil
	}
	if b, ok := parsePosition(f.to); ok {
		switch b.kind {
		case afterStart:
			return seekTo{bound: bound{n: b.n}, shift: true}, nil
		case beforeEnd:
			return seekTo{bound: bound{n: -b.n}, shift: true}, nil
		}
		return seekTo{bound: b}, nil
	}
	at, isTime := strings.CutPrefix(f.to, "@")
	if isTime || strings.HasPrefix(f.to, "-") {
		if b, ok := parseTime(at, time.Now()); ok {
			return seekTo{bound: b}, nil
		}
		return seekTo{}, fmt.Errorf("--to: %w", badTime(at))
	}
	return seekTo{}, fmt.Errorf("--to %q: want start, end, an offset, +N, -N, @TIME or a time ago such as -2h", f.to)
}

// seekArgs is the command again, for a hint.
func seekArgs(name string, args []string, f seekFlags) string {
	all := append([]string{"group", "seek", name}, args...)
	if f.toGroup != "" {
		return quoted(append(all, "--to-group", f.toGroup))
	}
	return quoted(append(all, "--to", f.to))
}

// move is one partition in the answer of group seek. Numbers are -1 where there is none.
type move struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Before    int64  `json:"before"`
	After     int64  `json:"after"`
	Lag       int64  `json:"lag"` // after
	Note      string `json:"note,omitempty"`
	Moved     bool   `json:"moved"`
}

// seekPlan is what group seek does.
type seekPlan struct {
	group string
	to    seekTo
	moves []move
}

func (s *seekPlan) write(w io.Writer, width int) {
	t := table{titles: []string{"TOPIC", "PARTITION>", "BEFORE>", "AFTER>", "LAG>", ""}}
	for _, m := range s.moves {
		t.add(m.Topic, m.Partition, known(m.Before), known(m.After), known(m.Lag), m.Note)
	}
	t.write(w, width)
}

// planSeek finds out what moves, and refuses what cannot be done.
func (c *cli) planSeek(ctx context.Context, adm *kadm.Client, plan *seekPlan, only kadm.TopicsSet, f seekFlags) error {
	g, err := c.loadGroup(ctx, adm, plan.group)
	if errors.Is(err, kerr.GroupIDNotFound) && (len(only) > 0 || f.toGroup != "") {
		g, err = newGroupView(plan.group, "classic", "", "", kadm.BrokerDetail{}), nil // the commit makes it
	}
	if err != nil {
		return err
	}
	if err := c.refuseActive(g); err != nil && !f.dryRun {
		return err
	}
	before := g.offsets()
	other := before
	if f.toGroup != "" {
		from, err := c.loadGroup(ctx, adm, f.toGroup)
		if err != nil {
			return err
		}
		other = from.offsets()
	}
	set, err := c.seekPartitions(ctx, adm, plan, only, other)
	if err != nil {
		return err
	}
	return plan.resolve(ctx, adm, set, before, other)
}

// offsets are what the group has committed.
func (g *groupView) offsets() map[kadm.Partition]int64 {
	all := make(map[kadm.Partition]int64)
	for _, p := range g.Partitions {
		if p.Committed >= 0 {
			all[kadm.Partition{Topic: p.Topic, Partition: p.Partition}] = p.Committed
		}
	}
	return all
}

// seekPartitions says which partitions move: those named, or those there is an offset of.
func (c *cli) seekPartitions(ctx context.Context, adm *kadm.Client, plan *seekPlan, only kadm.TopicsSet,
	offsets map[kadm.Partition]int64) (kadm.TopicsSet, error) {
	set := kadm.TopicsSet{}
	if len(only) == 0 {
		for p := range offsets {
			set.Add(p.Topic, p.Partition)
		}
		if len(set) == 0 {
			return nil, withHint(fmt.Errorf("group %s has no offsets to move", cmp.Or(plan.to.group, plan.group)),
				"name topics: %s", c.command(fmt.Sprintf("group seek %s TOPIC --to start", shellQuote(plan.group))))
		}
		return set, nil
	}
	topics, err := c.topicDetails(ctx, adm, only.Topics()...)
	if err != nil {
		return nil, err
	}
	for topic, some := range only {
		if len(some) == 0 {
			set.Add(topic, topics[topic].Partitions.Numbers()...)
		}
		for p := range some {
			if err := checkPartitions(c, kadm.TopicDetails{topic: topics[topic]}, []int32{p}); err != nil {
				return nil, err
			}
			set.Add(topic, p)
		}
	}
	return set, nil
}

// resolve works out the offsets. An offset outside the log goes to its nearest end.
func (s *seekPlan) resolve(ctx context.Context, adm *kadm.Client, set kadm.TopicsSet, before, other map[kadm.Partition]int64) error {
	ends, err := loadEnds(ctx, adm, set.Topics()...)
	if err != nil {
		return err
	}
	var timed kadm.ListedOffsets
	if s.to.kind == atTime {
		if timed, err = adm.ListOffsetsAfterMilli(ctx, s.to.n, set.Topics()...); err != nil {
			return fmt.Errorf("list offsets by time: %w", err)
		}
	}
	var lacking []kadm.Partition
	for _, t := range set.Sorted() {
		for _, n := range t.Partitions {
			p := kadm.Partition{Topic: t.Topic, Partition: n}
			start, end := ends.start(t.Topic, n), ends.end(t.Topic, n)
			from, ok := other[p]
			switch {
			case start < 0 || end < 0 || s.to.kind == atTime && offsetOf(timed, t.Topic, n) < 0:
				return fmt.Errorf("the log of %s-%d does not tell where it ends: %w", t.Topic, n, s.listError(p, ends, timed))
			case !ok && (s.to.shift || s.to.group != ""):
				lacking = append(lacking, p)
				continue
			}
			m := move{Topic: t.Topic, Partition: n, Before: -1}
			if at, ok := before[p]; ok {
				m.Before = at
			}
			m.place(s.to.offset(from, start, end, offsetOf(timed, t.Topic, n)), start, end)
			s.moves = append(s.moves, m)
		}
	}
	if len(lacking) > 0 {
		return fmt.Errorf("group %s has no offset of %s", cmp.Or(s.to.group, s.group), topicPartitionNames(lacking))
	}
	return nil
}

// listError is why the offsets of p are not known.
func (s *seekPlan) listError(p kadm.Partition, ends logEnds, timed kadm.ListedOffsets) error {
	for _, l := range []kadm.ListedOffsets{ends.starts, ends.ends, timed} {
		if o, ok := l.Lookup(p.Topic, p.Partition); ok && o.Err != nil {
			return brokerError(o.Err, "")
		}
	}
	return brokerError(kerr.UnknownTopicOrPartition, "")
}

// offset is where s is in a partition; from is the offset that a group has of it.
func (s seekTo) offset(from, start, end, timed int64) int64 {
	switch {
	case s.group != "":
		return from
	case s.shift:
		return from + s.n
	}
	return s.resolve(start, end, timed)
}

// place sets where m goes, within the log.
func (m *move) place(to, start, end int64) {
	m.After = min(max(to, start), end)
	m.Lag = end - m.After
	switch {
	case to < start:
		m.Note = fmt.Sprintf("offset %d is not in the log: its start instead", to)
	case to > end:
		m.Note = fmt.Sprintf("offset %d is not in the log: its end instead", to)
	}
}
