// Package topicconfig is the table of topic configuration keys: type, default, validation and documentation. A key that has no
// effect yet is in the table only where Kafka's tools set it often, and its documentation says so.
package topicconfig

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quirelog/quire/segment"
)

// Type is a key's type as DescribeConfigs names it (KIP-569).
type Type int8

// The types in use; the values are the protocol's.
const (
	String Type = 2
	Int    Type = 3
	Long   Type = 5

	Boolean Type = 1
	Double  Type = 6
	List    Type = 7
)

// String is Kafka's name of the type.
func (t Type) String() string {
	switch t {
	case Int:
		return "INT"
	case Long:
		return "LONG"
	case Boolean:
		return "BOOLEAN"
	case Double:
		return "DOUBLE"
	case List:
		return "LIST"
	default:
		return "STRING"
	}
}

// ErrInvalid is wrapped by every error of this package: an unknown key or a value that is not allowed.
var ErrInvalid = errors.New("invalid topic configuration")

// Config is a topic's configuration, parsed.
type Config struct {
	SegmentBytes      int64
	SegmentAge        time.Duration // segment.ms
	MaxMessageBytes   int32         // of one record batch as the client sent it
	MinInsyncReplicas int32
	LogAppendTime     bool // message.timestamp.type=LogAppendTime
	Deletes           bool // cleanup.policy has delete; without it nothing expires, whatever Retention says
	Compacts          bool // cleanup.policy has compact: every record needs a key
	Retention         segment.Retention

	Compression Compression
	Timestamps  TimestampBounds
	lags        compactionLags
}

// Key is one row of the table.
type Key struct {
	Name    string
	Broker  string // the broker's key for topics that do not set this one; of several (BrokerKeys) the first
	Type    Type
	Default string
	Doc     string

	min, max int64                              // of Int, Long and Double
	also     int64                              // of Int and Long: allowed beside min to max
	oneOf    []string                           // of String and List
	brokers  []BrokerKey                        // nil: Broker alone, with this key's default
	set      func(c *Config, n int64, s string) // nil: nothing of this version asks for the value
}

// table is all keys, by name.
var table = slices.SortedFunc(slices.Values(slices.Concat(keys, compressionKeys, timestampKeys, flushKeys, compactionKeys)),
	func(a, b Key) int { return strings.Compare(a.Name, b.Name) })

// keys are those of segments, sizes and replicas, by name.
var keys = []Key{
	{
		Name: "cleanup.policy", Broker: "log.cleanup.policy", Type: List, Default: "delete",
		Doc: "What becomes of old segments: delete (when they have expired), compact (to the last record of each key), both, or nothing if empty." +
			" With compact every record needs a key. There is no compaction yet: until it comes, nothing is taken away by it.",
		oneOf: []string{"delete", Compact},
		set: func(c *Config, _ int64, s string) {
			policies := strings.Split(s, ",")
			c.Deletes, c.Compacts = slices.Contains(policies, "delete"), slices.Contains(policies, Compact)
		},
	},
	{
		Name: "max.message.bytes", Broker: "message.max.bytes", Type: Int, Default: "1048588", max: math.MaxInt32,
		Doc: "The largest record batch in bytes, after compression, that producers may send.",
		set: func(c *Config, n int64, _ string) { c.MaxMessageBytes = int32(n) },
	},
	{
		Name: "message.timestamp.type", Broker: "log.message.timestamp.type", Type: String, Default: "CreateTime",
		Doc:   "Whether a record's timestamp is when its producer made it (CreateTime) or when it was appended (LogAppendTime).",
		oneOf: []string{"CreateTime", "LogAppendTime"},
		set:   func(c *Config, _ int64, s string) { c.LogAppendTime = s == "LogAppendTime" },
	},
	{
		Name: "min.insync.replicas", Broker: "min.insync.replicas", Type: Int, Default: "1", min: 1, max: math.MaxInt32,
		Doc: "How many replicas must be in sync for a produce with acks=all; with fewer it gets NOT_ENOUGH_REPLICAS.",
		set: func(c *Config, n int64, _ string) { c.MinInsyncReplicas = int32(n) },
	},
	{
		Name: "retention.bytes", Broker: "log.retention.bytes", Type: Long, Default: "-1", min: -1, max: math.MaxInt64,
		Doc: "How many bytes of segment files a partition keeps; older segments go. -1: no limit.",
		set: func(c *Config, n int64, _ string) { c.Retention.Bytes = kept(n) },
	},
	{
		Name: "retention.ms", Broker: "log.retention.ms", Type: Long, Default: "604800000", min: -1, max: math.MaxInt64,
		Doc:     "How long in milliseconds a partition keeps records; segments that are older go whole. -1: for ever.",
		set:     func(c *Config, n int64, _ string) { c.Retention.Age = time.Duration(kept(int64(milliseconds(n)))) },
		brokers: retentionKeys,
	},
	{
		Name: "segment.bytes", Broker: "log.segment.bytes", Type: Int, Default: "134217728", min: 1 << 20, max: math.MaxInt32,
		Doc: "The size in bytes at which a partition begins a new segment file.",
		set: func(c *Config, n int64, _ string) { c.SegmentBytes = n },
	},
	{
		Name: "segment.ms", Broker: "log.roll.ms", Type: Long, Default: "604800000", min: 1, max: math.MaxInt64,
		Doc:     "The age in milliseconds at which a partition begins a new segment file.",
		set:     func(c *Config, n int64, _ string) { c.SegmentAge = milliseconds(n) },
		brokers: rollKeys,
	},
}

