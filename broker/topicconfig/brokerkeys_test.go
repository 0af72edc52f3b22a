package topicconfig

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/segment"
)

func TestOfBroker(t *testing.T) {
	const hour = time.Hour
	for _, tt := range []struct {
		name string
		set  map[string]string
		want func(c *Config)
	}{
		{"nothing", nil, func(*Config) {}},
		{"hours", map[string]string{"log.retention.hours": "2", "log.roll.hours": "3"},
			func(c *Config) { c.Retention.Age, c.SegmentAge = 2*hour, 3*hour }},
		{"minutes before hours", map[string]string{"log.retention.hours": "2", "log.retention.minutes": "30"},
			func(c *Config) { c.Retention.Age = 30 * time.Minute }},
		{"ms before both", map[string]string{"log.retention.hours": "2", "log.retention.minutes": "30", "log.retention.ms": "7", "log.roll.ms": "9"},
			func(c *Config) { c.Retention.Age, c.SegmentAge = 7*time.Millisecond, 9*time.Millisecond }},
		{"for ever", map[string]string{"log.retention.hours": "-1"}, func(c *Config) { c.Retention.Age = 0 }},
		{"others", map[string]string{"message.max.bytes": "5", "log.segment.bytes": "1048576", "log.cleanup.policy": ""},
			func(c *Config) { c.MaxMessageBytes, c.SegmentBytes, c.Deletes = 5, 1<<20, false }},
		{"lags that only topics are held to",
			map[string]string{"log.cleaner.min.compaction.lag.ms": "9", "log.cleaner.max.compaction.lag.ms": "8"},
			func(c *Config) { c.lags = compactionLags{min: 9, max: 8} }},
	} {
		want := Default()
		tt.want(&want)
		got := OfBroker(func(name string) (string, bool) { v, ok := tt.set[name]; return v, ok })
		if got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
}

func TestCheckBroker(t *testing.T) {
	for name, values := range map[string]struct{ good, bad []string }{
		"log.retention.hours":   {[]string{"-1", "1", "2147483647"}, []string{"0", "x", "2147483648", "-2", ""}},
		"log.retention.minutes": {[]string{"-1", "1"}, []string{"0", "1.5"}},
		"log.retention.ms":      {[]string{"-1", "1", "9223372036854775807"}, []string{"0", " 0", "-2"}},
		"log.roll.hours":        {[]string{"1"}, []string{"0", "-1"}},
		"log.cleanup.policy":    {[]string{"delete", "", " delete ,delete", "compact", "delete,compact"}, []string{"compacted", "delete,"}},
		"log.segment.bytes":     {[]string{"1048576"}, []string{"1048575", "1MiB"}},
	} {
		var key Key
		var b BrokerKey
		for _, k := range Keys() {
			if i := slices.IndexFunc(k.BrokerKeys(), func(b BrokerKey) bool { return b.Name == name }); i >= 0 {
				key, b = k, k.BrokerKeys()[i]
			}
		}
		for _, v := range values.good {
			if err := key.CheckBroker(b, v); err != nil {
				t.Errorf("%s=%q: %v", name, v, err)
			}
		}
		for _, v := range values.bad {
			if key.CheckBroker(b, v) == nil {
				t.Errorf("%s=%q is allowed", name, v)
			}
		}
	}
}

func TestLists(t *testing.T) {
	for list, want := range map[string]string{
		"": "", "  ": "", "a": "a", " a , b": "a|b", "a,a,b,a": "a|b", "a,": "a|", ",": "",
	} {
		if got := strings.Join(Items(list), "|"); got != want {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
	if got := List.Spell(" delete,delete"); got != "delete" {
		t.Errorf("a list is shown as %q", got)
	}
	if got := String.Spell(" a,a"); got != " a,a" {
		t.Errorf("a text is shown as %q", got)
	}
}

func TestNothingExpiresWithoutDelete(t *testing.T) {
	c, err := Default().With(map[string]string{"cleanup.policy": "", "retention.bytes": "5"})
	if err != nil || c.Expires() != (segment.Retention{}) {
		t.Errorf("%+v, %v", c.Expires(), err)
	}
	if c, err = c.With(map[string]string{"cleanup.policy": "delete"}); err != nil || c.Expires().Bytes != 5 {
		t.Errorf("%+v, %v", c.Expires(), err)
	}
}
