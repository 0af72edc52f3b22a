package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// The checkpoint file and the clean-shutdown marker both hold a mark: the place up to which everything is durable. Both are
// replaced whole, by rename.
const (
	checkpointName  = "checkpoint"
	markerName      = "clean"
	checkpointMagic = 0x504b4351 // "QCKP", little-endian
	markerMagic     = 0x4e4c4351 // "QCLN"
	markVersion     = 1
	markSize        = 64
	fileHeadSize    = 8
	maxStateBytes   = 256 << 20
)

// mark is a place in the log, after entry index.
type mark struct {
	index   Index
	term    Term
	end     Offset // of the next record
	base    Offset // of the segment that holds it
	pos     int64  // in the segment file
	side    int64  // in the side file
	entries int    // index entries of the segment before pos
	newest  newest // of the segment's batches before pos
}

func (m *mark) append(b []byte) []byte {
	b = le.AppendUint64(b, uint64(m.index))
	b = le.AppendUint64(b, uint64(m.term))
	b = le.AppendUint64(b, uint64(m.end))
	b = le.AppendUint64(b, uint64(m.base))
	b = le.AppendUint64(b, uint64(m.pos))
	b = le.AppendUint64(b, uint64(m.side))
	b = le.AppendUint32(b, uint32(m.entries))
	b = le.AppendUint32(b, m.newest.pos)
	return le.AppendUint64(b, uint64(m.newest.time))
}

var errMark = errors.New("bad mark")

func parseMark(b []byte) (mark, error) {
	if len(b) < markSize {
		return mark{}, fmt.Errorf("%w: %d bytes", errMark, len(b))
	}
	m := mark{
		index: Index(le.Uint64(b)), term: Term(le.Uint64(b[8:])), end: Offset(le.Uint64(b[16:])),
		base: Offset(le.Uint64(b[24:])), pos: int64(le.Uint64(b[32:])), side: int64(le.Uint64(b[40:])),
		entries: int(le.Uint32(b[48:])), newest: newest{pos: le.Uint32(b[52:]), time: int64(le.Uint64(b[56:]))},
	}
	if m.base < 0 || m.end < m.base || m.pos < 0 || m.pos > math.MaxUint32 || m.side < sideHeaderSize || m.term > math.MaxInt32 {
		return mark{}, fmt.Errorf("%w: base %d, end %d, position %d, side file %d, term %d", errMark, m.base, m.end, m.pos, m.side, m.term)
	}
	return m, nil
}

func appendHead(b []byte, magic uint32) []byte {
	b = le.AppendUint32(b, magic)
	b = le.AppendUint16(b, markVersion)
	return le.AppendUint16(b, 0)
}

func seal(b []byte) []byte { return le.AppendUint32(b, crc32.Checksum(b, castagnoli)) }

// unseal checks head and checksum and returns what lies between.
func unseal(b []byte, magic uint32) ([]byte, error) {
	if len(b) < fileHeadSize+4 || string(b[:fileHeadSize]) != string(appendHead(nil, magic)) {
		return nil, fmt.Errorf("%w: head of a file of %d bytes", errMark, len(b))
	}
	body := b[:len(b)-4]
	if got, want := crc32.Checksum(body, castagnoli), le.Uint32(b[len(body):]); got != want {
		return nil, fmt.Errorf("%w: checksum %08x, want %08x", errMark, got, want)
	}
	return body[fileHeadSize:], nil
}

func (m *mark) appendMarker(b []byte) []byte { return seal(m.append(appendHead(b, markerMagic))) }

func parseMarker(b []byte) (mark, error) {
	body, err := unseal(b, markerMagic)
	if err != nil {
		return mark{}, err
	}
	if len(body) != markSize {
		return mark{}, fmt.Errorf("%w: %d bytes", errMark, len(body))
	}
	return parseMark(body)
}

func appendCheckpoint(b []byte, c *Checkpoint, m *mark) []byte {
	b = m.append(appendHead(b, checkpointMagic))
	b = le.AppendUint64(b, uint64(c.Start))
	b = le.AppendUint32(b, uint32(len(c.State)))
	return seal(append(b, c.State...))
}

func parseCheckpoint(b []byte) (Checkpoint, mark, error) {
	body, err := unseal(b, checkpointMagic)
	if err != nil {
		return Checkpoint{}, mark{}, err
	}
	m, err := parseMark(body)
	if err != nil {
		return Checkpoint{}, mark{}, err
	}
	body = body[markSize:]
	if len(body) < 12 || int64(le.Uint32(body[8:])) != int64(len(body)-12) {
		return Checkpoint{}, mark{}, fmt.Errorf("%w: %d bytes of state", errMark, len(body))
	}
	c := Checkpoint{Index: m.index, Term: m.term, End: m.end, Start: Offset(le.Uint64(body)), State: body[12:]}
	if c.Start < 0 || c.Start > c.End {
		return Checkpoint{}, mark{}, fmt.Errorf("%w: start %d, end %d", errMark, c.Start, c.End)
	}
	return c, m, nil
}

