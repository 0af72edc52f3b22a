package segment

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
)

// newProgress starts at the segment's first batch.
func newProgress(r *recovery, s *segment) *indexBuilder {
	return r.l.newIndexBuilder(s.base, s.baseIndex, r.side)
}

// resume goes on at the mark, which lies in s.
func (r *recovery) resume(s *segment, size int64) error {
	m := &r.mark
	b := newProgress(r, s)
	entries, err := r.l.loadIndex(s, m.entries)
	if err == nil && fits(entries, m) {
		s.flushed = len(entries)
		b.entries, b.newest, b.pos, b.offset = entries, m.newest, m.pos, m.end
	} else {
		if err := r.rebuild(s, b); errors.Is(err, ErrDamaged) {
			r.damage("%v", err)
			return r.scan(s, newProgress(r, s), size)
		} else if err != nil {
			return err
		}
		r.l.recovery.Rebuilt++
		if b.pos != m.pos || b.offset != m.end {
			r.damage("%s: batches up to byte %d end at offset %d, checkpoint says %d", logName(s.base), m.pos, b.offset, m.end)
		}
	}
	for r.k < len(r.side) && r.side[r.k].at < m.side {
		r.k++
	}
	r.kept = r.k
	r.next, r.end, r.term = m.index+1, m.end, m.term
	return r.scan(s, b, size)
}

// fits tells whether a loaded index can be that of the batches before the mark.
func fits(entries []indexEntry, m *mark) bool {
	if len(entries) == 0 {
		return m.pos == 0
	}
	last := entries[len(entries)-1]
	return int64(last.pos) < m.pos && int64(last.offset) < int64(m.end-m.base) && last.newestTime <= m.newest.time
}

