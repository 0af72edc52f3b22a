package segment

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/quirelog/quire/segment/batch"
)

// indexBuilder makes the index of one segment, batch by batch.
type indexBuilder struct {
	interval int64
	base     Offset
	start    Index // the segment's base index
	side     sideList

	entries []indexEntry
	newest  newest
	pos     int64
	offset  Offset
	index   Index // of the batch at pos
}

func (l *Log) newIndexBuilder(base Offset, baseIndex Index, side sideList) *indexBuilder {
	return &indexBuilder{
		interval: l.interval, base: base, start: baseIndex, side: side,
		newest: newest{time: noTimestamp}, offset: base, index: side.batchAt(baseIndex),
	}
}

// indexDue tells whether the batch at pos gets an entry.
func indexDue(entries []indexEntry, pos, interval int64) bool {
	return len(entries) == 0 || pos-int64(entries[len(entries)-1].pos) >= interval
}

func (b *indexBuilder) entry() indexEntry {
	return indexEntry{
		offset: uint32(b.offset - b.base), index: uint32(b.index - b.start), pos: uint32(b.pos),
		newestPos: b.newest.pos, newestTime: b.newest.time,
	}
}

// add takes the batch at pos, whose header is h and whose index is b.index.
func (b *indexBuilder) add(h *batch.Header) {
	if indexDue(b.entries, b.pos, b.interval) {
		b.entries = append(b.entries, b.entry())
	}
	b.newest.add(h.MaxTimestamp, uint32(b.pos))
	b.pos += int64(h.Size())
	b.offset = h.Next()
	b.index = b.side.batchAt(b.index + 1)
}

// seal adds the entry that stands for the end of a closed segment.
func (b *indexBuilder) seal() { b.entries = append(b.entries, b.entry()) }

// scan adds the batches of file up to size, looking at headers only.
func (b *indexBuilder) scan(file io.ReaderAt, size int64) error {
	return withScanner(file, b.pos, size, func(s *scanner) error {
		for s.pos < size {
			h, err := s.next(b.offset, true)
			if errors.Is(err, errNotABatch) {
				err = fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if err != nil {
				return fmt.Errorf("segment %d: %w", b.base, err)
			}
			b.add(&h)
		}
		return nil
	})
}

// openIndex opens a closed segment's index and checks its header, its size and its last entry, which must stand for the
// segment's end. The entries between are checked when they are read.
func (l *Log) openIndex(s *segment) (index, error) {
	f, err := l.fs.OpenFile(s.indexPath(l.dir), os.O_RDONLY, 0)
	if err != nil {
		return index{}, err
	}
	x := index{f: f}
	if err := x.check(s); err != nil {
		x.close()
		return index{}, err
	}
	return x, nil
}

func (x *index) check(s *segment) error {
	size, err := x.f.Size()
	if err != nil {
		return err
	}
	if size < indexHeaderSize+indexEntrySize || (size-indexHeaderSize)%indexEntrySize != 0 {
		return fmt.Errorf("%w: %d bytes", errIndexDamaged, size)
	}
	var head [indexHeaderSize]byte
	if _, err := x.f.ReadAt(head[:], 0); err != nil {
		return err
	}
	if err := checkIndexHeader(head[:], s.base, s.baseIndex); err != nil {
		return err
	}
	x.n = int((size - indexHeaderSize) / indexEntrySize)
	last, err := x.at(x.n - 1)
	if err != nil {
		return err
	}
	if int64(last.pos) != s.size || s.base+Offset(last.offset) != s.end {
		return fmt.Errorf("%w: ends at byte %d, want %d", errIndexDamaged, last.pos, s.size)
	}
	return nil
}

// loadIndex reads the first n entries of a segment's index.
func (l *Log) loadIndex(s *segment, n int) ([]indexEntry, error) {
	size := indexHeaderSize + n*indexEntrySize
	info, err := l.fs.Stat(s.indexPath(l.dir))
	if err != nil {
		return nil, err
	}
	if info.Size() < int64(size) { // before memory is taken: n may come from a file
		return nil, fmt.Errorf("%w: %d bytes, want %d", errIndexDamaged, info.Size(), size)
	}
	f, err := l.fs.OpenFile(s.indexPath(l.dir), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	if k, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if k < len(b) {
		return nil, fmt.Errorf("%w: %d bytes, want %d", errIndexDamaged, k, len(b))
	}
	return parseIndex(b, s.base, s.baseIndex, n)
}

// flushIndex writes the entries that the index file of s does not have yet, and cuts off what it has beyond them. It does
// not sync them: that matters for the time that a restart takes only. The caller holds l.write but
// not l.mu.
func (l *Log) flushIndex(s *segment, entries []indexEntry) error {
	at := int64(indexHeaderSize) + int64(s.flushed)*indexEntrySize
	b := make([]byte, 0, indexHeaderSize+(len(entries)-s.flushed)*indexEntrySize)
	if s.flushed == 0 {
		b, at = appendIndexHeader(b, s.base, s.baseIndex), 0
	}
	for _, e := range entries[s.flushed:] {
		b = e.append(b)
	}
	if len(b) == 0 {
		return nil
	}
	err := l.withFile(s.indexPath(l.dir), os.O_RDWR|os.O_CREATE, func(f *sharedFile) error {
		if _, err := f.WriteAt(b, at); err != nil {
			return err
		}
		return f.Truncate(at + int64(len(b)))
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.flushed = len(entries)
	return nil
}

// replaceIndex writes a whole new index file of a closed segment under a temporary name and swaps it in.
func (l *Log) replaceIndex(s *segment, entries []indexEntry) error {
	b := appendIndexHeader(nil, s.base, s.baseIndex)
	for _, e := range entries {
		b = e.append(b)
	}
	return l.replaceFile(indexName(s.base), b)
}
