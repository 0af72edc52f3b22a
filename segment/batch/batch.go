// Package batch reads, checks, stamps and builds Kafka record batches (format 2, KIP-98). It works on the bytes as clients
// send them; nothing here keeps or copies a batch unless a docstring says so.
package batch

import (
	"errors"
	"fmt"
)

// Offset is the position of a record in a partition: 0 for the first one.
type Offset int64

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

// String is the codec's name as Kafka's compression.type spells it ("none" for None).
func (c Compression) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "unknown"
}

// NoProducer is the producer id of a batch that is not idempotent.
const NoProducer int64 = -1

// What can be wrong with a batch. Errors returned by this package wrap one of these and name the field, the value found
// and the limit. Kafka tells the same cases apart: what a resend may mend is corrupt, the rest is final.
var (
	ErrCorrupt           = errors.New("corrupt record batch")           // magic unknown; length or CRC do not fit
	ErrUnsupportedFormat = errors.New("unsupported message format")     // magic 0 or 1
	ErrInvalidRecord     = errors.New("invalid record batch")           // arrived as it was sent, but breaks the format's rules
	ErrTooLarge          = errors.New("record batch is over the limit") // of its size, or ErrPlainTooLarge
)

// ErrPlainTooLarge is the ErrTooLarge of a batch whose records are over the limit when they are decompressed.
var ErrPlainTooLarge = fmt.Errorf("%w of decompressed records", ErrTooLarge)
