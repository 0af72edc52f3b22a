package segment

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"time"
)

// Removing records from the front of the log goes in steps, each safe to be the last one before a crash:
//
//  1. RaiseStart: readers no longer see what is below. What decided on it is an entry of the log, so it is not forgotten.
//  2. WriteCheckpoint with that start: no replay of entries is needed to know it.
//  3. Reclaim: a new side file without the records of the segments that go is swapped in by rename. From then on the log
//     begins at the first segment that stays, and the other files belong to nobody.
//  4. Their files are unlinked; Open removes those that a crash has left. Chunks of them stay readable.
//
// So there is never a hole, files are never gone while the log still begins with them, and a start offset that went up stays.

// Retention is how long, and how much of, a log is kept. The zero value keeps everything.
type Retention struct {
	Age   time.Duration // 0: for ever; negative: nothing is kept
	Bytes int64         // of segment files; 0: no limit; negative: nothing is kept
}

// errRemoved: the segment was removed between the look at the log and the look at its file.
var errRemoved = errors.New("segment was removed")

// RetainedFrom is the log start offset that retention asks for: the end of the last one of the oldest segments that go, at
// most limit (the high watermark), or the log start offset as it is. By size, a segment goes when the others still hold
// r.Bytes. By age it goes when it has expired:
//
// A segment's age counts from its largest record timestamp, as in Kafka, where that can be true: not after the last append to
// it, by this broker's clock, and not more than r.Age before. Otherwise it counts from that append. So a timestamp in the future
// does not keep a segment for ever, and records that were old when they came are kept as long as others.
func (l *Log) RetainedFrom(r Retention, limit Offset) Offset {
	now := l.now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	start, first := l.start, sort.Search(len(l.segs), func(k int) bool { return l.segs[k].end > l.start })
	var left int64
	for _, s := range l.segs[first:] {
		left += s.size
	}
	for _, s := range l.segs[first:] {
		tooMuch := r.Bytes != 0 && left-s.size >= r.Bytes
		if s.size == 0 || s.end > limit || !tooMuch && !s.expired(r.Age, now) {
			break
		}
		left -= s.size
		start = s.end
	}
	return start
}

func (s *segment) expired(age time.Duration, now time.Time) bool {
	if age == 0 {
		return false
	}
	if age < 0 {
		return true
	}
	from := s.appended
	if t := time.UnixMilli(s.newest.time); s.newest.time >= 0 && !t.After(from) && from.Sub(t) <= age {
		from = t
	}
	return now.Sub(from) > age
}

// RaiseStart moves the log start offset up to o, at most to the log's end; it never moves back. It is durable with the next
// checkpoint.
func (l *Log) RaiseStart(o Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = max(l.start, min(o, l.end))
}

// Reclaimable says whether the first segment lies below the log start offset, so that Reclaim removes it once a checkpoint
// covers it.
func (l *Log) Reclaimable() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.segs[0].size > 0 && l.segs[0].end <= l.start
}

// RollIdle closes the segment that is appended to when it is old enough (Settings.SegmentAge), without waiting for an append.
func (l *Log) RollIdle() error {
	if !l.idleRollDue() {
		return nil
	}
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil || !l.idleRollDue() {
		return err
	}
	return l.roll()
}

func (l *Log) idleRollDue() bool {
	now := l.now()
	l.mu.RLock()
	defer l.mu.RUnlock()
	a := l.active()
	return a.size > 0 && now.Sub(a.began()) >= l.settings.SegmentAge
}

// roll begins a new segment, empty. The caller holds l.write; the active segment is not empty.
func (l *Log) roll() error {
	p := &l.plan
	p.reset(l)
	l.planRoll(p, l.last+1)
	if err := l.unmark(); err != nil {
		return err
	}
	if err := l.store(p); err != nil {
		l.dropFresh(p)
		return fmt.Errorf("begin a new segment: %w", err)
	}
	l.publish(p)
	return nil
}

// Reclaim removes the files of segments that lie wholly below the start offset and the index of the newest checkpoint, the one
// that is appended to included (a new one is begun). While a manifest is held it removes nothing.
func (l *Log) Reclaim() error {
	l.ckpt.Lock()
	defer l.ckpt.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.writable(); err != nil || !l.hasCkpt || l.pins.Load() > 0 {
		return err
	}
	c := &l.checkpoint
	if a := l.active(); a.size > 0 && a.end <= c.Start && l.last <= c.Index {
		if err := l.roll(); err != nil {
			return err
		}
	}
	n := sort.Search(len(l.segs)-1, func(k int) bool {
		return l.segs[k].end > c.Start || l.segs[k+1].baseIndex > c.Index+1
	})
	if n == 0 {
		return nil
	}
	if err := l.removeFirst(n); err != nil {
		return fmt.Errorf("remove segments below offset %d: %w", l.segs[0].base, err)
	}
	return nil
}

// removeFirst removes the first n segments. The caller holds l.ckpt and l.write.
func (l *Log) removeFirst(n int) error {
	gone, first := l.segs[:n], l.segs[n]
	at := slices.IndexFunc(l.side, func(r sideRecord) bool { return r.typ == sideSegment && r.index == first.baseIndex })
	side := slices.Clone(l.side[at:])
	origin := side[0].at - sideHeaderSize
	if origin > maxSideOrigin {
		return fmt.Errorf("%s: position %d, limit %d", sideName, origin, int64(maxSideOrigin))
	}
	if err := l.unmark(); err != nil {
		return err
	}
	b, err := l.readFile(sideName, 1<<30)
	if err != nil {
		return err
	}
	b = append(appendSideHeader(nil, origin), b[side[0].at-l.sideOrigin:l.sideSize-l.sideOrigin]...)
	temp := path.Join(l.dir, sideName+tempSuffix)
	if err := l.writeWhole(temp, b); err != nil {
		return errors.Join(err, l.fs.Remove(temp))
	}
	if err := l.swapIn(temp, path.Join(l.dir, sideName)); err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	for _, s := range gone {
		l.sealedSize -= s.size
	}
	l.segs, l.side, l.sideOrigin = slices.Clone(l.segs[n:]), side, origin
	l.start = max(l.start, first.base)
	l.mu.Unlock()
	return l.removeSegments(gone)
}

// removed says whether the segment with that base was removed from the front.
func (l *Log) removed(base Offset) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return base < l.segs[0].base
}
