// Package inspect reads segment files as they lie there, for people: no broker runs, nothing is written, and what does not
// check is shown all the same.
package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/quirelog/quire/segment/batch"
)

// Batch is one batch of a segment file.
type Batch struct {
	Position int64
	Header   batch.Header
	Valid    bool // the CRC fits
	raw      []byte
}

// ErrNotABatch says that a file goes on with something that is no record batch.
var ErrNotABatch = errors.New("not a record batch")

// maxRecordBytes bounds the decompressed records of a batch that is shown.
const maxRecordBytes = 1 << 30

// leastLength is the smallest length field of any format's batch.
const leastLength = 14

// Batches calls fn for every batch of a segment file of size bytes, and returns how many bytes they take. A batch that is cut
// off by the end of the file ends it without an error. The Batch is valid until fn returns.
func Batches(f io.ReaderAt, size int64, fn func(*Batch) error) (valid int64, err error) {
	var buf []byte
	for size-valid > batch.LogOverhead+5 { // up to the magic byte
		var head [batch.HeaderSize]byte
		n, err := f.ReadAt(head[:min(batch.HeaderSize, size-valid)], valid)
		if err != nil && !errors.Is(err, io.EOF) {
			return valid, fmt.Errorf("read at byte %d: %w", valid, err)
		}
		length := int32(binary.BigEndian.Uint32(head[8:]))
		if length < leastLength {
			return valid, fmt.Errorf("byte %d: %w: length field %d", valid, ErrNotABatch, length)
		}
		whole := int64(length) + batch.LogOverhead
		if whole > size-valid {
			return valid, nil
		}
		h, err := batch.ParseHeader(head[:n])
		if err != nil || h.Magic != 2 {
			return valid, fmt.Errorf("byte %d: %w: magic %d", valid, ErrNotABatch, int8(head[16]))
		}
		if int64(cap(buf)) < whole {
			buf = make([]byte, whole)
		}
		b := Batch{Position: valid, Header: h, raw: buf[:whole]}
		if _, err := f.ReadAt(b.raw, valid); err != nil {
			return valid, fmt.Errorf("read at byte %d: %w", valid, err)
		}
		b.Valid = crc32.Checksum(b.raw[crcStart:], castagnoli) == h.CRC
		if err := fn(&b); err != nil {
			return valid, err
		}
		valid += whole
	}
	return valid, nil
}

const crcStart = 21 // first byte that a batch's CRC covers

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Records calls fn for every record of the batch; the Record is valid until fn returns.
func (b *Batch) Records(fn func(*batch.Record)) error {
	err := batch.Records(b.raw, maxRecordBytes, func(r *batch.Record) bool {
		fn(r)
		return true
	})
	if err != nil {
		return fmt.Errorf("batch at byte %d: %w", b.Position, err)
	}
	return nil
}

// LastSequence is the sequence number of the batch's last record, -1 without a producer.
func (b *Batch) LastSequence() int32 { return b.sequence(b.Header.LastOffsetDelta) }

// Sequence is the sequence number of a record, -1 without a producer.
func (b *Batch) Sequence(r *batch.Record) int32 {
	return b.sequence(int32(r.Offset - b.Header.BaseOffset))
}

// sequence numbers go from the largest of 31 bits on to 0.
func (b *Batch) sequence(delta int32) int32 {
	if b.Header.BaseSequence < 0 {
		return -1
	}
	return int32((uint32(b.Header.BaseSequence) + uint32(delta)) & 0x7fffffff)
}

// TimestampType is CreateTime or LogAppendTime.
func (b *Batch) TimestampType() string {
	if b.Header.LogAppendTime() {
		return "LogAppendTime"
	}
	return "CreateTime"
}