// kept is a limit as segment.Retention has it: Kafka's -1 is its 0, no limit, and Kafka's 0, to keep nothing, its -1.
func kept(n int64) int64 {
	if n <= 0 {
		return -1 - n
	}
	return n
}

// milliseconds is n ms, or the longest duration where n ms are longer.
func milliseconds(n int64) time.Duration {
	if n < 0 {
		return time.Duration(n)
	}
	return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// Keys lists the table by name.
func Keys() []Key { return slices.Clone(table) }

// Find returns the row of name.
func Find(name string) (Key, bool) {
	for _, k := range table {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// defaults is the configuration of a topic that sets nothing.
var defaults = func() Config {
	var c Config
	for i := range table {
		if err := table[i].apply(&c, table[i].Default); err != nil {
			panic(err)
		}
	}
	return c
}()

// Default is the configuration of a topic that sets nothing, where the broker does not either.
func Default() Config { return defaults }

// Expires is the limits by which records expire.
func (c *Config) Expires() segment.Retention {
	if !c.Deletes {
		return segment.Retention{}
	}
	return c.Retention
}

// With is c with what values, by key name, set; all faults are in one error, which wraps ErrInvalid. What is at fault stays as it is in c.
func (c Config) With(values map[string]string) (Config, error) {
	if len(values) == 0 {
		return c, nil
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if err := c.set(name, values[name]); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) == 0 {
		faults = append(faults, c.lags.check())
	}
	return c, errors.Join(faults...)
}

func (c *Config) set(name, value string) error {
	k, ok := Find(name)
	if !ok {
		return UnknownKey(name)
	}
	if err := k.apply(c, value); err != nil {
		return fmt.Errorf("%w: invalid value %s for configuration %s: %w", ErrInvalid, value, name, err)
	}
	return nil
}

// UnknownKey is the error for a key that is not in the table; it says which are.
func UnknownKey(name string) error {
	known := make([]string, len(table))
	for i := range table {
		known[i] = table[i].Name
	}
	return fmt.Errorf("%w: unknown topic config name: %s (known: %s)", ErrInvalid, name, strings.Join(known, ", "))
}

// Check says why value is not allowed for the key; nil if it is.
func (k *Key) Check(value string) error {
	var c Config
	return k.apply(&c, value)
}

func (k *Key) apply(c *Config, value string) error {
	switch k.Type {
	case String:
		return k.applyTexts(c, value, []string{value})
	case List:
		items := Items(value)
		return k.applyTexts(c, strings.Join(items, ","), items)
	case Boolean:
		if !slices.Contains(k.oneOf, strings.ToLower(strings.TrimSpace(value))) {
			return errors.New(k.Doc) // says which and why
		}
		return nil
	case Double:
		f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(f >= float64(k.min) && f <= float64(k.max)) {
			return fmt.Errorf("must be a number from %d to %d", k.min, k.max)
		}
		return nil
	}
	return k.applyNumber(c, value)
}

func (k *Key) applyTexts(c *Config, value string, items []string) error {
	for _, item := range items {
		if !slices.Contains(k.oneOf, item) {
			return fmt.Errorf("must be one of: %s", strings.Join(k.oneOf, ", "))
		}
	}
	k.store(c, 0, value)
	return nil
}

func (k *Key) applyNumber(c *Config, value string) error {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("not a number of type %s", k.Type)
	case k.also != 0 && n == k.also:
	case n < k.min:
		return fmt.Errorf("must be at least %d", k.min)
	case n > k.max:
		return fmt.Errorf("must be at most %d", k.max)
	}
	k.store(c, n, "")
	return nil
}

func (k *Key) store(c *Config, n int64, s string) {
	if k.set != nil {
		k.set(c, n, s)
	}
}
