package segment

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"time"

	"github.com/quirelog/quire/segment/batch"
)

// plan is where the entries of one Append go, worked out before anything is written. Its memory is used again and again.
type plan struct {
	side    []byte       // side records, encoded
	records []sideRecord // the same, decoded
	runs    []run
	items   []planned
	data    [][]byte

	last   Index
	term   Term
	end    Offset
	sideAt int64
}

// run is the batches that go into one segment: items from up to to.
type run struct {
	seg      *segment
	fresh    bool // seg does not exist yet
	from, to int
	start    int64 // size of the segment file before
	size     int64 // and after
	end      Offset
}

// planned is one batch of data with its place.
type planned struct {
	index   Index
	term    Term
	offset  Offset
	pos     int64
	maxTime int64
}

func (p *plan) reset(l *Log) {
	a := l.active()
	p.side, p.records, p.items, p.data = p.side[:0], p.records[:0], p.items[:0], p.data[:0]
	p.runs = append(p.runs[:0], run{seg: a, start: a.size, size: a.size, end: a.end})
	p.last, p.term, p.end, p.sideAt = l.last, l.lastTerm, l.end, l.sideSize
}

// Append stores entries that follow the log's last one without a gap. Record batches get their base offset and leader epoch
// stamped into Data (before the bytes that the CRC covers); with check set (a follower) Data must carry exactly these
// stamps already. One write a segment file and one flush for all of them. It returns when the entries are durable as the
// flusher's mode wants it. Data is not kept.
//
// On an error nothing of entries is in the log: the partial write is cut off again. If that fails too, or a sync failed,
// the log has failed: ErrFailed from then on.
func (l *Log) Append(entries []Entry, check bool) error {
	l.write.Lock()
	defer l.write.Unlock()
	if len(entries) == 0 {
		return nil
	}
	if err := l.writable(); err != nil {
		return err
	}
	p := &l.plan
	p.reset(l)
	defer func() { clear(p.data) }() // the batches are not kept
	for i := range entries {
		if err := l.planEntry(p, &entries[i], check); err != nil {
			return fmt.Errorf("entry %d: %w", entries[i].Index, err)
		}
	}
	if !check {
		for i := range p.items {
			batch.Stamp(p.data[i], p.items[i].offset, int32(p.items[i].term))
		}
	}
	if err := l.unmark(); err != nil {
		return err
	}
	if r := &p.runs[0]; r.from < r.to { // an entry of Raft's own, or a roll of an idle log, needs no file
		if err := l.needFile(); err != nil {
			return fmt.Errorf("segment %d: %w", r.seg.base, err)
		}
	}
	if err := l.store(p); err != nil {
		l.dropFresh(p)
		return err
	}
	l.publish(p)
	return nil
}

// dropFresh closes the files of segments that did not come to be.
func (l *Log) dropFresh(p *plan) {
	for i := range p.runs {
		if s := p.runs[i].seg; p.runs[i].fresh && s.file != nil {
			l.forget(s.file)
			l.drop(s.file)
			s.file = nil
		}
	}
}

func (l *Log) planEntry(p *plan, e *Entry, check bool) error {
	switch {
	case e.Index != p.last+1:
		return fmt.Errorf("does not follow %d", p.last)
	case e.Term < p.term || e.Term > math.MaxInt32:
		return fmt.Errorf("term %d after %d", e.Term, p.term)
	case e.Kind != KindBatch && len(e.Data) > maxSidePayload:
		return fmt.Errorf("payload of %d bytes, limit %d", len(e.Data), maxSidePayload)
	}
	if e.Kind == KindBatch {
		if err := l.planBatch(p, e, check); err != nil {
			return err
		}
	} else {
		r := &p.runs[len(p.runs)-1]
		p.addSide(sideRecord{
			typ: sideEntry, kind: e.Kind, pos: uint32(r.size), index: e.Index, term: e.Term, offset: p.end,
		}, e.Data)
	}
	p.last, p.term = e.Index, e.Term
	return nil
}

func (p *plan) addSide(r sideRecord, payload []byte) {
	r.at, r.n = p.sideAt, len(payload)
	p.side = appendSideRecord(p.side, &r, payload)
	p.records = append(p.records, r)
	p.sideAt = r.end()
}

