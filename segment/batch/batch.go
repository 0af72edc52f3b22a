// Package batch reads, checks, stamps and builds Kafka record batches (format 2, KIP-98). It works on the bytes as clients
// send them; nothing here keeps or copies a batch unless a docstring says so.
package batch

import "errors"

// Offset is the position of a record in a partition: 0 for the first one.
type Offset int64

// Sizes and positions within a batch, in bytes.
const (
	HeaderSize  = 61                       // fixed header of a format-2 batch
	LogOverhead = 12                       // base offset and length, which the length field does not count
	MinLength   = HeaderSize - LogOverhead // smallest value of the length field
)

// Compression is the codec in the low three bits of a batch's attributes.
type Compression int8

// The codecs of the Kafka protocol.
const (
	None Compression = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// NoProducer is the producer id of a batch that is not idempotent.
const NoProducer int64 = -1

// Header is the fixed part of a record batch, decoded.
type Header struct {
	BaseOffset      Offset
	Length          int32 // bytes after the length field
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32 // CRC-32C over the bytes from Attributes to the end
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // ms since the epoch
	MaxTimestamp    int64 // ms since the epoch
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	NumRecords      int32
}

// Size is the length in bytes of the whole batch, header included.
func (h *Header) Size() int { return int(h.Length) + LogOverhead }

// Next is the offset after the batch's last record.
func (h *Header) Next() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) + 1 }

// Compression is the codec of the records part.
func (h *Header) Compression() Compression { return Compression(h.Attributes & 7) }

// LogAppendTime says whether MaxTimestamp, set by the broker, is the timestamp of all records.
func (h *Header) LogAppendTime() bool { return h.Attributes&(1<<3) != 0 }

// Transactional says whether the batch belongs to a transaction (KIP-98).
func (h *Header) Transactional() bool { return h.Attributes&(1<<4) != 0 }

// Control says whether the batch holds control records.
func (h *Header) Control() bool { return h.Attributes&(1<<5) != 0 }

// What can be wrong with a batch. Errors returned by this package wrap one of these and name the field, the value found
// and the limit.
var (
	ErrCorrupt           = errors.New("corrupt record batch")           // length, CRC or counts do not fit
	ErrUnsupportedFormat = errors.New("unsupported message format")     // magic 0, 1 or unknown
	ErrInvalidRecord     = errors.New("invalid record batch")           // well-formed but not allowed
	ErrTooLarge          = errors.New("record batch is over the limit") // of decompressed bytes
)

// ParseHeader decodes the header at the start of b and checks nothing but that it is there: ErrCorrupt when b is shorter
// than HeaderSize or the length field is below MinLength.
func ParseHeader(b []byte) (Header, error) { panic("unimplemented") }

// Validate checks that b is exactly one whole, well-formed batch: magic, length, CRC-32C, counts, codec, sequence fields.
// It decodes no record and allocates nothing.
func Validate(b []byte) (Header, error) { panic("unimplemented") }

// Split returns the first batch of b and the rest. ErrCorrupt when b does not begin with a whole batch; magic is not
// checked beyond telling old formats (ErrUnsupportedFormat).
func Split(b []byte) (first, rest []byte, err error) { panic("unimplemented") }

// Stamp writes the base offset and the leader epoch into the header. Both lie before the bytes that the CRC covers.
func Stamp(b []byte, base Offset, leaderEpoch int32) { panic("unimplemented") }

// StampAppendTime makes b a LogAppendTime batch of the time now (ms) and computes its CRC anew.
func StampAppendTime(b []byte, now int64) { panic("unimplemented") }

// Record is one record of a batch. Its slices point into the batch or into a decompression buffer: they are valid until
// the callback returns.
type Record struct {
	Offset    Offset
	Timestamp int64  // ms since the epoch
	Key       []byte // nil: none
	Value     []byte // nil: tombstone
	Headers   []RecordHeader
}

// RecordHeader is one header of a record.
type RecordHeader struct {
	Key   string
	Value []byte
}

// Records calls fn for every record of b until fn returns false. maxBytes bounds what decompression may produce
// (ErrTooLarge); 0: 128 MiB. The batch's CRC is not checked.
func Records(b []byte, maxBytes int, fn func(*Record) bool) error { panic("unimplemented") }

// Builder makes a batch; its zero value makes plain, uncompressed ones.
type Builder struct {
	Compression   Compression
	ProducerID    int64 // 0 with ProducerEpoch 0 and BaseSequence 0 and Idempotent false: not idempotent
	ProducerEpoch int16
	BaseSequence  int32
	Idempotent    bool
}

// Build encodes records, whose offsets are relative (0, 1, 2 … in order), as one batch with base offset 0.
func (bu *Builder) Build(records []Record) ([]byte, error) { panic("unimplemented") }