// rebuild makes the part of the index below the mark anew.
func (r *recovery) rebuild(s *segment, b *indexBuilder) error {
	f, err := r.l.fs.OpenFile(s.logPath(r.l.dir), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return b.scan(f, r.mark.pos)
}

// scan checks the batches of s from b's place on and ends the log where they end to fit. It leaves the file open.
func (r *recovery) scan(s *segment, b *indexBuilder, size int64) error {
	flag := os.O_RDWR | os.O_CREATE // a segment file that is missing above the mark had nothing in it
	if len(r.l.recovery.Damage) > 0 {
		flag = os.O_RDONLY
	}
	f, err := r.l.fs.OpenFile(s.logPath(r.l.dir), flag, 0o644)
	if err != nil && flag == os.O_RDONLY {
		return r.placeholder(s)
	}
	if err != nil {
		return err
	}
	s.file = share(f)
	r.own()
	if b.pos < size {
		from := b.pos
		err = withScanner(f, b.pos, size, func(sc *scanner) error { return r.batches(sc, b) })
		r.read += b.pos - from
	}
	if errors.Is(err, errNotABatch) {
		r.l.log.Info("log ends at a torn batch", "dir", r.l.dir, "base", s.base, "reason", err)
		r.ends, err = true, nil
	}
	s.size, s.end, s.newest, s.entries = b.pos, b.offset, b.newest, slices.Clone(b.entries) // without room to grow: many logs are idle
	return err
}

// placeholder stands for a segment whose file is gone: empty, so that the log before it can be read.
func (r *recovery) placeholder(s *segment) error {
	if len(r.l.segs) > 1 {
		r.l.segs = r.l.segs[:len(r.l.segs)-1]
		return nil
	}
	s.sealed = true
	return nil
}

// own takes the entries of Raft's that lie before the next batch.
func (r *recovery) own() {
	for r.k < len(r.side) {
		rec := &r.side[r.k]
		if rec.typ == sideSegment || rec.index != r.next || rec.offset != r.end {
			return
		}
		r.term = rec.term
		r.k++
		if rec.typ == sideEntry {
			r.next++
			r.kept = r.k
		}
	}
}

// batches takes batches as long as they fit.
func (r *recovery) batches(sc *scanner, b *indexBuilder) error {
	for sc.pos < sc.size {
		h, err := sc.next(r.end, false)
		if err != nil {
			return err
		}
		if Term(h.LeaderEpoch) != r.term {
			return fmt.Errorf("%w at byte %d: leader epoch %d, want %d", errNotABatch, b.pos, h.LeaderEpoch, r.term)
		}
		b.index = r.next
		b.add(&h)
		r.next++
		r.end = b.offset
		r.kept = r.k
		r.own()
	}
	return nil
}

// finish makes the directory agree with what was recovered, segment files first, unless the log is damaged.
func (r *recovery) finish() error {
	l := r.l
	l.side = r.side[:r.kept:r.kept]
	l.sideSize = l.side[r.kept-1].end()
	l.last, l.end = r.next-1, r.end
	l.lastTerm = l.side.term(l.last)
	a := l.active()
	if changed := r.times[a.base]; changed.After(a.appended) && changed.Before(l.now()) {
		a.appended = changed // as near as anybody knows
	}
	l.start = l.segs[0].base
	if l.hasCkpt {
		l.start = max(l.start, l.checkpoint.Start)
	}
	l.start = min(l.start, l.end)
	l.recovery.Scanned = r.read
	for _, s := range l.segs[:len(l.segs)-1] {
		l.sealedSize += s.size
	}
	if len(l.recovery.Damage) > 0 {
		return nil
	}
	if err := r.cutTail(); err != nil {
		return err
	}
	l.recovery.Clean = r.clean && r.read == 0 && l.recovery.Cut == 0
	return r.settleScanned()
}

// cutTail removes what does not belong to the log: the torn tail, segments behind it, then side records.
func (r *recovery) cutTail() error {
	l, a := r.l, r.l.active()
	if err := r.removeOthers(); err != nil {
		return err
	}
	torn := max(r.sizes[a.base]-a.size, 0)
	if torn > 0 {
		if err := l.unmark(); err != nil {
			return err
		}
		if err := errors.Join(a.file.Truncate(a.size), l.syncNow(a.file)); err != nil {
			return fmt.Errorf("segment %d: cut torn tail at byte %d: %w", a.base, a.size, err)
		}
		l.recovery.Cut += torn
	}
	if r.cut > l.sideSize {
		if err := l.unmark(); err != nil {
			return err
		}
		return l.cutSide(l.sideSize)
	}
	return nil
}

// removeOthers removes segment files and indexes of segments that are not in the log.
func (r *recovery) removeOthers() error {
	l := r.l
	removed := false
	for _, s := range l.segs {
		if _, ok := r.sizes[s.base]; !ok {
			removed = true // the file was made anew by scan
		}
		delete(r.index, s.base)
	}
	known := map[Offset]bool{}
	for _, s := range l.segs {
		known[s.base] = true
	}
	for base, size := range r.sizes {
		if !known[base] {
			if err := l.fs.Remove(path.Join(l.dir, logName(base))); err != nil {
				return err
			}
			l.recovery.Cut += size
			removed = true
		}
	}
	for base := range r.index {
		if err := l.fs.Remove(path.Join(l.dir, indexName(base))); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return l.syncDir(l.dir)
}

// settleScanned makes durable what was read from the page cache only, and seals the segments before the last.
func (r *recovery) settleScanned() error {
	l := r.l
	for i, s := range l.segs[:len(l.segs)-1] {
		if s.sealed {
			continue
		}
		l.seal(s, l.segs[i+1].baseIndex)
		if err := l.settle([]*segment{s}, l.fail); err != nil {
			return err
		}
	}
	if r.clean {
		return nil
	}
	if err := r.settleNames(); err != nil {
		return err
	}
	a := l.active()
	if r.read == 0 {
		return nil
	}
	if err := l.syncAppend(a.file); err != nil {
		return fmt.Errorf("segment %d: sync: %w", a.base, err)
	}
	return nil
}

// settleNames makes durable what lies past the mark outside of segment files: a process that was killed may have written a
// side record, or made a segment file, and not come to sync it. Batches will be answered for that need both.
func (r *recovery) settleNames() error {
	l := r.l
	if l.sideSize > r.mark.side {
		if err := l.syncPath(path.Join(l.dir, sideName)); err != nil {
			return fmt.Errorf("side file: sync: %w", err)
		}
	}
	if l.active().base > r.mark.base || r.mark.side == 0 {
		return l.syncDir(l.dir)
	}
	return nil
}
