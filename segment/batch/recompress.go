package batch

import (
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

// Target is what Recompress makes of a batch.
type Target struct {
	Codec Compression
	// Level is Kafka's level of Gzip (-1: the library's, 1 to 9), LZ4 (DefaultLZ4Level: fast; else 1 to 17, of which those from 9
	// on are the same here) or Zstd (-131072 to 22: fastest below 3, then default, better from 6 and best from 10 on).
	Level int
	// MaxBytes is the most that the new batch may have (ErrTooLarge). 0: 2 GiB.
	MaxBytes int
	// MaxPlain bounds what decompression may produce (ErrPlainTooLarge). 0: 128 MiB.
	MaxPlain int
}

// DefaultLZ4Level is the level that Kafka does not take for one: it stands for the fast compressor.
const DefaultLZ4Level = 9

// Recompress returns the batch b, which Validate has passed, with its records in another codec: a new batch with the same header
// but for codec, length, largest timestamp (as it is among the records) and CRC. b does not change. The records pass through as a
// stream and are checked as Scan does; memory is bounded by the new batch and WorkingMemory.
//
// Errors: ErrTooLarge, ErrPlainTooLarge, ErrInvalidRecord.
func Recompress(b []byte, t Target) ([]byte, Scanned, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, Scanned{}, err
	}
	if t.MaxBytes <= 0 {
		t.MaxBytes = math.MaxInt32
	}
	if t.MaxPlain <= 0 {
		t.MaxPlain = defaultMaxBytes
	}
	pool, err := encoders(t)
	if err != nil {
		return nil, Scanned{}, err
	}
	out := output{b: make([]byte, HeaderSize, len(b)), max: t.MaxBytes}
	e, ok := pool.Get().(resetWriter)
	if !ok {
		return nil, Scanned{}, fmt.Errorf("compress with %s: no encoder", t.Codec)
	}
	defer pool.Put(e)
	defer e.Reset(nil)
	e.Reset(&out)
	seen, err := scan(&h, b, t.MaxPlain, e)
	if err != nil {
		return nil, seen, err
	}
	if err := e.Close(); err != nil {
		return nil, seen, fmt.Errorf("compress with %s: %w", t.Codec, err)
	}
	h.Attributes = h.Attributes&^attrCompression | int16(t.Codec)
	h.Length = int32(len(out.b) - LogOverhead)
	h.MaxTimestamp = seen.Max
	h.put(out.b)
	putCRC(out.b)
	return out.b, seen, nil
}

