package batch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
)

// noTimestamp is what a record without a timestamp carries in its place.
const noTimestamp = -1

// Times are the timestamps of a batch's records, in ms since the epoch. Records without one (-1) do not count: where none has
// one, Min is math.MaxInt64 and Max is -1.
type Times struct{ Min, Max int64 }

// Scanned is what a pass over a batch's records has seen.
type Scanned struct {
	Times
	Keyless int32 // index of the first record without a key; -1: each has one
}

func (s *Times) add(ts int64) {
	if ts != noTimestamp {
		s.Min, s.Max = min(s.Min, ts), max(s.Max, ts)
	}
}

// Scan decodes every record of b, which Validate has passed, without keeping any, and returns what it has seen. maxPlain bounds
// what decompression may produce (ErrPlainTooLarge). ErrInvalidRecord when the records part does not hold exactly the records that
// the header counts, with offset deltas 0, 1, 2 and so on. Its memory is bounded by WorkingMemory.
func Scan(b []byte, maxPlain int) (Scanned, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Scanned{}, err
	}
	return scan(&h, b, maxPlain, io.Discard)
}

// scan checks the records and copies them, decompressed, to w.
func scan(h *Header, b []byte, maxPlain int, w io.Writer) (Scanned, error) {
	plain, done, err := openPlain(h.Compression(), b[HeaderSize:h.Size()], maxPlain)
	if err != nil {
		return Scanned{}, invalid(h, err)
	}
	defer done()
	r := scanReaders.Get().(*bufio.Reader)
	defer scanReaders.Put(r)
	defer r.Reset(nil)
	r.Reset(&tee{from: plain, to: w})
	s := scanner{r: r, keyless: -1}
	times, err := s.records(h)
	return Scanned{Times: times, Keyless: s.keyless}, invalid(h, err)
}

// invalid wraps what went wrong with a batch's records as ErrInvalidRecord, unless a limit was what went wrong.
func invalid(h *Header, err error) error {
	if err == nil || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalidRecord) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrInvalidRecord, h.Compression(), err)
}

// scanReaders hold what a scan looks at; larger fields are passed over in pieces.
var scanReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}

// tee is an io.TeeReader that can be told apart from what it reads: what to returns ends the scan.
type tee struct {
	from io.Reader
	to   io.Writer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	if n > 0 {
		if _, werr := t.to.Write(p[:n]); werr != nil {
			return n, werr
		}
	}
	return n, err
}

// scanner takes fields off a stream of records. After a field that is cut short or out of range err is set, and all later
// fields are zero.
type scanner struct {
	r    *bufio.Reader
	left int64 // bytes of the record that are not read
	err  error

	keyless int32 // index of the first record without a key; -1: none yet
}

func (s *scanner) records(h *Header) (Times, error) {
	times := Times{Min: math.MaxInt64, Max: noTimestamp}
	for i := range h.NumRecords {
		delta := s.record(i)
		if s.err != nil {
			return times, fmt.Errorf("record %d of %d: %w", i, h.NumRecords, s.err)
		}
		times.add(h.BaseTimestamp + delta)
	}
	switch _, err := s.r.ReadByte(); err {
	case io.EOF:
	case nil:
		return times, fmt.Errorf("%w: bytes after the last of %d records", ErrInvalidRecord, h.NumRecords)
	default:
		return times, err
	}
	if h.LogAppendTime() {
		times = Times{Min: h.MaxTimestamp, Max: h.MaxTimestamp}
	}
	return times, nil
}

// record passes over the record at index i and returns its timestamp delta.
func (s *scanner) record(i int32) (timestampDelta int64) {
	s.left = math.MaxInt64
	size := int64(s.varint("record length"))
	if s.err == nil && size < minRecordSize-1 {
		s.fail("record of %d bytes", size)
	}
	s.left = size
	s.skip(1) // attributes, which no version uses
	timestampDelta = s.varlong()
	if delta := s.varint("offset delta"); s.err == nil && delta != i {
		s.fail("offset delta %d, it should be %d", delta, i)
	}
	if s.field("key", -1) < 0 && s.keyless < 0 {
		s.keyless = i
	}
	s.field("value", -1)
	n := s.varint("header count")
	if s.err == nil && (n < 0 || int64(n) > s.left/2) { // a header has two lengths at least
		s.fail("%d headers, %d bytes are left", n, s.left)
	}
	for ; n > 0 && s.err == nil; n-- {
		s.field("header key", 0)
		s.field("header value", -1)
	}
	if s.err == nil && s.left > 0 {
		s.fail("%d bytes after the headers", s.left)
	}
	return timestampDelta
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: %s", ErrInvalidRecord, fmt.Sprintf(format, args...))
	}
}

// take says whether n more bytes belong to the record.
func (s *scanner) take(n int64) bool {
	if s.err == nil && n > s.left {
		s.fail("field of %d bytes, %d are left", n, s.left)
	}
	s.left -= n
	return s.err == nil
}

// read notes what reading failed with: a stream that ends within a record is cut short.
func (s *scanner) read(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if s.err == nil {
		s.err = err
	}
}

func (s *scanner) skip(n int64) {
	if s.take(n) {
		_, err := s.r.Discard(int(n))
		s.read(err)
	}
}

// field passes over a length and as many bytes, and returns the length, which is least (-1: null) or more.
func (s *scanner) field(name string, least int32) int32 {
	n := s.varint(name)
	if s.err == nil && n < least {
		s.fail("%s of %d bytes", name, n)
	}
	s.skip(int64(max(n, 0)))
	return n
}

// maxVarlong is the most bytes that 64 bits take.
const maxVarlong = 10

func (s *scanner) varlong() int64 {
	var u uint64
	for i := range maxVarlong {
		if !s.take(1) {
			return 0
		}
		c, err := s.r.ReadByte()
		if err != nil {
			s.read(err)
			return 0
		}
		if i == maxVarlong-1 && c > 1 {
			break
		}
		if u |= uint64(c&0x7f) << (7 * i); c < 0x80 {
			return int64(u>>1) ^ -int64(u&1)
		}
	}
	s.fail("varint is too long")
	return 0
}

// varint is a varlong in the range of 32 bits.
func (s *scanner) varint(field string) int32 {
	v := s.varlong()
	if v < math.MinInt32 || v > math.MaxInt32 {
		s.fail("%s %d is not of 32 bits", field, v)
		return 0
	}
	return int32(v)
}
