package topicconfig

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/segment"
)

func TestWith(t *testing.T) {
	def := Config{SegmentBytes: 128 << 20, SegmentAge: 7 * 24 * time.Hour, MaxMessageBytes: 1048588, MinInsyncReplicas: 1, Deletes: true,
		Compression: Default().Compression, Timestamps: Default().Timestamps, lags: Default().lags,
		Retention: segment.Retention{Age: 7 * 24 * time.Hour}}
	with := func(f func(*Config)) Config { c := def; f(&c); return c }
	for _, c := range []struct {
		name   string
		values map[string]string
		want   Config
		faults []string // parts of the error; none: no error
	}{
		{name: "nothing set", want: def},
		{
			name: "all set",
			values: map[string]string{
				"segment.bytes": "1048576", "segment.ms": "1000", "max.message.bytes": "0", "min.insync.replicas": "2",
				"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.ms": "1000", "retention.bytes": "5",
			},
			want: with(func(c *Config) {
				c.SegmentBytes, c.SegmentAge, c.MinInsyncReplicas, c.LogAppendTime, c.MaxMessageBytes = 1<<20, time.Second, 2, true, 0
				c.Retention = segment.Retention{Age: time.Second, Bytes: 5}
			}),
		},
		{
			name: "no retention", values: map[string]string{"retention.ms": "-1", "retention.bytes": "-1"},
			want: with(func(c *Config) { c.Retention = segment.Retention{} }),
		},
		{
			name: "nothing is kept", values: map[string]string{"retention.ms": "0", "retention.bytes": "0"},
			want: with(func(c *Config) { c.Retention = segment.Retention{Age: -1, Bytes: -1} }),
		},
		{
			name: "age beyond a duration", values: map[string]string{"segment.ms": "9223372036854775807"},
			want: with(func(c *Config) { c.SegmentAge = math.MaxInt64 / time.Millisecond * time.Millisecond }),
		},
		{name: "unknown", values: map[string]string{"nokey": "1"}, want: def, faults: []string{"nokey", "known: "}},
		{
			name: "compacted", values: map[string]string{"cleanup.policy": "compact"},
			want: with(func(c *Config) { c.Deletes, c.Compacts = false, true }),
		},
		{
			name: "compacted and deleted", values: map[string]string{"cleanup.policy": " compact, delete"},
			want: with(func(c *Config) { c.Compacts = true }),
		},
		{
			name: "no policy", values: map[string]string{"cleanup.policy": "compacted"}, want: def,
			faults: []string{"cleanup.policy", "delete, compact"},
		},
		{name: "not a number", values: map[string]string{"segment.bytes": "1MiB"}, want: def, faults: []string{"of type INT"}},
		{name: "below", values: map[string]string{"segment.bytes": "1048575"}, want: def, faults: []string{"at least 1048576"}},
		{name: "above", values: map[string]string{"segment.bytes": "2147483648"}, want: def, faults: []string{"at most 2147483647"}},
		{name: "not one of", values: map[string]string{"message.timestamp.type": "x"}, want: def, faults: []string{"CreateTime, LogAppendTime"}},
		{
			name: "all faults at once", values: map[string]string{"segment.bytes": "1", "segment.ms": "x"},
			want: def, faults: []string{"segment.bytes", "segment.ms"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Default().With(c.values)
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if (err != nil) != (len(c.faults) > 0) {
				t.Fatalf("error %v, want one with %q", err, c.faults)
			}
			for _, f := range c.faults {
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), f) {
					t.Errorf("error %q does not name %q", err, f)
				}
			}
		})
	}
}

func TestTable(t *testing.T) {
	last := ""
	for _, k := range Keys() {
		if k.Name <= last {
			t.Errorf("%s is not in order", k.Name)
		}
		last = k.Name
		if k.Doc == "" || k.Broker == "" || k.BrokerKeys()[0].Name != k.Broker {
			t.Errorf("%s is not documented", k.Name)
		}
		unset := func(string) (string, bool) { return "", false }
		if got := k.ofBroker(unset); got != k.Default {
			t.Errorf("%s: %q without anything set, the default is %q", k.Name, got, k.Default)
		}
		for _, b := range k.BrokerKeys() {
			if b.Default != "" && (k.CheckBroker(b, b.Default) != nil || b.spell(b.Default) != k.Default) {
				t.Errorf("default of %s is not that of %s", b.Name, k.Name)
			}
		}
		if err := k.Check(k.Default); err != nil {
			t.Errorf("default of %s: %v", k.Name, err)
		}
	}
}
