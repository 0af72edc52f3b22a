package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// recovery brings a log from disk into memory. It walks along the side file, whose records say where segments begin and
// which indexes Raft's own entries take, and weaves the batches in. Below the mark nothing is read but sizes and indexes, and
// whatever does not fit there is damage; above it, whatever does not fit ends the log.
type recovery struct {
	l     *Log
	sizes map[Offset]int64     // of the .log files
	times map[Offset]time.Time // of their last change
	index map[Offset]bool      // .qidx files
	mark  mark                 // zero: nothing is known to be durable
	clean bool                 // the mark comes from the clean-shutdown marker

	side sideList
	cut  int64 // size of the side file on disk
	k    int   // side records met
	kept int   // of them, those that stay
	next Index // of the next entry
	end  Offset
	term Term
	ends bool // the log ends here: nothing behind is looked at
	read int64
}

// recover sets up the log's memory from its directory.
func (l *Log) recover() error {
	r := recovery{l: l, sizes: map[Offset]int64{}, times: map[Offset]time.Time{}, index: map[Offset]bool{}}
	if err := l.makeDir(); err != nil {
		return err
	}
	fresh, err := r.list()
	if err != nil {
		return err
	}
	if fresh {
		if err := l.format(); err != nil {
			return err
		}
		r.sizes[0] = 0
	}
	if err := r.loadMarks(); err != nil {
		return err
	}
	if err := r.loadSide(); err != nil {
		return err
	}
	if err := r.segments(); err != nil {
		return err
	}
	return r.finish()
}

