package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sort"
	"time"
)

// The side file raft.entries: what an index needs and record batches do not say. Records in the order of the log:
//
//   - a segment record opens every segment file: base offset, base Raft index, the term of the entry before it;
//   - an entry record is one of Raft's own entries, which lies before the batch at its offset;
//   - a term record stands before the first batch of a term that no entry record has introduced.
//
// A record is durable before any batch behind it is written, in every durability mode, and truncation cuts the segment
// files before the side file. So a batch found in a segment file has all side records that precede it, and its index is
// the index of the one before plus one, with the entry records between them counted.
//
// Positions in it count from the log's first record ever: when segments are removed from the front, their records go as well,
// and the header says how many bytes are gone (the origin), so that what is known by its position stays so.
const (
	sideName         = "raft.entries"
	sideMagic        = 0x45534451 // "QDSE", little-endian
	sideVersion      = 1
	sideHeaderSize   = 16
	sideRecordSize   = 40
	maxSidePayload   = 16 << 20
	segmentRecordLen = 16 // payload of a segment record: when it was made, and the last append to the segment before
	maxSideOrigin    = 1<<48 - 1
)

type sideType uint8

const (
	sideSegment sideType = 1
	sideEntry   sideType = 2
	sideTerm    sideType = 3
)

// sideRecord is a record without its payload.
type sideRecord struct {
	typ    sideType
	kind   Kind   // of an entry
	pos    uint32 // bytes in the segment file before it; of a segment record, in the file before
	index  Index  // of an entry; else of the entry that follows
	term   Term   // of an entry or of the batches that follow; of a segment record, of the entry before
	offset Offset // of the record that follows
	at     int64  // position of the record in the side file
	n      int    // bytes of payload
}

func (r *sideRecord) end() int64 { return r.at + sideRecordSize + int64(r.n) }

var errSideRecord = errors.New("bad side record")

func appendSideHeader(b []byte, origin int64) []byte {
	at := len(b)
	b = le.AppendUint32(b, sideMagic)
	b = le.AppendUint16(b, sideVersion)
	b = le.AppendUint16(b, uint16(origin))
	b = le.AppendUint32(b, uint32(origin>>16))
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// parseSideHeader returns the origin.
func parseSideHeader(b []byte) (int64, error) {
	if len(b) < sideHeaderSize {
		return 0, fmt.Errorf("%w: file header of %d bytes", errSideRecord, len(b))
	}
	origin := int64(le.Uint16(b[6:])) | int64(le.Uint32(b[8:]))<<16
	if string(b[:sideHeaderSize]) != string(appendSideHeader(nil, origin)) {
		return 0, fmt.Errorf("%w: file header", errSideRecord)
	}
	return origin, nil
}

// appendSegmentTimes makes the payload of a segment record.
func appendSegmentTimes(b []byte, created, before time.Time) []byte {
	b = le.AppendUint64(b, uint64(created.UnixMilli()))
	return le.AppendUint64(b, uint64(before.UnixMilli()))
}

func appendSideRecord(b []byte, r *sideRecord, payload []byte) []byte {
	at := len(b)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(payload)))
	b = append(b, byte(r.typ), byte(r.kind), 0, 0)
	b = le.AppendUint32(b, r.pos)
	b = le.AppendUint64(b, uint64(r.index))
	b = le.AppendUint64(b, uint64(r.term))
	b = le.AppendUint64(b, uint64(r.offset))
	b = append(b, payload...)
	le.PutUint32(b[at:], crc32.Checksum(b[at+4:], castagnoli))
	return b
}

// parseSideRecord decodes the record at the start of b; at is its position in the file.
func parseSideRecord(b []byte, at int64) (sideRecord, []byte, error) {
	if len(b) < sideRecordSize {
		return sideRecord{}, nil, fmt.Errorf("%w at byte %d: %d bytes left of %d", errSideRecord, at, len(b), sideRecordSize)
	}
	n := le.Uint32(b[4:])
	if n > maxSidePayload || int(n) > len(b)-sideRecordSize {
		return sideRecord{}, nil, fmt.Errorf("%w at byte %d: payload of %d bytes, %d left", errSideRecord, at, n, len(b)-sideRecordSize)
	}
	end := sideRecordSize + int(n)
	if got, want := crc32.Checksum(b[4:end], castagnoli), le.Uint32(b); got != want {
		return sideRecord{}, nil, fmt.Errorf("%w at byte %d: checksum %08x, want %08x", errSideRecord, at, got, want)
	}
	r := sideRecord{
		typ: sideType(b[8]), kind: Kind(b[9]), pos: le.Uint32(b[12:]),
		index: Index(le.Uint64(b[16:])), term: Term(le.Uint64(b[24:])), offset: Offset(le.Uint64(b[32:])),
		at: at, n: int(n),
	}
	switch {
	case r.typ < sideSegment || r.typ > sideTerm,
		r.typ == sideEntry && r.kind == KindBatch,
		r.typ == sideSegment && n != segmentRecordLen,
		r.typ == sideTerm && n != 0,
		r.offset < 0 || r.index == 0 || r.term > math.MaxInt32:
		return sideRecord{}, nil, fmt.Errorf("%w at byte %d: type %d, kind %d, index %d, term %d, offset %d",
			errSideRecord, at, r.typ, r.kind, r.index, r.term, r.offset)
	}
	return r, b[sideRecordSize:end], nil
}

