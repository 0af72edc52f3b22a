package segment

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/quirelog/quire/segment/batch"
)

// windowSize covers the default distance between index entries and the header of a batch that begins at its end, so that
// one read shows all headers between two entries.
const windowSize = defaultIndexInterval + batch.HeaderSize

var smallBuffers = sync.Pool{New: func() any { b := make([]byte, windowSize); return &b }}

// cursor steps over the batch headers of a segment file, forward. It stands on a batch boundary: offset and index are those
// of the batch at pos. It is for one goroutine; release it.
type cursor struct {
	file   io.ReaderAt
	side   sideList
	base   Offset // of the segment
	pos    int64
	end    int64  // of the batches that count
	size   int64  // of the segment's batches
	next   Offset // after the segment's last record
	offset Offset
	index  Index

	buf  *[]byte
	from int64 // position of buf's first byte
	n    int   // bytes in buf
}

// cursorAt starts at an index entry, which may be the one that stands for the segment's start.
func (v *snapshot) cursorAt(e indexEntry, i int) cursor {
	c := cursor{
		file: v.file, side: v.side, base: v.base, pos: int64(e.pos), end: v.size, size: v.size, next: v.end,
		offset: v.base + Offset(e.offset), index: v.baseIndex + Index(e.index),
	}
	if i < 0 {
		c.index = v.side.batchAt(v.baseIndex)
	}
	return c
}

func (c *cursor) release() {
	if c.buf != nil {
		smallBuffers.Put(c.buf)
		c.buf = nil
	}
}

// header reads the header at pos. ErrDamaged when it is not that of the batch that must be there.
func (c *cursor) header() (batch.Header, error) {
	if c.pos < c.from || c.pos+batch.HeaderSize > c.from+int64(c.n) {
		if err := c.fill(); err != nil {
			return batch.Header{}, err
		}
	}
	h, err := batch.ParseHeader((*c.buf)[c.pos-c.from : c.n])
	if err == nil {
		err = checkPlace(&h, c.offset, c.end-c.pos)
	}
	if err == nil && (h.Next() > c.next || (h.Next() == c.next) != (c.pos+int64(h.Size()) == c.size)) {
		err = fmt.Errorf("batch of offsets %d to %d ends at byte %d, the segment at offset %d, byte %d",
			h.BaseOffset, h.Next(), c.pos+int64(h.Size()), c.next, c.size)
	}
	if err != nil {
		return h, fmt.Errorf("segment %d at byte %d: %w: %w", c.base, c.pos, ErrDamaged, err)
	}
	return h, nil
}

func (c *cursor) fill() error {
	if c.buf == nil {
		c.buf = smallBuffers.Get().(*[]byte)
	}
	c.from, c.n = c.pos, 0
	want := min(int64(len(*c.buf)), c.end-c.pos)
	n, err := c.file.ReadAt((*c.buf)[:want], c.pos)
	if err != nil && (!errors.Is(err, io.EOF) || n < batch.HeaderSize) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: file ends early", ErrDamaged)
		}
		return fmt.Errorf("segment %d: read at byte %d: %w", c.base, c.pos, err)
	}
	c.n = n
	return nil
}

// checkPlace tells whether h can be the batch that begins at offset with room bytes left.
func checkPlace(h *batch.Header, offset Offset, room int64) error {
	switch {
	case h.Magic != 2:
		return fmt.Errorf("magic %d, want 2", h.Magic)
	case h.BaseOffset != offset:
		return fmt.Errorf("base offset %d, want %d", h.BaseOffset, offset)
	case h.Length < batch.MinLength || int64(h.Size()) > room:
		return fmt.Errorf("batch of %d bytes, %d left", h.Size(), room)
	case h.LastOffsetDelta < 0:
		return fmt.Errorf("last offset delta %d", h.LastOffsetDelta)
	}
	return nil
}

// skip moves past the batch that header returned.
func (c *cursor) skip(h *batch.Header) {
	c.pos += int64(h.Size())
	c.offset = h.Next()
	c.index = c.side.batchAt(c.index + 1)
}

// atOffset returns a cursor on the batch that holds o, which must be in the segment.
func (v *snapshot) atOffset(o Offset) (cursor, batch.Header, error) {
	e, i, err := v.index.floor(func(e indexEntry) bool { return v.base+Offset(e.offset) > o })
	if err != nil {
		return cursor{}, batch.Header{}, err
	}
	c := v.cursorAt(e, i)
	for {
		h, err := c.header()
		if err != nil {
			c.release()
			return cursor{}, h, err
		}
		if o < h.Next() {
			return c, h, nil
		}
		c.skip(&h)
	}
}

// boundary returns a cursor on the first batch boundary at or above o, which may be the segment's end.
func (v *snapshot) boundary(o Offset) (cursor, error) {
	return v.seek(func(e indexEntry) bool { return v.base+Offset(e.offset) > o },
		func(c *cursor) bool { return c.offset >= o })
}

// atIndex returns a cursor on the first batch with an index at or above i, or on the segment's end.
func (v *snapshot) atIndex(i Index) (cursor, error) {
	return v.seek(func(e indexEntry) bool { return v.baseIndex+Index(e.index) > i },
		func(c *cursor) bool { return c.index >= i })
}

// seek starts at the last index entry that is not above, and steps until there says so or the segment ends.
func (v *snapshot) seek(above func(indexEntry) bool, there func(*cursor) bool) (cursor, error) {
	e, i, err := v.index.floor(above)
	if err != nil {
		return cursor{}, err
	}
	c := v.cursorAt(e, i)
	for c.pos < c.end && !there(&c) {
		h, err := c.header()
		if err != nil {
			c.release()
			return cursor{}, err
		}
		c.skip(&h)
	}
	return c, nil
}