// makeDir makes the directory, and those above it that are missing, durably.
func (l *Log) makeDir() error {
	var parents []string
	for dir := path.Clean(l.dir); ; dir = path.Dir(dir) {
		_, err := l.fs.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == path.Dir(dir) {
			return err
		}
		parents = append(parents, path.Dir(dir))
	}
	if len(parents) == 0 {
		return nil
	}
	if err := l.fs.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	for _, dir := range parents {
		if err := l.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// list looks at the directory and removes temporary files. fresh says that no log was ever made in it.
func (r *recovery) list() (fresh bool, err error) {
	l := r.l
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return false, err
	}
	fresh = true
	for _, d := range names {
		name := d.Name()
		switch base, suffix, ok := parseName(name); {
		case strings.HasSuffix(name, tempSuffix):
			if err := l.fs.Remove(path.Join(l.dir, name)); err != nil {
				return false, err
			}
		case name == sideName, name == checkpointName:
			fresh = false
		case name == markerName:
			l.marked, fresh = true, false
		case ok && suffix == logSuffix:
			info, err := d.Info()
			if err != nil {
				return false, err
			}
			r.sizes[base], r.times[base] = info.Size(), info.ModTime()
			fresh = fresh && info.Size() == 0
		case ok && suffix == indexSuffix:
			r.index[base] = true
		}
	}
	return fresh, nil
}

// format makes an empty log. The side file comes last: without it the directory counts as fresh.
func (l *Log) format() error {
	f, err := l.fs.OpenFile(path.Join(l.dir, logName(0)), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	first := sideRecord{typ: sideSegment, index: 1}
	now := l.now()
	b := appendSideRecord(appendSideHeader(nil, 0), &first, appendSegmentTimes(nil, now, now))
	if err := l.replaceFile(sideName, b); err != nil {
		return err
	}
	return l.syncDir(path.Dir(l.dir)) // an earlier start may have made the directory and ended before it was durable
}

func (r *recovery) damage(format string, args ...any) {
	r.l.recovery.Damage = append(r.l.recovery.Damage, fmt.Sprintf(format, args...))
	r.ends = true
}

// loadMarks reads the checkpoint and the clean-shutdown marker. A marker that is no good is as none.
func (r *recovery) loadMarks() error {
	l := r.l
	b, err := l.readFile(checkpointName, maxStateBytes+4096)
	if err == nil {
		c, m, parseErr := parseCheckpoint(b)
		if parseErr != nil {
			l.recovery.Damage = append(l.recovery.Damage, fmt.Sprintf("%s: %v", checkpointName, parseErr))
		} else {
			l.checkpoint, l.hasCkpt, l.mark, r.mark = c, true, m, m
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !l.marked {
		return nil
	}
	b, err = l.readFile(markerName, 4096)
	if err != nil {
		return err
	}
	if m, err := parseMarker(b); err == nil && m.index >= r.mark.index {
		r.mark, r.clean = m, true
	}
	return nil
}

// loadSide reads the side file.
func (r *recovery) loadSide() error {
	b, err := r.l.readFile(sideName, 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = nil, nil
	}
	if err != nil {
		return err
	}
	f, bad := parseSideFile(b)
	if bad != nil && (f.size < r.mark.side || len(f.records) == 0) {
		r.damage("%s: %v", sideName, bad)
	} else if len(f.records) == 0 {
		r.damage("%s: no record of a segment", sideName)
	} else if f.size < r.mark.side {
		r.damage("%s: %d bytes, synced up to %d", sideName, f.size, r.mark.side)
	}
	if len(f.records) == 0 { // nothing can be read: an empty log stands for it
		f.records = []sideRecord{{typ: sideSegment, index: 1, at: sideHeaderSize, n: segmentRecordLen}}
		f.times = []segmentTimes{{created: time.UnixMilli(0), before: time.UnixMilli(0)}}
		r.sizes = map[Offset]int64{}
	}
	r.side, r.cut, r.l.sideOrigin = f.records, f.origin+int64(len(b)), f.origin
	n := 0
	for i := range f.records {
		if rec := &f.records[i]; rec.typ == sideSegment {
			s := newSegment(rec.offset, rec.index, f.times[n].created)
			if n > 0 {
				r.l.segs[n-1].appended = f.times[n].before
			}
			r.l.segs = append(r.l.segs, s)
			n++
		}
	}
	return nil
}

// segments goes through the segments that the side file names, in order, as far as they connect.
func (r *recovery) segments() error {
	all := r.l.segs
	r.l.segs = nil
	first := &r.side[0]
	r.next, r.end, r.term = first.index, first.offset, first.term
	var size int64 // of the segment before
	for i, s := range all {
		rec := &r.side[r.k]
		if i > 0 && (rec.typ != sideSegment || rec.index != r.next || rec.offset != r.end || int64(rec.pos) != size) {
			if rec.at < r.mark.side {
				r.damage("%s: record at byte %d does not fit the segment before", sideName, rec.at)
			}
			return nil
		}
		r.k++
		r.kept = r.k
		r.l.segs = append(r.l.segs, s)
		if err := r.segment(s, i+1 < len(all)); err != nil {
			return fmt.Errorf("segment %d: %w", s.base, err)
		}
		size = s.size
		if r.ends || r.k == len(r.side) {
			return nil
		}
	}
	return nil
}

// segment recovers one segment whose side record was met last.
func (r *recovery) segment(s *segment, followed bool) error {
	size, found := r.sizes[s.base]
	switch {
	case r.mark.side == 0 || s.base > r.mark.base:
		return r.scan(s, newProgress(r, s), size)
	case s.base == r.mark.base:
		if size < r.mark.pos || !found {
			r.damage("%s: %d bytes, synced up to %d", logName(s.base), size, r.mark.pos)
			return r.scan(s, newProgress(r, s), size)
		}
		return r.resume(s, size)
	}
	next := r.k
	for next < len(r.side) && r.side[next].typ != sideSegment {
		next++
	}
	if !followed || next == len(r.side) || int64(r.side[next].pos) != size {
		r.damage("%s: %d bytes, not what was written", logName(s.base), size)
		return r.scan(s, newProgress(r, s), size)
	}
	return r.closed(s, size, next)
}

// closed takes over a segment that lies below the mark as a whole, without reading its batches.
func (r *recovery) closed(s *segment, size int64, next int) error {
	rec := &r.side[next]
	s.size, s.end, s.sealed, s.synced = size, rec.offset, true, true
	v := snapshot{segment: *s, side: r.side}
	defer v.close()
	x, err := r.l.openIndex(s)
	if err == nil {
		v.index = x
	} else {
		r.l.recovery.Rebuilt++
		if err := r.l.openFile(&v); err != nil {
			return err
		}
		if err := r.l.reindex(&v); errors.Is(err, ErrDamaged) {
			r.damage("%v", err)
			s.sealed, s.synced = false, false
			return r.scan(s, newProgress(r, s), size)
		} else if err != nil {
			return err
		}
	}
	last, err := v.index.at(v.index.len() - 1)
	if err != nil {
		return err
	}
	s.newest = last.newest()
	r.k, r.kept = next, next
	r.next, r.end, r.term = rec.index, rec.offset, rec.term
	return nil
}
