package topicconfig

import (
	"math"

	"github.com/quirelog/quire/segment/batch"
)

// Compression is what batches become when they are appended.
type Compression struct {
	Asked    bool // false, compression.type=producer: batches stay as they are
	Codec    batch.Compression
	Gzip     int32 // level, as the next two
	LZ4      int32
	Zstd     int32
	MaxPlain int32 // max.decompressed.message.bytes
}

// Target is what a batch of another codec becomes; maxBytes bounds it.
func (c *Compression) Target(maxBytes int32) batch.Target {
	t := batch.Target{Codec: c.Codec, MaxBytes: int(maxBytes), MaxPlain: int(c.MaxPlain)}
	switch c.Codec {
	case batch.Gzip:
		t.Level = int(c.Gzip)
	case batch.LZ4:
		t.Level = int(c.LZ4)
	case batch.Zstd:
		t.Level = int(c.Zstd)
	}
	return t
}

// codecs are the values of compression.type beside producer.
var codecs = map[string]batch.Compression{
	"uncompressed": batch.None, "gzip": batch.Gzip, "snappy": batch.Snappy, "lz4": batch.LZ4, "zstd": batch.Zstd,
}

var compressionKeys = []Key{
	{
		Name: "compression.type", Broker: "compression.type", Type: String, Default: "producer",
		Doc: "The codec in which records are stored: the producer's own, or one into which batches of another codec are" +
			" recompressed when they are appended.",
		oneOf: []string{"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"},
		set: func(c *Config, _ int64, s string) {
			c.Compression.Codec, c.Compression.Asked = codecs[s]
		},
	},
	{
		Name: "compression.gzip.level", Broker: "compression.gzip.level", Type: Int, Default: "-1", min: 1, max: 9, also: -1,
		Doc: "The level of compression.type=gzip: 1 (fast) to 9 (small), or -1 for the library's.",
		set: func(c *Config, n int64, _ string) { c.Compression.Gzip = int32(n) },
	},
	{
		Name: "compression.lz4.level", Broker: "compression.lz4.level", Type: Int, Default: "9", min: 1, max: 17,
		Doc: "The level of compression.type=lz4: 1 to 17, of which those above 9 do as 10 does; 9 stands for the fast compressor.",
		set: func(c *Config, n int64, _ string) { c.Compression.LZ4 = int32(n) },
	},
	{
		Name: "compression.zstd.level", Broker: "compression.zstd.level", Type: Int, Default: "3", min: -131072, max: 22,
		Doc: "The level of compression.type=zstd, in four steps: below 3, 3 to 5, 6 to 9, and 10 to 22.",
		set: func(c *Config, n int64, _ string) { c.Compression.Zstd = int32(n) },
	},
	{
		Name: "max.decompressed.message.bytes", Broker: "max.decompressed.message.bytes", Type: Int, Default: "134217728",
		min: 1 << 10, max: math.MaxInt32,
		Doc: "The most bytes that the records of a batch may have when it has to be decompressed; more gets MESSAGE_TOO_LARGE.",
		set: func(c *Config, n int64, _ string) { c.Compression.MaxPlain = int32(n) },
	},
}