// WriteCheckpoint makes the log durable up to c.End at least, then replaces the checkpoint file atomically and durably.
// c must describe an entry of the log, and none below the checkpoint before. Appends go on meanwhile.
func (l *Log) WriteCheckpoint(c Checkpoint) error {
	l.ckpt.Lock()
	defer l.ckpt.Unlock()
	if len(c.State) > maxStateBytes {
		return fmt.Errorf("checkpoint: %d bytes of state, limit %d", len(c.State), maxStateBytes)
	}
	w, err := l.beginCheckpoint(&c)
	if err != nil {
		return fmt.Errorf("checkpoint at %d: %w", c.Index, err)
	}
	if err := l.storeCheckpoint(&c, w); err != nil {
		return fmt.Errorf("checkpoint at %d: %w", c.Index, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkpoint, l.hasCkpt = c, true
	l.start = max(l.start, c.Start)
	return nil
}

// pendingCheckpoint is what a checkpoint has to make durable.
type pendingCheckpoint struct {
	mark   mark
	sealed []*segment  // not yet durable; appends leave them alone
	active *sharedFile // held; nil: it is closed, and durable
	index  string      // path of the active segment's index
}

// beginCheckpoint finds c's place in the log and moves the mark there, so that nothing below is cut off while the
// checkpoint is being stored.
func (l *Log) beginCheckpoint(c *Checkpoint) (pendingCheckpoint, error) {
	l.write.Lock()
	defer l.write.Unlock()
	var w pendingCheckpoint
	if err := l.writable(); err != nil {
		return w, err
	}
	if c.Index > l.last || c.Index < l.mark.index || c.Index+1 < l.segs[0].baseIndex {
		return w, fmt.Errorf("%w: log holds %d to %d, last checkpoint %d", ErrNotFound, l.segs[0].baseIndex, l.last, l.mark.index)
	}
	m, err := l.place(c.Index)
	if err != nil {
		return w, err
	}
	if m.term != c.Term || m.end != c.End || c.Start < 0 || c.Start > c.End {
		return w, fmt.Errorf("entry has term %d and ends at offset %d, checkpoint says term %d, end %d, start %d",
			m.term, m.end, c.Term, c.End, c.Start)
	}
	a := l.active()
	if err := l.flushIndex(a, a.entries); err != nil {
		return w, fmt.Errorf("segment %d: index: %w", a.base, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = m
	w = pendingCheckpoint{mark: m, index: a.indexPath(l.dir), sealed: l.unsettled()}
	if a.file != nil {
		w.active = a.file.acquire()
	}
	return w, nil
}

// storeCheckpoint does the slow part, while appends go on.
func (l *Log) storeCheckpoint(c *Checkpoint, w pendingCheckpoint) error {
	if w.active != nil {
		defer l.drop(w.active)
	}
	if err := l.settle(w.sealed, l.failLocked); err != nil {
		return err
	}
	if w.active != nil {
		if err := l.syncNow(w.active); err != nil {
			return l.failLocked(fmt.Errorf("segment sync: %w", err))
		}
	}
	if err := l.syncPath(w.index); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return l.replaceFile(checkpointName, appendCheckpoint(nil, c, &w.mark))
}

// settle makes sealed segments and their indexes durable and lets go of their files; fail is told of a failed sync. The
// caller holds l.ckpt.
func (l *Log) settle(sealed []*segment, fail func(error) error) error {
	for _, s := range sealed {
		if s.file != nil { // one that was closed while it was idle is durable
			if err := l.syncNow(s.file); err != nil {
				return fail(fmt.Errorf("segment %d: sync: %w", s.base, err))
			}
		}
		if err := l.syncPath(s.indexPath(l.dir)); err != nil {
			return fmt.Errorf("segment %d: index: %w", s.base, err)
		}
		if s.file != nil {
			l.forget(s.file)
		}
		l.mu.Lock()
		file := s.file
		s.file, s.synced = nil, true
		l.mu.Unlock()
		if file == nil {
			continue
		}
		if err := file.release(); err != nil {
			return fmt.Errorf("segment %d: close: %w", s.base, err)
		}
	}
	return nil
}

// place finds the place after entry i, which is in the log or was the last one to be removed from it.
func (l *Log) place(i Index) (mark, error) {
	if s := l.segs[0]; i < s.baseIndex {
		m := mark{index: i, term: l.side.term(i), end: s.base, base: s.base, newest: newest{time: noTimestamp}}
		m.side = l.side[0].end() // which says that entries up to i were there
		return m, nil
	}
	return l.placeIn(l.segs[l.segmentOf(i)], i)
}

// placeIn is place where the segment is known.
func (l *Log) placeIn(s *segment, i Index) (mark, error) {
	m := mark{index: i, term: l.side.term(i), side: sideHeaderSize}
	if n := l.side.through(i); n > 0 {
		m.side = l.side[n-1].end()
	}
	v := l.hold(s)
	defer v.close()
	err := l.retry(&v, func() error { return v.placeAfter(i, &m) })
	return m, err
}

func (v *snapshot) placeAfter(i Index, m *mark) error {
	e, k, err := v.index.floor(func(e indexEntry) bool { return v.baseIndex+Index(e.index) > i })
	if err != nil {
		return err
	}
	c := v.cursorAt(e, k)
	defer c.release()
	m.base, m.entries, m.newest = v.base, k+1, e.newest()
	for c.pos < c.end && c.index <= i {
		h, err := c.header()
		if err != nil {
			return err
		}
		m.newest.add(h.MaxTimestamp, uint32(c.pos))
		c.skip(&h)
	}
	m.pos, m.end = c.pos, c.offset
	return nil
}

// Checkpoint is the newest checkpoint; ok is false when none was ever written.
func (l *Log) Checkpoint() (c Checkpoint, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.checkpoint, l.hasCkpt
}