func (l *Log) planBatch(p *plan, e *Entry, check bool) error {
	h, err := batch.ParseHeader(e.Data)
	if err != nil {
		return err
	}
	if check && h.LeaderEpoch != int32(e.Term) {
		return fmt.Errorf("%w: leader epoch %d, want %d", batch.ErrCorrupt, h.LeaderEpoch, e.Term)
	}
	if !check {
		h.BaseOffset = p.end
	}
	if err := checkPlace(&h, p.end, int64(len(e.Data))); err != nil {
		return fmt.Errorf("%w: %w", batch.ErrCorrupt, err)
	}
	if h.Size() != len(e.Data) {
		return fmt.Errorf("%w: %d bytes, header says %d", batch.ErrCorrupt, len(e.Data), h.Size())
	}
	if l.rollDue(p, &h) {
		l.planRoll(p, e.Index)
	}
	r := &p.runs[len(p.runs)-1]
	if e.Term != p.term {
		p.addSide(sideRecord{typ: sideTerm, pos: uint32(r.size), index: e.Index, term: e.Term, offset: p.end}, nil)
	}
	p.items = append(p.items, planned{
		index: e.Index, term: e.Term, offset: p.end, pos: r.size, maxTime: h.MaxTimestamp,
	})
	p.data = append(p.data, e.Data)
	r.to, r.size, r.end = len(p.items), r.size+int64(h.Size()), h.Next()
	p.end = r.end
	return nil
}

// rollDue tells whether the batch h begins a new segment. A segment is never left empty.
func (l *Log) rollDue(p *plan, h *batch.Header) bool {
	r := &p.runs[len(p.runs)-1]
	if r.size == 0 {
		return false
	}
	if r.size+int64(h.Size()) > l.settings.SegmentBytes ||
		h.Next()-r.seg.base > math.MaxInt32 || p.last-r.seg.baseIndex > math.MaxInt32 {
		return true
	}
	return !r.fresh && l.now().Sub(r.seg.began()) >= l.settings.SegmentAge
}

// planRoll begins the segment whose first entry is the one at index.
func (l *Log) planRoll(p *plan, index Index) {
	r := &p.runs[len(p.runs)-1]
	now := l.now()
	s := newSegment(p.end, index, now)
	p.addSide(sideRecord{typ: sideSegment, pos: uint32(r.size), index: index, term: p.term, offset: p.end},
		appendSegmentTimes(nil, now, r.lastAppend(now)))
	p.runs = append(p.runs, run{seg: s, fresh: true, from: len(p.items), to: len(p.items), end: p.end})
}

func newSegment(base Offset, baseIndex Index, created time.Time) *segment {
	return &segment{
		base: base, baseIndex: baseIndex, created: created, appended: created, end: base, newest: newest{time: noTimestamp},
	}
}

// lastAppend is when something was last appended to the run's segment, given that the run itself is appended now.
func (r *run) lastAppend(now time.Time) time.Time {
	if r.from < r.to {
		return now
	}
	return r.seg.appended
}

// store writes and syncs what the plan says. On an error nothing of it is left, or the log has failed.
func (l *Log) store(p *plan) error {
	err := l.writePlan(p)
	if err == nil {
		err = l.syncPlan(p)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrFailed):
		l.hide(p)
		return err
	}
	if undo := l.undo(p); undo != nil {
		return l.fail(errors.Join(err, undo))
	}
	return err
}

func (l *Log) writePlan(p *plan) error {
	if l.flusher != nil {
		defer l.flusher.End(l.flusher.Begin())
	}
	if len(p.side) > 0 {
		if err := l.writeSide(p.side); err != nil {
			return err
		}
	}
	for i := range p.runs {
		r := &p.runs[i]
		if r.fresh {
			if err := l.create(r.seg); err != nil {
				return err
			}
		}
		if r.from == r.to {
			continue
		}
		if _, err := r.seg.file.WriteVec(p.data[r.from:r.to], r.start); err != nil {
			return fmt.Errorf("segment %d: write at byte %d: %w", r.seg.base, r.start, err)
		}
	}
	return nil
}

