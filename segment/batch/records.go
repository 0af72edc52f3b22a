package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

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
	Value []byte // nil: null
}

const (
	// minRecordSize is a record without key, value and headers: length, attributes, two deltas, two lengths, a count.
	minRecordSize = 7
	// defaultMaxBytes bounds decompression where the caller does not.
	defaultMaxBytes = 128 << 20
)

// Records calls fn for every record of b until fn returns false; fn gets the same Record each time. maxBytes bounds what
// decompression may produce (ErrTooLarge); 0: 128 MiB. The batch's CRC is not checked. ErrCorrupt when b does not begin with
// a whole batch, ErrInvalidRecord when the records part does not hold exactly the records that the header counts; fn
// may have been called for some of them by then.
func Records(b []byte, maxBytes int, fn func(*Record) bool) error {
	b, _, err := Split(b)
	if err != nil {
		return err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	if maxBytes <= 0 {
		maxBytes = defaultMaxBytes
	}
	plain := b[HeaderSize:]
	if c := h.Compression(); c != None {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		if *buf, err = decompress(*buf, c, plain, maxBytes); err != nil {
			return err
		}
		plain = *buf
	}
	return h.each(plain, fn)
}

// each decodes the records in plain, the uncompressed records part.
func (h *Header) each(plain []byte, fn func(*Record) bool) error {
	if h.NumRecords < 0 {
		return fmt.Errorf("%w: %d records", ErrInvalidRecord, h.NumRecords)
	}
	d := decoder{b: plain}
	var r Record
	for i := range h.NumRecords {
		if err := d.record(h, &r); err != nil {
			return fmt.Errorf("record %d of %d: %w", i, h.NumRecords, err)
		}
		if !fn(&r) {
			return nil
		}
	}
	if len(d.b) > 0 {
		return fmt.Errorf("%w: %d bytes after the last of %d records", ErrInvalidRecord, len(d.b), h.NumRecords)
	}
	return nil
}

// decoder takes fields off the front of b. After a field that is cut short or out of range err is set, and all later
// fields are zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrInvalidRecord, fmt.Sprintf(format, args...))
	}
	d.b = nil
}

func (d *decoder) varlong() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("varint is cut short or too long")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// varint is a varlong in the range of 32 bits.
func (d *decoder) varint(field string) int32 {
	v := d.varlong()
	if v < math.MinInt32 || v > math.MaxInt32 {
		d.fail("%s %d is not of 32 bits", field, v)
		return 0
	}
	return int32(v)
}

// bytes takes a length and as many bytes; a length of -1 is nil.
func (d *decoder) bytes(field string) []byte {
	n := d.varint(field)
	if n == -1 {
		return nil
	}
	if n < 0 || int(n) > len(d.b) {
		d.fail("%s of %d bytes, %d are left", field, n, len(d.b))
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// record decodes one record into r, whose Headers it uses again.
func (d *decoder) record(h *Header, r *Record) error {
	body := d.bytes("record")
	if d.err == nil && len(body) < minRecordSize-1 {
		d.fail("record of %d bytes", len(body))
	}
	if d.err != nil {
		return d.err
	}
	in := decoder{b: body[1:]} // after the record's attributes, which no version uses
	r.Timestamp = h.BaseTimestamp + in.varlong()
	if h.LogAppendTime() {
		r.Timestamp = h.MaxTimestamp
	}
	delta := in.varint("offset delta")
	if delta < 0 || delta > h.LastOffsetDelta {
		in.fail("offset delta %d, the last one is %d", delta, h.LastOffsetDelta)
	}
	r.Offset = h.BaseOffset + Offset(delta)
	r.Key = in.bytes("key")
	r.Value = in.bytes("value")
	in.headers(r)
	if len(in.b) > 0 {
		in.fail("%d bytes after the headers", len(in.b))
	}
	return in.err
}

func (d *decoder) headers(r *Record) {
	r.Headers = r.Headers[:0]
	n := d.varint("header count")
	if n < 0 || int(n) > len(d.b)/2 { // a header has two lengths at least
		d.fail("%d headers, %d bytes are left", n, len(d.b))
		return
	}
	for range n {
		key := d.bytes("header key")
		if d.err == nil && key == nil {
			d.fail("header without a key")
		}
		value := d.bytes("header value")
		if d.err != nil {
			return
		}
		r.Headers = append(r.Headers, RecordHeader{Key: string(key), Value: value})
	}
}