// sideFile is a side file's content without the payloads.
type sideFile struct {
	origin  int64          // how far positions are ahead of the bytes in the file
	records []sideRecord   // in file order: indexes, terms and offsets never go back
	times   []segmentTimes // one for each segment record
	size    int64          // position of the end of the last good record
}

// segmentTimes are the broker's times in a segment record.
type segmentTimes struct {
	created time.Time
	before  time.Time // of the last append to the segment before
}

// parseSideFile decodes as many records as are good and in order. The error says why it stopped before the end of b.
func parseSideFile(b []byte) (sideFile, error) {
	var f sideFile
	origin, err := parseSideHeader(b)
	if err != nil {
		return f, err
	}
	f.origin, f.size = origin, origin+sideHeaderSize
	for f.size < origin+int64(len(b)) {
		r, payload, err := parseSideRecord(b[f.size-origin:], f.size)
		if err != nil {
			return f, err
		}
		if n := len(f.records); n == 0 && r.typ != sideSegment || n > 0 && !f.records[n-1].before(&r) {
			return f, fmt.Errorf("%w at byte %d: out of order", errSideRecord, f.size)
		}
		if r.typ == sideSegment {
			f.times = append(f.times, segmentTimes{
				created: time.UnixMilli(int64(le.Uint64(payload))), before: time.UnixMilli(int64(le.Uint64(payload[8:]))),
			})
		}
		f.records = append(f.records, r)
		f.size = r.end()
	}
	return f, nil
}

// before reports whether next may follow r: an index is taken by one entry only.
func (r *sideRecord) before(next *sideRecord) bool {
	after := r.index
	if r.typ == sideEntry {
		after++
	}
	if next.typ == sideSegment && next.offset == r.offset && r.typ == sideSegment {
		return false // a segment without a batch is never rolled
	}
	return next.index >= after && next.term >= r.term && next.offset >= r.offset
}

// sideList answers questions about side records in memory. It is append-only while readers share it; truncation makes a
// new one.
type sideList []sideRecord

// through counts the records that describe entries up to and including i: entries and terms up to i, and the segments that
// hold one of them.
func (s sideList) through(i Index) int {
	return sort.Search(len(s), func(k int) bool { return s[k].index > i })
}

// entry finds Raft's own entry at i.
func (s sideList) entry(i Index) (sideRecord, bool) {
	for k := s.through(i) - 1; k >= 0 && s[k].index == i; k-- {
		if s[k].typ == sideEntry {
			return s[k], true
		}
	}
	return sideRecord{}, false
}

// term is the term of the entry at i, which must be in the log or be the one before its first.
func (s sideList) term(i Index) Term {
	if k := s.through(i) - 1; k >= 0 {
		return s[k].term
	}
	if len(s) > 0 {
		return s[0].term // a segment record has the term of the entry before it
	}
	return 0
}

// batchAt is the first index at or after i that Raft's own entries do not take.
func (s sideList) batchAt(i Index) Index {
	if len(s) == 0 || s[len(s)-1].index < i {
		return i
	}
	for k := sort.Search(len(s), func(k int) bool { return s[k].index >= i }); k < len(s) && s[k].index <= i; k++ {
		if s[k].typ == sideEntry && s[k].index == i {
			i++
		}
	}
	return i
}

// epochs lists the terms that have batches in a log from start to end.
func (s sideList) epochs(start, end Offset) []EpochStart {
	var out []EpochStart
	for k := range s {
		from, next := max(s[k].offset, start), end
		if k+1 < len(s) {
			next = s[k+1].offset
		}
		if from < next && (len(out) == 0 || out[len(out)-1].Epoch != int32(s[k].term)) {
			out = append(out, EpochStart{Epoch: int32(s[k].term), Start: from})
		}
	}
	return out
}
