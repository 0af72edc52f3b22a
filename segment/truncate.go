package segment

import (
	"errors"
	"fmt"
)

// TruncateAfter removes every entry with an index above last. It is durable when it returns, in every mode. Nothing at or
// below the checkpoint is ever removed: that is refused.
func (l *Log) TruncateAfter(last Index) error {
	l.ckpt.Lock()
	defer l.ckpt.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if last >= l.last {
		return nil
	}
	if last < l.mark.index || last+1 < l.segs[0].baseIndex {
		return fmt.Errorf("truncate after %d: checkpoint is at %d, first entry %d", last, l.mark.index, l.segs[0].baseIndex)
	}
	if err := l.truncate(last); err != nil {
		return fmt.Errorf("truncate after %d: %w", last, err)
	}
	return nil
}

// truncate cuts the segment files, newest first, and then the side file: at any moment what is on disk is a prefix of the
// log, followed by side records that do not connect. The caller holds l.ckpt and l.write.
func (l *Log) truncate(last Index) error {
	keep := l.segmentOf(max(last, l.segs[0].baseIndex))
	for keep+1 < len(l.segs) && l.segs[keep+1].baseIndex == last+1 {
		keep++ // the next segment stays, empty
	}
	s, m, entries, err := l.cutPlace(l.segs[keep], last)
	if err != nil {
		return err
	}
	if err := l.unmark(); err != nil {
		return err
	}
	if s.file == nil {
		if s.file, err = l.openForAppend(s); err != nil {
			return err
		}
	}
	s.size, s.end, s.newest, s.entries = m.pos, m.end, m.newest, entries
	s.sealed, s.synced, s.flushed = false, false, min(s.flushed, len(entries))
	gone, sideSize := l.segs[keep+1:], l.sideSize
	l.rewind(keep, s, last, l.sideUpTo(last, s.baseIndex))
	l.fileOpened()
	if err := l.cutDisk(gone, s, l.sideSize < sideSize); err != nil {
		return l.fail(err)
	}
	return nil
}

// cutDisk makes the files as short as what readers are shown, in the order that truncate promises.
func (l *Log) cutDisk(gone []*segment, s *segment, side bool) error {
	if err := l.removeSegments(gone); err != nil {
		return err
	}
	if err := errors.Join(s.file.Truncate(s.size), l.syncNow(s.file)); err != nil {
		return fmt.Errorf("segment %d: cut at byte %d: %w", s.base, s.size, err)
	}
	if side {
		return l.cutSide(l.sideSize)
	}
	return nil
}

// cutPlace finds where a segment ends after entry last, and returns a copy of the segment to continue with, whose index
// entries share no memory with those that readers may hold.
func (l *Log) cutPlace(old *segment, last Index) (*segment, mark, []indexEntry, error) {
	s := *old
	if last < s.baseIndex {
		return &s, mark{end: s.base, newest: newest{time: noTimestamp}}, nil, nil
	}
	m, err := l.placeIn(old, last)
	if err != nil {
		return nil, m, nil, err
	}
	entries := s.entries
	if s.sealed {
		if entries, err = l.loadIndex(&s, m.entries); err != nil {
			b := l.newIndexBuilder(s.base, s.baseIndex, l.side)
			v := l.hold(old)
			defer v.close()
			if err := l.openFile(&v); err != nil {
				return nil, m, nil, err
			}
			if err := b.scan(v.file, m.pos); err != nil {
				return nil, m, nil, err
			}
			entries, s.flushed = b.entries, 0
		} else {
			s.flushed = len(entries)
		}
	}
	n := min(m.entries, len(entries))
	for n > 0 && int64(entries[n-1].pos) >= m.pos {
		n--
	}
	return &s, m, append([]indexEntry(nil), entries[:n]...), nil
}

// removeSegments removes whole segments, newest first, durably. Chunks of theirs stay readable.
func (l *Log) removeSegments(segs []*segment) error {
	if len(segs) == 0 {
		return nil
	}
	for _, s := range segs {
		if s.file != nil {
			l.forget(s.file)
			l.drop(s.file)
			s.file = nil
		}
	}
	for i := len(segs) - 1; i >= 0; i-- {
		s := segs[i]
		if err := l.fs.Remove(s.logPath(l.dir)); err != nil {
			return err
		}
		_ = l.fs.Remove(s.indexPath(l.dir)) // may not exist; an orphan goes at the next Open
	}
	return l.syncDir(l.dir)
}

// sideUpTo copies the side records that stay: those of entries up to last and of segments up to the one based at base.
func (l *Log) sideUpTo(last, base Index) sideList {
	n := l.side.through(last)
	if n < len(l.side) && l.side[n].typ == sideSegment && l.side[n].index == base {
		n++
	}
	return append(sideList(nil), l.side[:n]...)
}

// rewind shows readers the shorter log, which ends in s, before anything is cut on disk: who reads what is being cut finds out
// by cuts.
func (l *Log) rewind(keep int, s *segment, last Index, side sideList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := append([]*segment(nil), l.segs[:keep]...)
	l.segs = append(segs, s)
	l.sealedSize = 0
	for _, before := range l.segs[:keep] {
		l.sealedSize += before.size
	}
	l.side, l.sideSize = side, side[len(side)-1].end()
	l.last, l.lastTerm, l.end = last, side.term(last), s.end
	l.start = min(l.start, l.end)
	l.cuts++
}
