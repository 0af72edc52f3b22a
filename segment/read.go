package segment

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"

	"github.com/quirelog/quire/segment/batch"
)

// segmentOf is the position of the segment that holds index i, which is not below the first one's base. The caller holds
// l.write or l.mu.
func (l *Log) segmentOf(i Index) int {
	return sort.Search(len(l.segs), func(k int) bool { return l.segs[k].baseIndex > i }) - 1
}

// segmentAt is the position of the segment that holds offset o.
func (l *Log) segmentAt(o Offset) int {
	return sort.Search(len(l.segs), func(k int) bool { return l.segs[k].base > o }) - 1
}

// Term is the term of the entry at i. It reads no file. ErrNotFound outside first-1..last: that of the entry before the
// first is known even when entries were removed.
func (l *Log) Term(i Index) (Term, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i == 0 || i+1 < l.segs[0].baseIndex || i > l.last {
		return 0, ErrNotFound
	}
	return l.side.term(i), nil
}

// ReadEntry returns the entry at i in memory of its own. With headerOnly, the Data of a record batch is its 61-byte header
// only. ErrNotFound outside first..last.
func (l *Log) ReadEntry(i Index, headerOnly bool) (Entry, error) {
	l.mu.RLock()
	if l.closed {
		l.mu.RUnlock()
		return Entry{}, ErrClosed
	}
	if i < l.segs[0].baseIndex || i > l.last {
		l.mu.RUnlock()
		return Entry{}, ErrNotFound
	}
	e := Entry{Index: i, Term: l.side.term(i)}
	own, found := l.side.entry(i)
	if found {
		l.mu.RUnlock()
		e.Kind = own.kind
		return e, l.readOwn(&own, &e)
	}
	v, cuts := l.hold(l.segs[l.segmentOf(i)]), l.cuts
	l.mu.RUnlock()
	defer v.close()
	err := l.readBatch(&v, &e, headerOnly)
	if errors.Is(err, errRemoved) {
		return Entry{}, ErrNotFound
	}
	if l.cutSince(cuts) { // it may have been read while it was being cut off
		return l.ReadEntry(i, headerOnly)
	}
	return e, err
}

func (l *Log) cutSince(cuts int) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cuts != cuts
}

// readOwn reads the payload of one of Raft's own entries.
func (l *Log) readOwn(own *sideRecord, e *Entry) error {
	f, err := l.fs.OpenFile(path.Join(l.dir, sideName), os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("side file: %w", err)
	}
	defer f.Close()
	var head [sideHeaderSize]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("side file: read header: %w", err)
	}
	origin, err := parseSideHeader(head[:])
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, sideName, err)
	}
	if own.at < origin+sideHeaderSize {
		return ErrNotFound // removed meanwhile
	}
	b := make([]byte, sideRecordSize+own.n)
	if _, err := f.ReadAt(b, own.at-origin); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("side file: read at byte %d: %w", own.at, err)
	}
	r, payload, err := parseSideRecord(b, own.at)
	if err != nil || r != *own {
		return fmt.Errorf("%w: entry %d is not at byte %d of %s", ErrDamaged, e.Index, own.at, sideName)
	}
	e.Data = payload
	return nil
}

func (l *Log) readBatch(v *snapshot, e *Entry, headerOnly bool) error {
	c, h, err := l.findIndex(v, e.Index)
	if err != nil {
		return err
	}
	defer c.release()
	size := h.Size()
	if headerOnly {
		size = batch.HeaderSize
	}
	e.Data = make([]byte, size)
	if _, err := v.file.ReadAt(e.Data, c.pos); err != nil {
		return fmt.Errorf("segment %d: read at byte %d: %w", v.base, c.pos, err)
	}
	return nil
}

// findIndex returns a cursor on the batch at index i and its header.
func (l *Log) findIndex(v *snapshot, i Index) (cursor, batch.Header, error) {
	var c cursor
	err := l.retry(v, func() (err error) {
		c, err = v.atIndex(i)
		return err
	})
	if err != nil {
		return cursor{}, batch.Header{}, err
	}
	h, err := batch.Header{}, error(nil)
	if c.pos < c.end && c.index == i {
		h, err = c.header()
	} else {
		err = fmt.Errorf("segment %d: %w: no batch with index %d", v.base, ErrDamaged, i)
	}
	if err != nil {
		c.release()
	}
	return c, h, err
}

// retry opens v, calls fn and, when that meets a damaged index, makes the index anew and calls it again.
func (l *Log) retry(v *snapshot, fn func() error) error {
	if err := l.open(v); err != nil {
		return err
	}
	err := fn()
	if !errors.Is(err, errIndexDamaged) {
		return err
	}
	if err := l.reindex(v); err != nil {
		return err
	}
	return fn()
}
