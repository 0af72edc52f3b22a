package segment

import (
	"errors"
	"fmt"

	"github.com/quirelog/quire/segment/batch"
)

// holdBelow holds the segments that have records below limit, oldest first. Release them all.
func (l *Log) holdBelow(limit Offset) ([]snapshot, Offset, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, 0, ErrClosed
	}
	var out []snapshot
	for _, s := range l.segs {
		if s.base < limit && s.end > l.start && s.size > 0 {
			out = append(out, l.hold(s))
		}
	}
	return out, l.start, nil
}

func releaseAll(held []snapshot) {
	for i := range held {
		held[i].close()
	}
}

// OffsetForTimestamp finds the first record below limit whose timestamp is at or above ts (ms since the epoch).
// found is false when there is none. The index narrows the search, then batch headers, then one batch's records are decoded.
func (l *Log) OffsetForTimestamp(ts int64, limit Offset) (t TimestampOffset, found bool, err error) {
	for {
		t, found, err = l.offsetForTimestamp(ts, limit)
		if !errors.Is(err, errRemoved) {
			return t, found, err
		}
	}
}

func (l *Log) offsetForTimestamp(ts int64, limit Offset) (t TimestampOffset, found bool, err error) {
	held, start, err := l.holdBelow(limit)
	if err != nil {
		return t, false, err
	}
	defer releaseAll(held)
	for i := range held {
		v := &held[i]
		if v.newest.time < ts {
			continue
		}
		err := l.retry(v, func() (err error) {
			t, found, err = v.offsetForTimestamp(ts, start, limit)
			return err
		})
		if found || err != nil {
			return t, found, err
		}
	}
	return t, false, nil
}

func (v *snapshot) offsetForTimestamp(ts int64, start, limit Offset) (t TimestampOffset, found bool, err error) {
	e, i, err := v.index.floor(func(e indexEntry) bool { return e.newestTime >= ts })
	if err != nil {
		return t, false, err
	}
	c := v.cursorAt(e, i)
	defer c.release()
	for c.pos < c.end && c.offset < limit {
		h, err := c.header()
		if err != nil {
			return t, false, err
		}
		if h.MaxTimestamp >= ts && h.Next() > start {
			t, found, err = v.firstRecord(&c, &h, func(at int64, o Offset) bool { return at >= ts && o >= start })
			if found || err != nil {
				return t, found, err
			}
		}
		c.skip(&h)
	}
	return t, false, nil
}

// firstRecord finds the first record of the cursor's batch that want wants.
func (v *snapshot) firstRecord(
	c *cursor, h *batch.Header, want func(time int64, o Offset) bool,
) (t TimestampOffset, found bool, err error) {
	t.Epoch = h.LeaderEpoch
	if h.LogAppendTime() && want(h.MaxTimestamp, h.BaseOffset) {
		t.Offset, t.Timestamp = h.BaseOffset, h.MaxTimestamp
		return t, true, nil
	}
	b := make([]byte, h.Size())
	if _, err := v.file.ReadAt(b, c.pos); err != nil {
		return t, false, fmt.Errorf("segment %d: read at byte %d: %w", v.base, c.pos, err)
	}
	err = batch.Records(b, 0, func(r *batch.Record) bool {
		at := r.Timestamp
		if h.LogAppendTime() {
			at = h.MaxTimestamp
		}
		if found = want(at, r.Offset); found {
			t.Offset, t.Timestamp = r.Offset, at
		}
		return !found
	})
	if err != nil {
		return t, false, fmt.Errorf("segment %d: batch at byte %d: %w", v.base, c.pos, err)
	}
	return t, found, nil
}

// MaxTimestamp finds the record below limit with the largest timestamp, the first of equal ones.
func (l *Log) MaxTimestamp(limit Offset) (t TimestampOffset, found bool, err error) {
	for {
		t, found, err = l.maxTimestamp(limit)
		if !errors.Is(err, errRemoved) {
			return t, found, err
		}
	}
}

func (l *Log) maxTimestamp(limit Offset) (t TimestampOffset, found bool, err error) {
	held, start, err := l.holdBelow(limit)
	if err != nil {
		return t, false, err
	}
	defer releaseAll(held)
	best, top := -1, newest{time: noTimestamp}
	for i := range held {
		v := &held[i]
		n := v.newest
		if v.end > limit || v.base < start {
			err = l.retry(v, func() (err error) {
				n, err = v.newestBetween(start, limit)
				return err
			})
			if err != nil {
				return t, false, err
			}
		}
		if n.time > top.time {
			best, top = i, n
		}
	}
	if best < 0 {
		return t, false, nil
	}
	return l.newestRecord(&held[best], top, start)
}

// newestBetween is the newest batch of the segment with records from start on and below limit.
func (v *snapshot) newestBetween(start, limit Offset) (newest, error) {
	e, i, err := v.index.floor(func(e indexEntry) bool { return v.base+Offset(e.offset) > limit })
	if err != nil {
		return newest{}, err
	}
	n := e.newest()
	if v.base < start { // the index speaks of batches below start as well
		n = newest{time: noTimestamp}
		e, i, err = v.index.floor(func(e indexEntry) bool { return v.base+Offset(e.offset) > start })
		if err != nil {
			return newest{}, err
		}
	}
	c := v.cursorAt(e, i)
	defer c.release()
	for c.pos < c.end && c.offset < limit {
		h, err := c.header()
		if err != nil {
			return newest{}, err
		}
		if h.Next() > start {
			n.add(h.MaxTimestamp, uint32(c.pos))
		}
		c.skip(&h)
	}
	return n, nil
}

// newestRecord finds the newest record of the batch at n.pos: its header may promise more than its records keep.
func (l *Log) newestRecord(v *snapshot, n newest, start Offset) (t TimestampOffset, found bool, err error) {
	if err := l.open(v); err != nil {
		return t, false, err
	}
	e, i, err := v.index.floor(func(e indexEntry) bool { return e.pos > n.pos })
	if errors.Is(err, errIndexDamaged) {
		if err = l.reindex(v); err == nil {
			e, i, err = v.index.floor(func(e indexEntry) bool { return e.pos > n.pos })
		}
	}
	if err != nil {
		return t, false, err
	}
	c := v.cursorAt(e, i)
	defer c.release()
	for c.pos < c.end {
		h, err := c.header()
		if err != nil {
			return t, false, err
		}
		if c.pos == int64(n.pos) {
			return v.newestOf(&c, &h, start)
		}
		c.skip(&h)
	}
	return t, false, nil
}

func (v *snapshot) newestOf(c *cursor, h *batch.Header, start Offset) (t TimestampOffset, found bool, err error) {
	top := int64(noTimestamp)
	_, _, err = v.firstRecord(c, h, func(at int64, o Offset) bool {
		if o >= start && (!found || at > top) {
			top, found = at, true
			t = TimestampOffset{Offset: o, Timestamp: at, Epoch: h.LeaderEpoch}
		}
		return false
	})
	return t, found, err
}
