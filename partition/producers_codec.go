package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// The applied state as a checkpoint holds it (the checkpoint file has the checksum):
//
//	byte    version, 1
//	uvarint end offset
//	uvarint number of producers, then each, by ascending id:
//	  uvarint id, less the id before (the first: less 0)
//	  uvarint epoch
//	  varint  seen, ms since the epoch
//	  byte    number of batches, 1 to 5, then each, oldest first:
//	    uvarint first sequence
//	    uvarint last sequence - first sequence, modulo 2^31
//	    uvarint base offset
//	    varint  timestamp, ms since the epoch
//	    byte    1: the timestamp is the append time; else 0
const producersVersion = 1

var errProducerState = errors.New("malformed producer state")

// encode makes the checkpoint's bytes. Equal states have equal bytes.
func (s *producers) encode() []byte {
	b := make([]byte, 0, 16+len(s.byID)*(16+remembered*20))
	b = append(b, producersVersion)
	b = binary.AppendUvarint(b, uint64(s.end))
	b = binary.AppendUvarint(b, uint64(len(s.byID)))
	before := int64(0)
	for _, id := range slices.Sorted(maps.Keys(s.byID)) {
		pr := s.byID[id]
		b = binary.AppendUvarint(b, uint64(id-before))
		b = binary.AppendUvarint(b, uint64(pr.epoch))
		b = binary.AppendVarint(b, pr.seen)
		b = append(b, byte(pr.n))
		for _, w := range pr.batches[:pr.n] {
			b = binary.AppendUvarint(b, uint64(w.first))
			b = binary.AppendUvarint(b, uint64(advance(w.last, -w.first)))
			b = binary.AppendUvarint(b, uint64(w.base))
			b = binary.AppendVarint(b, w.timestamp)
			b = append(b, boolByte(w.appendTime))
		}
		before = id
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// decode fills an empty state with what encode made.
func (s *producers) decode(b []byte) error {
	d := decoder{rest: b}
	if v := d.byte(255); d.err == nil && v != producersVersion {
		return fmt.Errorf("%w: version %d, known is %d", errProducerState, v, producersVersion)
	}
	s.end = Offset(d.uvarint(math.MaxInt64))
	before := int64(0)
	for i, n := uint64(0), d.uvarint(maxProducers); i < n && d.err == nil; i++ {
		delta := int64(d.uvarint(uint64(math.MaxInt64 - before)))
		if i > 0 && delta == 0 {
			d.fail("producer id %d twice", before)
		}
		before += delta
		s.byID[before] = d.producer()
	}
	if d.err == nil && len(d.rest) != 0 {
		d.fail("%d bytes too many", len(d.rest))
	}
	return d.err
}

// decoder reads fields until the first error, after which everything is zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errProducerState}, args...)...)
	}
	d.rest = nil
}

func (d *decoder) byte(limit byte) byte {
	if len(d.rest) == 0 || d.rest[0] > limit {
		d.fail("truncated, or a byte above %d", limit)
		return 0
	}
	v := d.rest[0]
	d.rest = d.rest[1:]
	return v
}

func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit {
		d.fail("truncated, or a number above %d", limit)
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("truncated")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) producer() *producer {
	pr := &producer{epoch: int16(d.uvarint(math.MaxInt16)), seen: d.varint(), n: int8(d.byte(remembered))}
	if pr.n == 0 {
		d.fail("a producer without batches")
	}
	for i := range pr.batches[:pr.n] {
		w := &pr.batches[i]
		w.first = int32(d.uvarint(math.MaxInt32))
		w.last = advance(w.first, int32(d.uvarint(math.MaxInt32)))
		w.base = Offset(d.uvarint(math.MaxInt64))
		w.timestamp = d.varint()
		w.appendTime = d.byte(1) == 1
	}
	return pr
}
