package topicconfig

import "math"

// TimestampBounds say how far a record's timestamp may lie from the broker's clock, in ms. They do not count under LogAppendTime.
type TimestampBounds struct {
	Before int64 // the past; math.MaxInt64: no bound
	After  int64 // the future; math.MaxInt64: no bound
}

var timestampKeys = []Key{
	{
		Name: "message.timestamp.after.max.ms", Broker: "log.message.timestamp.after.max.ms", Type: Long, Default: "3600000",
		max: math.MaxInt64,
		Doc: "How many milliseconds a record's timestamp may lie ahead of the broker's clock; beyond it the batch gets" +
			" INVALID_TIMESTAMP. Does not count with LogAppendTime.",
		set: func(c *Config, n int64, _ string) { c.Timestamps.After = n },
	},
	{
		Name: "message.timestamp.before.max.ms", Broker: "log.message.timestamp.before.max.ms", Type: Long,
		Default: "9223372036854775807", max: math.MaxInt64,
		Doc: "How many milliseconds a record's timestamp may lie behind the broker's clock; beyond it the batch gets" +
			" INVALID_TIMESTAMP. A bound makes the broker decode batches. Does not count with LogAppendTime.",
		set: func(c *Config, n int64, _ string) { c.Timestamps.Before = n },
	},
}
