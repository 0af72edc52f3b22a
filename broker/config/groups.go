package config

import (
	"errors"
	"math"
	"strconv"
	"time"
)

// Groups is what the configuration says about consumer groups.
type Groups struct {
	JournalPartitions int32 // offsets.topic.num.partitions: of __consumer_offsets when it is made

	// Of the classic protocol.
	InitialDelay           time.Duration // group.initial.rebalance.delay.ms
	MinSession, MaxSession time.Duration // group.min.session.timeout.ms, group.max.session.timeout.ms
	MaxSize                int           // group.max.size

	// Of the new one (KIP-848).
	Session    time.Duration // group.consumer.session.timeout.ms
	Heartbeat  time.Duration // group.consumer.heartbeat.interval.ms
	Interval   time.Duration // group.consumer.assignment.interval.ms
	NewMaxSize int           // group.consumer.max.size
	Migration  string        // group.consumer.migration.policy, in lower case

	OffsetsRetention time.Duration // offsets.retention.minutes; 0: for ever
	OffsetsCheck     time.Duration // offsets.retention.check.interval.ms
	OffsetMetadata   int           // offset.metadata.max.bytes
}

// MigrationPolicies are the values of group.consumer.migration.policy.
var MigrationPolicies = []string{"bidirectional", "upgrade", "downgrade", "disabled"}

const longest = 30 * 24 * time.Hour // of the times that groups wait

// groupRows are the keys of consumer groups.
var groupRows = []row{
	plain("offsets.topic.num.partitions", "16",
		"Partitions of __consumer_offsets, which holds the consumer groups, when the first group makes it.",
		func(c *Config, v string) error { return setInt(&c.Groups.JournalPartitions, v, 1, 1000) }),
	groupTime("group.initial.rebalance.delay.ms", "0ms",
		"How long the first member of a group of the classic protocol waits for others, at most.", 0,
		func(g *Groups) *time.Duration { return &g.InitialDelay }),
	groupTime("group.min.session.timeout.ms", "6s", "Shortest session that a member of the classic protocol may ask for.", 1,
		func(g *Groups) *time.Duration { return &g.MinSession }),
	groupTime("group.max.session.timeout.ms", "30m", "Longest session that a member of the classic protocol may ask for.", 1,
		func(g *Groups) *time.Duration { return &g.MaxSession }),
	plain("group.max.size", "10000", "Members of a group of the classic protocol; more are refused.",
		func(c *Config, v string) error { return setInt(&c.Groups.MaxSize, v, 1, math.MaxInt32) }),
	groupTime("group.consumer.session.timeout.ms", "45s", "How long a member of the new protocol may be silent before it is removed.", 1,
		func(g *Groups) *time.Duration { return &g.Session }),
	groupTime("group.consumer.heartbeat.interval.ms", "5s", "How often members of the new protocol are told to send heartbeats.", 1,
		func(g *Groups) *time.Duration { return &g.Heartbeat }),
	groupTime("group.consumer.assignment.interval.ms", "100ms",
		"Least time between two assignments that are computed for a group of the new protocol.", 0,
		func(g *Groups) *time.Duration { return &g.Interval }),
	plain("group.consumer.max.size", "10000", "Members of a group of the new protocol; more are refused.",
		func(c *Config, v string) error { return setInt(&c.Groups.NewMaxSize, v, 1, math.MaxInt32) }),
	text("group.consumer.migration.policy", "bidirectional",
		"Whether a group with members changes its protocol: bidirectional, upgrade (to the new one), downgrade, disabled.",
		func(c *Config, v string) error { return setOneOf(&c.Groups.Migration, v, MigrationPolicies) }),
	plain("offsets.retention.minutes", "-1",
		"How long the offsets of a group without members are kept, in minutes. -1: until they are deleted.", setOffsetsRetention),
	groupTime("offsets.retention.check.interval.ms", "10m", "How often groups are looked at for offsets that have expired.", 1,
		func(g *Groups) *time.Duration { return &g.OffsetsCheck }),
	plain("offset.metadata.max.bytes", "4096", "Longest text that a client may commit with an offset.",
		func(c *Config, v string) error { return setInt(&c.Groups.OffsetMetadata, v, 0, 1<<16) }),
}

// groupTime is a key of a time in ms, at least low.
func groupTime(name, def, doc string, low time.Duration, of func(*Groups) *time.Duration) row {
	return text(name, def, doc, func(c *Config, v string) error {
		return setDuration(of(&c.Groups), v, "ms", low*time.Millisecond, longest)
	})
}

// groupValues says how a Config spells the keys of groups.
var groupValues = map[string]func(g *Groups) string{
	"offsets.topic.num.partitions":          func(g *Groups) string { return decimal(g.JournalPartitions) },
	"group.initial.rebalance.delay.ms":      func(g *Groups) string { return spellMs(g.InitialDelay) },
	"group.min.session.timeout.ms":          func(g *Groups) string { return spellMs(g.MinSession) },
	"group.max.session.timeout.ms":          func(g *Groups) string { return spellMs(g.MaxSession) },
	"group.max.size":                        func(g *Groups) string { return decimal(g.MaxSize) },
	"group.consumer.session.timeout.ms":     func(g *Groups) string { return spellMs(g.Session) },
	"group.consumer.heartbeat.interval.ms":  func(g *Groups) string { return spellMs(g.Heartbeat) },
	"group.consumer.assignment.interval.ms": func(g *Groups) string { return spellMs(g.Interval) },
	"group.consumer.max.size":               func(g *Groups) string { return decimal(g.NewMaxSize) },
	"group.consumer.migration.policy":       func(g *Groups) string { return g.Migration },
	"offsets.retention.minutes":             spellOffsetsRetention,
	"offsets.retention.check.interval.ms":   func(g *Groups) string { return spellMs(g.OffsetsCheck) },
	"offset.metadata.max.bytes":             func(g *Groups) string { return decimal(g.OffsetMetadata) },
}

func spellMs(d time.Duration) string { return decimal(d.Milliseconds()) }

const forEver = "-1"

func setOffsetsRetention(c *Config, v string) error {
	if v == forEver {
		c.Groups.OffsetsRetention = 0
		return nil
	}
	err := setDuration(&c.Groups.OffsetsRetention, v, "m", time.Minute, 100*365*24*time.Hour)
	if err != nil {
		return errors.New(`must be minutes up to 100 years, a time like "7d", or -1 for ever`)
	}
	return nil
}

func spellOffsetsRetention(g *Groups) string {
	if g.OffsetsRetention == 0 {
		return forEver
	}
	return strconv.FormatInt(int64(g.OffsetsRetention/time.Minute), 10)
}

// check holds the values of groups against each other.
func (g *Groups) check() []error {
	var faults []error
	if g.MinSession > g.MaxSession {
		faults = append(faults, errors.New("group.min.session.timeout.ms is above group.max.session.timeout.ms: nobody could join"))
	}
	if g.Heartbeat >= g.Session {
		faults = append(faults, errors.New("group.consumer.heartbeat.interval.ms is not below group.consumer.session.timeout.ms: "+
			"every member would be removed"))
	}
	return faults
}
