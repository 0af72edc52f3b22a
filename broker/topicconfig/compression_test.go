package topicconfig

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/quirelog/quire/segment/batch"
)

func TestDefaultsAreKafkas(t *testing.T) {
	c := Default()
	if want := (Compression{Gzip: -1, LZ4: 9, Zstd: 3, MaxPlain: 128 << 20}); c.Compression != want {
		t.Errorf("compression %+v, want %+v", c.Compression, want)
	}
	if want := (TimestampBounds{Before: math.MaxInt64, After: 3600_000}); c.Timestamps != want {
		t.Errorf("timestamps %+v, want %+v", c.Timestamps, want)
	}
}

func TestCompressionTarget(t *testing.T) {
	for value, want := range map[string]batch.Target{
		"uncompressed": {Codec: batch.None}, "snappy": {Codec: batch.Snappy},
		"gzip": {Codec: batch.Gzip, Level: 4}, "lz4": {Codec: batch.LZ4, Level: 11}, "zstd": {Codec: batch.Zstd, Level: -7},
	} {
		c, err := Default().With(map[string]string{
			"compression.type": value, "compression.gzip.level": "4", "compression.lz4.level": "11", "compression.zstd.level": "-7",
			"max.decompressed.message.bytes": "4096",
		})
		want.MaxBytes, want.MaxPlain = 100, 4096
		if got := c.Compression.Target(100); err != nil || !c.Compression.Asked || got != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	if c, err := Default().With(map[string]string{"compression.type": "producer"}); err != nil || c.Compression.Asked {
		t.Errorf("producer: %+v, %v", c.Compression, err)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		key       string
		good, bad []string
	}{
		{"compression.type", []string{"producer", "uncompressed", "zstd"}, []string{"none", "", "rar", "GZIP"}},
		{"compression.gzip.level", []string{"-1", "1", "9"}, []string{"0", "-2", "10", "x"}},
		{"compression.lz4.level", []string{"1", "17"}, []string{"0", "18", "-1"}},
		{"compression.zstd.level", []string{"-131072", "0", "22"}, []string{"-131073", "23"}},
		{"message.timestamp.after.max.ms", []string{"0", "9223372036854775807"}, []string{"-1", "9223372036854775808"}},
		{"message.timestamp.before.max.ms", []string{"0", "9223372036854775807"}, []string{"-1"}},
		{"flush.messages", []string{"1"}, []string{"0"}},
		{"flush.ms", []string{"0"}, []string{"-1"}},
		{"unclean.leader.election.enable", []string{"false", "FALSE"}, []string{"true", "no"}},
		{"delete.retention.ms", []string{"0"}, []string{"-1"}},
		{"min.cleanable.dirty.ratio", []string{"0", "1", "0.01"}, []string{"-0.1", "1.1", "NaN", "half"}},
		{"min.compaction.lag.ms", []string{"0", "1000"}, []string{"-1"}},
		{"max.compaction.lag.ms", []string{"1"}, []string{"0"}},
	} {
		for _, v := range c.good {
			if _, err := Default().With(map[string]string{c.key: v}); err != nil {
				t.Errorf("%s=%s: %v", c.key, v, err)
			}
		}
		for _, v := range c.bad {
			if _, err := Default().With(map[string]string{c.key: v}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.key) {
				t.Errorf("%s=%s: %v", c.key, v, err)
			}
		}
	}
	lags := map[string]string{"min.compaction.lag.ms": "2000", "max.compaction.lag.ms": "1000"}
	if _, err := Default().With(lags); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "2000") {
		t.Errorf("lags the wrong way round: %v", err)
	}
}
