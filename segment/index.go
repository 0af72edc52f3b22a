package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sort"

	"github.com/quirelog/quire/segment/vfs"
)

// The sparse index <base>.qidx of a segment: a header, then entries of one size. An entry stands for the batch at its
// position, so every entry is a batch boundary; a closed segment's last entry stands for its end. Everything in it can be
// computed from the segment's batches and the side file: a missing or damaged index is made anew by a scan.
const (
	indexMagic      = 0x58444951 // "QIDX", little-endian
	indexVersion    = 1
	indexHeaderSize = 32
	indexEntrySize  = 28
)

// noTimestamp is the largest timestamp of no batches.
const noTimestamp = math.MinInt64

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian

	errIndexDamaged = errors.New("index is damaged")
)

// newest is the largest batch timestamp among a run of batches and the first batch that has it.
type newest struct {
	time int64  // ms since the epoch; noTimestamp: no batch yet
	pos  uint32 // position of the batch in its segment file
}

func (n *newest) add(time int64, pos uint32) {
	if time > n.time {
		n.time, n.pos = time, pos
	}
}

// indexEntry is one entry. Offset and index are relative to the segment's base.
type indexEntry struct {
	offset uint32
	index  uint32
	pos    uint32

	newestPos  uint32 // of the batches before pos
	newestTime int64
}

func (e indexEntry) newest() newest { return newest{time: e.newestTime, pos: e.newestPos} }

func (e indexEntry) append(b []byte) []byte {
	at := len(b)
	b = le.AppendUint32(b, e.offset)
	b = le.AppendUint32(b, e.index)
	b = le.AppendUint32(b, e.pos)
	b = le.AppendUint32(b, e.newestPos)
	b = le.AppendUint64(b, uint64(e.newestTime))
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

func parseIndexEntry(b []byte) (indexEntry, error) {
	if len(b) < indexEntrySize {
		return indexEntry{}, fmt.Errorf("%w: entry of %d bytes, want %d", errIndexDamaged, len(b), indexEntrySize)
	}
	if got, want := crc32.Checksum(b[:indexEntrySize-4], castagnoli), le.Uint32(b[indexEntrySize-4:]); got != want {
		return indexEntry{}, fmt.Errorf("%w: entry checksum %08x, want %08x", errIndexDamaged, got, want)
	}
	return indexEntry{
		offset:    le.Uint32(b),
		index:     le.Uint32(b[4:]),
		pos:       le.Uint32(b[8:]),
		newestPos: le.Uint32(b[12:]), newestTime: int64(le.Uint64(b[16:])),
	}, nil
}

func appendIndexHeader(b []byte, base Offset, baseIndex Index) []byte {
	at := len(b)
	b = le.AppendUint32(b, indexMagic)
	b = le.AppendUint16(b, indexVersion)
	b = le.AppendUint16(b, indexEntrySize)
	b = le.AppendUint64(b, uint64(base))
	b = le.AppendUint64(b, uint64(baseIndex))
	b = le.AppendUint32(b, 0)
	return le.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

func checkIndexHeader(b []byte, base Offset, baseIndex Index) error {
	want := appendIndexHeader(nil, base, baseIndex)
	if len(b) < indexHeaderSize || string(b[:indexHeaderSize]) != string(want) {
		return fmt.Errorf("%w: header does not fit segment %d", errIndexDamaged, base)
	}
	return nil
}

// parseIndex decodes the first n entries of a whole index file and checks that they go forward.
func parseIndex(b []byte, base Offset, baseIndex Index, n int) ([]indexEntry, error) {
	if err := checkIndexHeader(b, base, baseIndex); err != nil {
		return nil, err
	}
	b = b[indexHeaderSize:]
	if n < 0 || len(b)/indexEntrySize < n {
		return nil, fmt.Errorf("%w: %d entries, want %d", errIndexDamaged, len(b)/indexEntrySize, n)
	}
	entries := make([]indexEntry, 0, n)
	for i := range n {
		e, err := parseIndexEntry(b[i*indexEntrySize:])
		if err != nil {
			return nil, err
		}
		if i > 0 && !entries[i-1].before(e) {
			return nil, fmt.Errorf("%w: entry %d does not follow the one before", errIndexDamaged, i)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (e indexEntry) before(next indexEntry) bool {
	return e.pos < next.pos && e.offset < next.offset && e.index < next.index && e.newestTime <= next.newestTime
}

// index is a segment's entries: in memory, or on disk when f is set.
type index struct {
	mem []indexEntry
	f   vfs.File
	n   int // entries in f
}

func (x *index) len() int {
	if x.f != nil {
		return x.n
	}
	return len(x.mem)
}

func (x *index) at(i int) (indexEntry, error) {
	if x.f == nil {
		return x.mem[i], nil
	}
	buf := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(buf)
	b := (*buf)[:indexEntrySize]
	if _, err := x.f.ReadAt(b, indexHeaderSize+int64(i)*indexEntrySize); err != nil {
		return indexEntry{}, fmt.Errorf("%w: entry %d: %w", errIndexDamaged, i, err)
	}
	return parseIndexEntry(b)
}

// floor finds the last entry for which above is false, given that above is false up to some entry and true from there on.
// i is -1 and the entry that of the segment's start when there is none.
func (x *index) floor(above func(indexEntry) bool) (e indexEntry, i int, err error) {
	i = sort.Search(x.len(), func(i int) bool {
		if err != nil {
			return true
		}
		var at indexEntry
		if at, err = x.at(i); err != nil {
			return true
		}
		return above(at)
	}) - 1
	if err != nil {
		return indexEntry{}, -1, err
	}
	if i < 0 {
		return indexEntry{newestTime: noTimestamp}, -1, nil
	}
	e, err = x.at(i)
	return e, i, err
}

func (x *index) close() {
	if x.f != nil {
		_ = x.f.Close() // opened for reading
	}
}
