package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Builder makes a batch; its zero value makes plain, uncompressed ones.
type Builder struct {
	Compression   Compression
	ProducerID    int64 // this and the next two count only with Idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Idempotent    bool
}

// Build encodes records as one batch with base offset 0 and no leader epoch (-1), as a producer does: the record at i gets
// offset i, whatever its Offset says. ErrInvalidRecord when there are none or the batch would pass 2 GiB.
func (bu *Builder) Build(records []Record) ([]byte, error) {
	if len(records) == 0 || len(records) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d records", ErrInvalidRecord, len(records))
	}
	h := bu.header(records)
	out := make([]byte, HeaderSize, HeaderSize+encodedSize(records))
	if bu.Compression == None {
		out = appendRecords(out, records, h.BaseTimestamp)
	} else {
		plain := appendRecords(make([]byte, 0, encodedSize(records)), records, h.BaseTimestamp)
		var err error
		if out, err = compress(out, bu.Compression, plain); err != nil {
			return nil, err
		}
	}
	if len(out) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalidRecord, len(out))
	}
	h.Length = int32(len(out) - LogOverhead)
	h.put(out)
	putCRC(out)
	return out, nil
}

// header is everything but Length and CRC.
func (bu *Builder) header(records []Record) Header {
	h := Header{
		LeaderEpoch:     -1,
		Magic:           2,
		Attributes:      int16(bu.Compression),
		LastOffsetDelta: int32(len(records) - 1),
		BaseTimestamp:   records[0].Timestamp,
		MaxTimestamp:    records[0].Timestamp,
		ProducerID:      NoProducer,
		ProducerEpoch:   -1,
		BaseSequence:    -1,
		NumRecords:      int32(len(records)),
	}
	for i := range records {
		h.MaxTimestamp = max(h.MaxTimestamp, records[i].Timestamp)
	}
	if bu.Idempotent {
		h.ProducerID, h.ProducerEpoch, h.BaseSequence = bu.ProducerID, bu.ProducerEpoch, bu.BaseSequence
	}
	return h
}

// encodedSize is an upper bound on what appendRecords adds.
func encodedSize(records []Record) int {
	n := 0
	for i := range records {
		n += binary.MaxVarintLen32 + bodySize(&records[i], math.MinInt64, math.MaxInt32)
	}
	return n
}

// bodySize is the length of a record without its length field.
func bodySize(r *Record, timestampDelta int64, offsetDelta int) int {
	n := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) +
		bytesSize(r.Key) + bytesSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		n += varintSize(int64(len(r.Headers[i].Key))) + len(r.Headers[i].Key) + bytesSize(r.Headers[i].Value)
	}
	return n
}

func appendRecords(b []byte, records []Record, baseTimestamp int64) []byte {
	for i := range records {
		r := &records[i]
		delta := r.Timestamp - baseTimestamp
		b = binary.AppendVarint(b, int64(bodySize(r, delta, i)))
		b = append(b, 0) // attributes
		b = binary.AppendVarint(b, delta)
		b = binary.AppendVarint(b, int64(i))
		b = appendBytes(b, r.Key)
		b = appendBytes(b, r.Value)
		b = binary.AppendVarint(b, int64(len(r.Headers)))
		for _, header := range r.Headers {
			b = binary.AppendVarint(b, int64(len(header.Key)))
			b = append(b, header.Key...)
			b = appendBytes(b, header.Value)
		}
	}
	return b
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(v))), v...)
}

func bytesSize(v []byte) int {
	if v == nil {
		return 1
	}
	return varintSize(int64(len(v))) + len(v)
}

func varintSize(v int64) int {
	n := 1
	for u := uint64(v<<1) ^ uint64(v>>63); u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// compress appends src, compressed, to dst. Snappy is one plain block, which all clients read.
func compress(dst []byte, c Compression, src []byte) ([]byte, error) {
	switch c {
	case Gzip:
		return writeStream(dst, src, &gzipWriters)
	case Snappy:
		return append(dst, snappy.Encode(nil, src)...), nil
	case LZ4:
		return writeStream(dst, src, &lz4Writers)
	case Zstd:
		e, err := zstdEncoder()
		if err != nil {
			return dst, fmt.Errorf("compress with %s: %w", c, err)
		}
		return e.EncodeAll(src, dst), nil
	default:
		return dst, fmt.Errorf("%w: unknown codec %d", ErrInvalidRecord, c)
	}
}

// resetWriter is what the pooled compressors share.
type resetWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	lz4Writers  = sync.Pool{New: func() any { return lz4.NewWriter(nil) }}
	// zstdEncoder serves all goroutines: EncodeAll keeps no state between calls.
	zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	})
)

func writeStream(dst, src []byte, pool *sync.Pool) ([]byte, error) {
	w := pool.Get().(resetWriter)
	defer pool.Put(w)
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	if _, err := w.Write(src); err != nil {
		return dst, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress: %w", err)
	}
	return out.Bytes(), nil
}
