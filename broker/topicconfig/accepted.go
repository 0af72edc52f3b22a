package topicconfig

import (
	"fmt"
	"math"
)

// flushKeys ask for no more than what durability does for the whole broker.
var flushKeys = []Key{
	{
		Name: "flush.messages", Broker: "log.flush.interval.messages", Type: Long, Default: "9223372036854775807", min: 1, max: math.MaxInt64,
		Doc: "After how many records Kafka flushes. No effect of its own: with durability fsync every answer comes after a flush," +
			" and the other modes flush the whole broker by flush-interval or leave it to the system.",
	},
	{
		Name: "flush.ms", Broker: "log.flush.interval.ms", Type: Long, Default: "9223372036854775807", max: math.MaxInt64,
		Doc: "After how many milliseconds Kafka flushes. No effect of its own: with durability fsync every answer comes after a flush," +
			" and the other modes flush the whole broker by flush-interval or leave it to the system.",
	},
	{
		Name: "unclean.leader.election.enable", Broker: "unclean.leader.election.enable", Type: Boolean, Default: "false",
		Doc:   "Only false: a Raft group never elects a replica that lacks acknowledged records.",
		oneOf: []string{"false"},
	},
}

// compactionLags are kept only to be held against each other.
type compactionLags struct{ min, max int64 }

func (l *compactionLags) check() error {
	if l.min > l.max {
		return fmt.Errorf("%w: conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", ErrInvalid, l.min, l.max)
	}
	return nil
}

const notCompacting = " No effect yet: this version does not compact."

// compactionKeys take effect with compaction.
var compactionKeys = []Key{
	{
		Name: "delete.retention.ms", Broker: "log.cleaner.delete.retention.ms", Type: Long, Default: "86400000", max: math.MaxInt64,
		Doc: "How many milliseconds a compacted topic keeps its tombstones." + notCompacting,
	},
	{
		Name: "max.compaction.lag.ms", Broker: "log.cleaner.max.compaction.lag.ms", Type: Long, Default: "9223372036854775807",
		min: 1, max: math.MaxInt64,
		Doc: "The most milliseconds that a record waits for compaction." + notCompacting,
		set: func(c *Config, n int64, _ string) { c.lags.max = n },
	},
	{
		Name: "min.cleanable.dirty.ratio", Broker: "log.cleaner.min.cleanable.ratio", Type: Double, Default: "0.5", max: 1,
		Doc: "The part of a log, from 0 to 1, that has to be uncompacted before it is compacted." + notCompacting,
	},
	{
		Name: "min.compaction.lag.ms", Broker: "log.cleaner.min.compaction.lag.ms", Type: Long, Default: "0", max: math.MaxInt64,
		Doc: "The least milliseconds that a record stays uncompacted." + notCompacting,
		set: func(c *Config, n int64, _ string) { c.lags.min = n },
	},
}