// output collects a batch of at most max bytes.
type output struct {
	b   []byte
	max int
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.max-len(o.b) {
		return 0, fmt.Errorf("%w: more than %d bytes in the asked compression", ErrTooLarge, o.max)
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// What coders hold at most beside their input and output, in bytes; measured, and rounded up.
const (
	smallCoder   = 1 << 20 // gzip, framed snappy, and lz4 encoders
	lz4Decoder   = 9 << 20
	zstdEncoding = 12 << 20
	zstdBest     = 48 << 20
)

// WorkingMemory is an upper bound on what Recompress to t holds for b beside the new batch, in bytes; with the codec None, what Scan
// holds.
func WorkingMemory(b []byte, t Target) int64 {
	n := int64(smallCoder)
	if t.Codec == Zstd {
		n = zstdEncoding
		if zstd.EncoderLevelFromZstd(t.Level) == zstd.SpeedBestCompression {
			n = zstdBest
		}
	}
	if len(b) < HeaderSize {
		return n
	}
	src := b[HeaderSize:]
	switch Compression(b[posAttributes+1] & attrCompression) {
	case Snappy:
		n += longestSnappyBlock(src)
	case LZ4:
		n += lz4Decoder
	case Zstd:
		n += int64(max(min(zstdWindow(src), maxZstdWindow), usualZstdWindow)) + 2*zstdBlock
	}
	return n
}

// encoders is the pool of a target's encoders.
func encoders(t Target) (*sync.Pool, error) {
	switch t.Codec {
	case None:
		return &plainEncoders, nil
	case Gzip:
		if t.Level == gzip.DefaultCompression || t.Level >= gzip.BestSpeed && t.Level <= gzip.BestCompression {
			return &gzipEncoders[t.Level-gzip.DefaultCompression], nil
		}
	case Snappy:
		return &snappyEncoders, nil
	case LZ4:
		if t.Level >= 1 && t.Level <= 17 {
			return &lz4Encoders[lz4LevelOf(t.Level)], nil
		}
	case Zstd:
		return &zstdEncoders[zstd.EncoderLevelFromZstd(t.Level)], nil
	}
	return nil, fmt.Errorf("recompress: no codec %d with level %d", t.Codec, t.Level)
}

// lz4LevelOf is the library's level for Kafka's; 0: fast.
func lz4LevelOf(level int) int {
	if level == DefaultLZ4Level {
		return 0
	}
	return min(level, 9)
}

var (
	plainEncoders  = sync.Pool{New: func() any { return new(plainEncoder) }}
	snappyEncoders = sync.Pool{New: func() any { return new(xerialEncoder) }}
	gzipEncoders   = poolsOf(gzip.BestCompression-gzip.DefaultCompression+1, newGzipEncoder)
	lz4Encoders    = poolsOf(10, newLZ4Encoder)
	zstdEncoders   = poolsOf(int(zstd.SpeedBestCompression)+1, newZstdEncoder)
)

// poolsOf are n pools, one a level; newOf makes an encoder for the pool at i.
func poolsOf(n int, newOf func(i int) any) []sync.Pool {
	pools := make([]sync.Pool, n)
	for i := range pools {
		pools[i].New = func() any { return newOf(i) }
	}
	return pools
}

func newGzipEncoder(i int) any {
	return encoderOrNil(gzip.NewWriterLevel(nil, i+gzip.DefaultCompression))
}

func newLZ4Encoder(i int) any {
	level := lz4.Fast
	if i > 0 {
		level = lz4.Level1 << (i - 1)
	}
	w := lz4.NewWriter(nil)
	return encoderOrNil(w, w.Apply(lz4.CompressionLevelOption(level), lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false)))
}

func newZstdEncoder(i int) any {
	return encoderOrNil(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevel(i)), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)))
}

// encoderOrNil is what a pool holds: nil, which no encoder is, where making one failed.
func encoderOrNil[E resetWriter](e E, err error) any {
	if err != nil {
		return nil
	}
	return e
}

// plainEncoder leaves the records as they are.
type plainEncoder struct{ io.Writer }

func (e *plainEncoder) Reset(w io.Writer) { e.Writer = w }
func (e *plainEncoder) Close() error      { return nil }

// xerialBlock is how much snappy-java compresses at a time.
const xerialBlock = 32 << 10

// xerialEncoder writes the framing of snappy-java, as Kafka's broker does: a stream, where a plain block would have to be whole.
type xerialEncoder struct {
	w     io.Writer
	began bool
	plain []byte // less than a block
	frame []byte
}

func (e *xerialEncoder) Reset(w io.Writer) { e.w, e.began, e.plain = w, false, e.plain[:0] }

func (e *xerialEncoder) Write(p []byte) (int, error) {
	for n := len(p); ; {
		take := min(xerialBlock-len(e.plain), len(p))
		e.plain = append(e.plain, p[:take]...)
		if p = p[take:]; len(e.plain) < xerialBlock {
			return n, nil
		}
		if err := e.flush(); err != nil {
			return 0, err
		}
	}
}

// Close ends the stream. The batch has a record, so there is a block.
func (e *xerialEncoder) Close() error {
	if len(e.plain) == 0 {
		return nil
	}
	return e.flush()
}

func (e *xerialEncoder) flush() error {
	e.frame = e.frame[:0]
	if !e.began {
		e.frame = append(e.frame, xerialMagic...)
		e.frame = append(e.frame, 0, 0, 0, 1, 0, 0, 0, 1) // version, and the least that can read it
		e.began = true
	}
	at := len(e.frame) + 4
	e.frame = append(e.frame, make([]byte, 4+snappy.MaxEncodedLen(xerialBlock))...)
	block := snappy.Encode(e.frame[at:], e.plain)
	binary.BigEndian.PutUint32(e.frame[at-4:], uint32(len(block)))
	e.plain = e.plain[:0]
	_, err := e.w.Write(e.frame[:at+len(block)])
	return err
}
