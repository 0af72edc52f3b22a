package interop

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stampEpoch is where most timestamps begin: long past, so that no bound of a broker depends on when the test runs.
const stampEpoch = 1_700_000_000_000

// stampShapes are the ways in which timestamps follow each other. Each returns the one after last.
var stampShapes = []struct {
	name string
	next func(r *rand.Rand, last int64) int64
}{
	{"increasing", func(r *rand.Rand, last int64) int64 { return last + r.Int64N(100) }},
	{"equal", func(_ *rand.Rand, last int64) int64 { return last }},
	{"decreasing", func(r *rand.Rand, last int64) int64 { return last - r.Int64N(100) }},
	{"anywhere in a second", func(r *rand.Rand, _ int64) int64 { return stampEpoch + r.Int64N(1000) }},
	{"one of three", func(r *rand.Rand, _ int64) int64 { return stampEpoch + r.Int64N(3)*1000 }},
	{"with gaps", func(r *rand.Rand, last int64) int64 { return last + r.Int64N(2)*r.Int64N(3_600_000) }},
	{"up and down", func(r *rand.Rand, last int64) int64 { return last + r.Int64N(2000) - 1000 }},
	{"from 1970 on", func(r *rand.Rand, last int64) int64 { return last%stampEpoch + r.Int64N(2) }},
	{"none or some", func(r *rand.Rand, _ int64) int64 { return r.Int64N(4)*50 - 1 }}, // -1 is Kafka's "no timestamp"
	{"now and then far off", func(r *rand.Rand, last int64) int64 {
		switch r.IntN(12) {
		case 0:
			return stampEpoch + r.Int64N(40<<30) // still not in the future
		case 1:
			return r.Int64N(10)
		}
		return min(last, stampEpoch+1<<32) + r.Int64N(10)
	}},
}

// stampedLog is one partition's input: what was sent so far, the same to both brokers.
type stampedLog struct {
	kind      *stampTopic
	partition int32
	shape     int
	last      int64
	times     []int64 // of all records, as their producer has them
	batches   []int   // the first offset of every batch
}

// grow makes the log's next batch. One of its records has a timestamp: where a whole segment has none, Kafka takes the file's time
// of change for its largest timestamp, looks no further, and does not find what later segments have (Quire does).
func (l *stampedLog) grow(t *testing.T, r *rand.Rand, codecs []kgo.CompressionCodec) []byte {
	t.Helper()
	l.batches = append(l.batches, len(l.times))
	n := 1 + r.IntN(1+r.IntN(40))
	stamps := make([]int64, n)
	for i := range stamps {
		l.last = max(stampShapes[l.shape].next(r, l.last), -1)
		stamps[i] = l.last
	}
	if slices.Max(stamps) < 0 {
		stamps[r.IntN(n)] = 0
	}
	l.times = append(l.times, stamps...)
	return stampedBatch(t, stamps, l.kind.padding(r), codecs[r.IntN(len(codecs))])
}

// stampedBatch encodes records with these timestamps; padding is the first one's value.
func stampedBatch(t *testing.T, stamps []int64, padding []byte, codec kgo.CompressionCodec) []byte {
	t.Helper()
	var body []byte
	for i, at := range stamps {
		rec := kmsg.Record{TimestampDelta64: at - stamps[0], OffsetDelta: int32(i), Key: []byte{byte(i)}}
		if i == 0 {
			rec.Value = padding
		}
		rec.Length = int32(len(rec.AppendTo(nil)) - 1) // a zero length takes one byte
		body = rec.AppendTo(body)
	}
	compressor, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	used := kgo.CodecNone
	if compressor != nil {
		body, used = compressor.Compress(new(bytes.Buffer), body)
	}
	b := kmsg.RecordBatch{
		Length: int32(49 + len(body)), PartitionLeaderEpoch: -1, Magic: 2, Attributes: int16(used), LastOffsetDelta: int32(len(stamps) - 1),
		FirstTimestamp: stamps[0], MaxTimestamp: slices.Max(stamps), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(stamps)), Records: bytes.Clone(body),
	}
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// ask picks what to look up: a timestamp with a meaning, one that is there, one beside it, or one between, before or after all.
func (l *stampedLog) ask(r *rand.Rand, version int16) int64 {
	if r.IntN(4) == 0 {
		return l.askSpecial(r, version)
	}
	if len(l.times) == 0 {
		return r.Int64N(1 << 41)
	}
	here := l.times[r.IntN(len(l.times))]
	switch r.IntN(8) {
	case 0:
		return max(slices.Min(l.times)-1-r.Int64N(100), 0)
	case 1:
		return slices.Max(l.times) + 1 + r.Int64N(100)
	case 2:
		return max((here+l.times[r.IntN(len(l.times))])/2, 0)
	case 3, 4:
		return max(here+2*r.Int64N(2)-1, 0)
	case 5:
		return []int64{0, 1, 1<<63 - 1}[r.IntN(3)]
	}
	return max(here, 0)
}

// askSpecial picks a negative timestamp, mostly one that the version knows.
func (l *stampedLog) askSpecial(r *rand.Rand, version int16) int64 {
	known := int64(2)
	switch {
	case version >= 9:
		known = 5
	case version == 8:
		known = 4
	case version == 7:
		known = 3
	}
	if r.IntN(20) == 0 {
		known = 7
	}
	return -1 - r.Int64N(known)
}
