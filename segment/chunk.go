package segment

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const chunkPiece = 128 << 10

var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, chunkPiece); return &b }}

// Chunk is a run of whole record batches in one segment file. It stays readable until Close, whatever happens to the log
// (but truncation takes away what it cuts off: Read's limit keeps a chunk below that).
type Chunk struct {
	Base Offset // base offset of the first batch: at or below the offset asked for
	Len  int    // bytes
	// Owner, if any, has WriteTo check every batch, and is told of damage.
	Owner interface{ Damaged(err error) }

	file *sharedFile
	pos  int64
}

// WriteTo writes the chunk's bytes in large pieces from a pooled buffer. With an Owner it ends with ErrDamaged before the last byte of a batch
// that does not check.
func (c *Chunk) WriteTo(w io.Writer) (int64, error) {
	if c.Len == 0 {
		return 0, nil
	}
	buf := chunkBuffers.Get().(*[]byte)
	defer chunkBuffers.Put(buf)
	var done int64
	v := verifier{next: c.Base}
	for done < int64(c.Len) {
		n, err := c.ReadAt(*buf, done)
		if n == 0 {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return done, fmt.Errorf("chunk at offset %d: %w", c.Base, err)
		}
		if c.Owner != nil {
			if err := v.check((*buf)[:n], done+int64(n) == int64(c.Len)); err != nil {
				c.Owner.Damaged(err)
				return done, fmt.Errorf("chunk at offset %d: %w", c.Base, err)
			}
		}
		k, err := w.Write((*buf)[:n])
		done += int64(k)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// ReadAt reads the chunk's bytes from off within it. io.EOF at its end.
func (c *Chunk) ReadAt(p []byte, off int64) (int, error) {
	left := int64(c.Len) - off
	if off < 0 || left <= 0 {
		return 0, io.EOF
	}
	short := int64(len(p)) > left
	if short {
		p = p[:left]
	}
	n, err := c.file.ReadAt(p, c.pos+off)
	if err == nil && short || err == io.EOF && n == len(p) {
		err = nil
		if short {
			err = io.EOF
		}
	}
	return n, err
}

// Close lets go of the file. It may be called more than once.
func (c *Chunk) Close() {
	if c.file != nil {
		_ = c.file.release() // a reader has nothing to lose
		c.file = nil
	}
	c.Len = 0
}

// Read returns the batches from the one that holds offset from on, up to maxBytes but at least one batch, none of them with
// a base offset at or above limit (the high watermark or the last stable offset, always a batch boundary). The chunk is
// empty where from == limit. ErrOffsetOutOfRange when from is below the log start or above limit. It reads at most the
// headers between two index entries.
func (l *Log) Read(from, limit Offset, maxBytes int) (Chunk, error) {
	l.mu.RLock()
	limit = min(limit, l.end)
	if l.closed || from < l.start || from >= limit {
		err := l.outOfRange(from, limit)
		l.mu.RUnlock()
		return Chunk{Base: from}, err
	}
	v := l.hold(l.segs[l.segmentAt(from)])
	l.mu.RUnlock()
	defer v.close()
	var chunk Chunk
	err := l.retry(&v, func() (err error) {
		chunk, err = v.chunk(from, limit, int64(maxBytes))
		return err
	})
	if errors.Is(err, errRemoved) {
		return Chunk{Base: from}, fmt.Errorf("%w: %d, log starts at %d", ErrOffsetOutOfRange, from, l.StartOffset())
	}
	return chunk, err
}

// outOfRange says why there is nothing to read at from; nil for the empty range at limit.
func (l *Log) outOfRange(from, limit Offset) error {
	switch {
	case l.closed:
		return ErrClosed
	case from == limit:
		return nil
	}
	return fmt.Errorf("%w: %d, log has %d to %d", ErrOffsetOutOfRange, from, l.start, limit)
}

func (v *snapshot) chunk(from, limit Offset, maxBytes int64) (Chunk, error) {
	c, h, err := v.atOffset(from)
	if err != nil {
		return Chunk{}, err
	}
	defer c.release()
	base, start := c.offset, c.pos
	if c.end, err = v.limitPos(limit); err != nil {
		return Chunk{}, err
	}
	end := c.end
	if end-start > maxBytes {
		if end, err = v.cut(&c, start+int64(h.Size()), start+maxBytes); err != nil {
			return Chunk{}, err
		}
	}
	return Chunk{Base: base, Len: int(end - start), file: v.file.acquire(), pos: start}, nil
}

// limitPos is the position in the file at which the batches below limit end.
func (v *snapshot) limitPos(limit Offset) (int64, error) {
	if limit >= v.end {
		return v.size, nil
	}
	c, err := v.boundary(limit)
	if err != nil {
		return 0, err
	}
	defer c.release()
	return c.pos, nil
}

// cut finds the last batch boundary that the index or the cursor's window knows at or below want, but not below atLeast,
// the end of the cursor's batch.
func (v *snapshot) cut(c *cursor, atLeast, want int64) (int64, error) {
	if want <= atLeast {
		return atLeast, nil
	}
	e, _, err := v.index.floor(func(e indexEntry) bool { return int64(e.pos) > want })
	if err != nil {
		return 0, err
	}
	if int64(e.pos) >= atLeast {
		return int64(e.pos), nil
	}
	end := atLeast
	for c.pos < c.end {
		h, err := c.header()
		if err != nil {
			return 0, err
		}
		if next := c.pos + int64(h.Size()); next > want {
			return end, nil
		}
		c.skip(&h)
		end = c.pos
	}
	return end, nil
}

// BytesBetween is about how many bytes of batches lie from offset from up to limit (within an index interval and a batch on
// each side). It is 0 only where there are none. It reads the index only.
func (l *Log) BytesBetween(from, limit Offset) int64 {
	l.mu.RLock()
	from, limit = max(from, l.start), min(limit, l.end)
	if l.closed || from >= limit {
		l.mu.RUnlock()
		return 0
	}
	a, b := l.segmentAt(from), l.segmentAt(limit)
	if b > a && l.segs[b].base == limit {
		b--
	}
	var between int64
	for _, s := range l.segs[a:b] {
		between += s.size
	}
	first, last := l.hold(l.segs[a]), l.hold(l.segs[b])
	l.mu.RUnlock()
	defer first.close()
	defer last.close()
	return max(between+l.roughPos(&last, limit)-l.roughPos(&first, from), 1)
}

// roughPos is the position of the last index entry at or below o; 0 when the index cannot be read.
func (l *Log) roughPos(v *snapshot, o Offset) int64 {
	if o >= v.end {
		return v.size
	}
	var e indexEntry
	find := func() (err error) {
		e, _, err = v.index.floor(func(e indexEntry) bool { return v.base+Offset(e.offset) > o })
		return err
	}
	var err error
	if v.sealed {
		err = l.retry(v, find)
	} else {
		err = find() // in memory: no file is needed
	}
	if err != nil {
		return 0
	}
	return int64(e.pos)
}
