package config

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
)

// topicRows are the keys that say what topics have which do not set theirs, in the order of the topics' keys.
func topicRows() []row {
	var rows []row
	for _, k := range topicconfig.Keys() {
		var above []int // rows of keys that count more
		for _, b := range k.BrokerKeys() {
			doc := fmt.Sprintf("%s of topics that do not set it. %s", k.Name, k.Doc)
			if b.Name != k.Broker {
				doc = fmt.Sprintf("%s of topics, where neither they nor %s set it.", k.Name, k.Broker)
			}
			r := plain(b.Name, b.Default, doc, nil)
			r.Type, r.isText = b.Type, b.Default == "" || b.Type == topicconfig.String || b.Type == topicconfig.List
			r.dynamic = !b.Static
			r.set = func(c *Config, v string) error { return c.setTopicDefault(&k, b, v) }
			for _, i := range above {
				rows[i].Next = append(rows[i].Next, b.Name)
			}
			above = append(above, len(rows))
			rows = append(rows, r)
		}
	}
	return rows
}

// setTopicDefault sets one of the broker's keys for topics; its default is as good as not setting it.
func (c *Config) setTopicDefault(k *topicconfig.Key, b topicconfig.BrokerKey, v string) error {
	if v != b.Default {
		var err error
		if v, err = plainNumber(b.Name, v); err != nil {
			return err
		}
		if err := k.CheckBroker(b, v); err != nil {
			return err
		}
	}
	next := maps.Clone(c.topics) // other copies of c have the map too
	if v == b.Default {
		delete(next, b.Name)
	} else {
		if next == nil {
			next = map[string]string{}
		}
		next[b.Name] = v
	}
	if len(next) == 0 {
		next = nil
	}
	c.topics = next
	return nil
}

// plainNumber turns a time or a size with a unit into Kafka's number of milliseconds or bytes; other values are left as they are.
func plainNumber(name, v string) (string, error) {
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		return v, nil
	}
	switch {
	case strings.HasSuffix(name, ".ms"):
		var d time.Duration
		err := setDuration(&d, v, "ms", 0, math.MaxInt64)
		return decimal(d.Milliseconds()), err
	case strings.HasSuffix(name, ".bytes"):
		var n int64
		err := setBytes(&n, v, 0, math.MaxInt64)
		return decimal(n), err
	}
	return v, nil
}

// TopicDefaults is the configuration of topics that set nothing.
func (c *Config) TopicDefaults() topicconfig.Config {
	return topicconfig.OfBroker(func(name string) (string, bool) {
		v, ok := c.topics[name]
		return v, ok
	})
}