// writeSide appends records to the side file and makes them durable.
func (l *Log) writeSide(b []byte) error {
	err := l.withFile(path.Join(l.dir, sideName), os.O_RDWR, func(f *sharedFile) error {
		if _, err := f.WriteAt(b, l.sideSize-l.sideOrigin); err != nil {
			return err
		}
		if err := l.syncNow(f); err != nil {
			return l.fail(fmt.Errorf("sync: %w", err))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("side file: %w", err)
	}
	return nil
}

// create makes the segment's file, durably in every mode: it is rare.
func (l *Log) create(s *segment) error {
	f, err := l.fs.OpenFile(s.logPath(l.dir), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("segment %d: %w", s.base, err)
	}
	s.file = share(f)
	if err := l.syncDir(l.dir); err != nil {
		return l.fail(fmt.Errorf("segment %d: sync directory: %w", s.base, err))
	}
	return nil
}

func (l *Log) syncPlan(p *plan) error {
	for i := range p.runs {
		r := &p.runs[i]
		if r.from == r.to {
			continue
		}
		l.unflushed = l.unflushed || l.flusher != nil && !l.flusher.Flushes()
		if err := l.syncAppend(r.seg.file); err != nil {
			return l.fail(fmt.Errorf("segment %d: sync: %w", r.seg.base, err))
		}
	}
	return nil
}

// undo removes what writePlan left, segment files first, durably: later entries must not meet leftovers after a crash.
func (l *Log) undo(p *plan) error {
	for i := len(p.runs) - 1; i >= 0; i-- {
		r := &p.runs[i]
		switch {
		case r.fresh && r.seg.file != nil:
			if err := errors.Join(l.fs.Remove(r.seg.logPath(l.dir)), l.syncDir(l.dir)); err != nil {
				return err
			}
		case !r.fresh && r.from < r.to:
			if err := errors.Join(r.seg.file.Truncate(r.start), l.syncNow(r.seg.file)); err != nil {
				return err
			}
		}
	}
	if len(p.side) == 0 {
		return nil
	}
	return l.cutSide(l.sideSize)
}

// hide takes what the plan wrote out of the page cache after a failed sync, as far as that goes: the kernel may have dropped the
// pages' dirt and show them still, so that a restarted process would take for durable, and answer for, what no disk holds.
func (l *Log) hide(p *plan) {
	for i := len(p.runs) - 1; i >= 0; i-- {
		r := &p.runs[i]
		switch {
		case r.fresh && r.seg.file != nil:
			_ = r.seg.file.Truncate(0)
		case !r.fresh && r.from < r.to:
			_ = r.seg.file.Truncate(r.start)
		}
	}
	if len(p.side) > 0 {
		_ = l.withFile(path.Join(l.dir, sideName), os.O_RDWR, func(f *sharedFile) error { return f.Truncate(l.sideSize - l.sideOrigin) })
	}
}

// cutSide cuts the side file at a position, durably.
func (l *Log) cutSide(size int64) error {
	return l.withFile(path.Join(l.dir, sideName), os.O_RDWR, func(f *sharedFile) error {
		return errors.Join(f.Truncate(size-l.sideOrigin), l.syncNow(f))
	})
}

// publish shows readers what was stored.
func (l *Log) publish(p *plan) {
	l.mu.Lock()
	l.side = append(l.side, p.records...)
	for i := range p.runs {
		r := &p.runs[i]
		if r.fresh {
			l.sealedSize += l.active().size
			l.segs = append(l.segs, r.seg)
		}
		l.extend(r.seg, r, p)
	}
	l.last, l.lastTerm, l.end, l.sideSize = p.last, p.term, p.end, p.sideAt
	l.mu.Unlock()
	if len(p.runs) > 1 {
		l.fileOpened()
	}
	for i := range len(p.runs) - 1 {
		l.seal(p.runs[i].seg, p.runs[i+1].seg.baseIndex)
	}
}

// seal moves the index of a segment that another has followed to its file. A write error costs a scan later on.
func (l *Log) seal(s *segment, next Index) {
	end := indexEntry{
		offset: uint32(s.end - s.base), index: uint32(next - s.baseIndex), pos: uint32(s.size),
		newestPos: s.newest.pos, newestTime: s.newest.time,
	}
	if err := l.flushIndex(s, append(s.entries, end)); err != nil {
		l.log.Warn("cannot write segment index", "dir", l.dir, "base", s.base, "err", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.sealed, s.entries = true, nil
}

// extend adds a run's batches to the segment's state in memory.
func (l *Log) extend(s *segment, r *run, p *plan) {
	if r.from < r.to {
		s.appended = l.now()
		if s.first.IsZero() && s.size == 0 {
			s.first = s.appended
		}
	}
	for i := r.from; i < r.to; i++ {
		it := &p.items[i]
		if indexDue(s.entries, it.pos, l.interval) {
			s.entries = append(s.entries, indexEntry{
				offset: uint32(it.offset - s.base), index: uint32(it.index - s.baseIndex), pos: uint32(it.pos),
				newestPos: s.newest.pos, newestTime: s.newest.time,
			})
		}
		s.newest.add(it.maxTime, uint32(it.pos))
	}
	s.size, s.end = r.size, r.end
}
