package topicconfig

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BrokerKey is a broker's key that says what topics have which do not set theirs.
type BrokerKey struct {
	Name    string
	Type    Type
	Default string // "": it is not set, so that the next key of the list counts
	// Static keys are read when a broker starts, and never changed.
	Static bool

	unit     time.Duration // of a key that counts another time than milliseconds; 0: its values are the topic key's
	positive bool          // 0 is not allowed, though the topic's key has it
}

var retentionKeys = []BrokerKey{
	{Name: "log.retention.ms", Type: Long, positive: true},
	{Name: "log.retention.minutes", Type: Int, Static: true, unit: time.Minute, positive: true},
	{Name: "log.retention.hours", Type: Int, Static: true, unit: time.Hour, positive: true, Default: "168"},
}

var rollKeys = []BrokerKey{
	{Name: "log.roll.ms", Type: Long},
	{Name: "log.roll.hours", Type: Int, Static: true, unit: time.Hour, Default: "168"},
}

// BrokerKeys are the broker's keys for topics that do not set this one. The first that is set counts; the last has a default.
func (k *Key) BrokerKeys() []BrokerKey {
	if k.brokers != nil {
		return k.brokers
	}
	return []BrokerKey{{Name: k.Broker, Type: k.Type, Default: k.Default}}
}

// CheckBroker says why value is not allowed for a broker's key of this one; nil if it is.
func (k *Key) CheckBroker(b BrokerKey, value string) error {
	if b.unit != 0 {
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n > math.MaxInt32 {
			return fmt.Errorf("not a number of type %s", b.Type)
		}
	}
	if b.positive && strings.TrimSpace(value) == "0" {
		return errors.New("must be unlimited (-1), or 1 and more")
	}
	return k.Check(b.spell(value))
}

// spell is the topic key's value for one of the broker's key.
func (b BrokerKey) spell(value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	if b.unit == 0 || err != nil || n < 0 {
		return value
	}
	return strconv.FormatInt(n*b.unit.Milliseconds(), 10)
}

// OfTopic is the topic's value where name, the key itself or one of the broker's for it, has value.
func (k *Key) OfTopic(name, value string) string {
	for _, b := range k.brokers {
		if b.Name == name {
			return b.spell(value)
		}
	}
	return value
}

// ofBroker is the value that the broker's keys give to topics which do not set this one. set looks up what is set among them.
func (k *Key) ofBroker(set func(name string) (value string, ok bool)) string {
	for _, b := range k.BrokerKeys() {
		if v, ok := set(b.Name); ok {
			return b.spell(v)
		}
	}
	return k.Default
}

// OfBroker is the configuration of a topic that sets nothing, on a broker that sets values, which CheckBroker has passed.
func OfBroker(set func(name string) (value string, ok bool)) Config {
	values := make(map[string]string, len(table))
	for i := range table {
		values[table[i].Name] = table[i].ofBroker(set)
	}
	c, _ := Default().With(values) // as in Kafka only topics are held to min.compaction.lag.ms <= max.compaction.lag.ms
	return c
}

// Items are those of a list, without spaces and repeats; of an empty value none.
func Items(list string) []string {
	if strings.TrimSpace(list) == "" {
		return nil
	}
	var items []string
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	return items
}

// Spell is a value of the type as it is shown: a list without spaces and repeats.
func (t Type) Spell(value string) string {
	if t != List {
		return value
	}
	return strings.Join(Items(value), ",")
}
