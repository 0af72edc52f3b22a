package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quirelog/quire/segment/batch"
)

// model is the log as a plain slice: what the real one is held against. Its entries carry their stamps.
type model struct {
	entries []Entry
	mark    Index // of the checkpoint
	tried   Index // of a checkpoint that may or may not have been written
	term    Term

	// What is being tried: pending may or may not be there after a crash; nothing at or below floor may be missing.
	pending []Entry
	floor   Index
}

// adopt takes what a reopened log holds, if that is allowed: a prefix of what was written, with all that had to survive.
func (m *model) adopt(l *Log, floor Index) error {
	if r := l.Recovery(); len(r.Damage) > 0 {
		return fmt.Errorf("damage: %v", r.Damage)
	}
	all := append(slices.Clone(m.entries), m.pending...)
	last := l.LastIndex()
	if last < floor || last > Index(len(all)) {
		return fmt.Errorf("log ends at %d; entries up to %d had to survive, %d were written", last, floor, len(all))
	}
	m.entries, m.pending = all[:last], nil
	m.term++
	c, ok := l.Checkpoint()
	if c.Index < m.mark || ok && c.Index > last {
		return fmt.Errorf("checkpoint at %d, last written one at %d, log ends at %d", c.Index, m.mark, last)
	}
	m.mark, m.tried = c.Index, c.Index
	return m.check(l)
}

func (m *model) last() Index { return Index(len(m.entries)) }

func (m *model) end() Offset { return m.endAt(m.last()) }

// endAt is the offset after the entry i.
func (m *model) endAt(i Index) Offset {
	for ; i > 0; i-- {
		if e := m.entries[i-1]; e.Kind == KindBatch {
			h, _ := batch.ParseHeader(e.Data)
			return h.Next()
		}
	}
	return 0
}

// batches is what the segment files hold, in all.
func (m *model) batches() (out []byte) {
	for _, e := range m.entries {
		if e.Kind == KindBatch {
			out = append(out, e.Data...)
		}
	}
	return out
}

func (m *model) epochs() (out []EpochStart) {
	for _, e := range m.entries {
		if e.Kind != KindBatch {
			continue
		}
		h, _ := batch.ParseHeader(e.Data)
		if n := len(out); n == 0 || out[n-1].Epoch != h.LeaderEpoch {
			out = append(out, EpochStart{Epoch: h.LeaderEpoch, Start: h.BaseOffset})
		}
	}
	return out
}

// randomEntries makes what one append stores.
func (m *model) randomEntries(t testing.TB, rnd *rand.Rand) []Entry {
	if rnd.IntN(8) == 0 || m.term == 0 {
		m.term++
	}
	var out []Entry
	for range 1 + rnd.IntN(4) {
		e := Entry{Index: m.last() + 1 + Index(len(out)), Term: m.term}
		if rnd.IntN(5) == 0 {
			e.Kind, e.Data = Kind(1+rnd.IntN(4)), bytes.Repeat([]byte{byte(e.Index)}, rnd.IntN(40))
		} else {
			e.Data = testBatch(t, 1+rnd.IntN(3), rnd.IntN(300), int64(rnd.IntN(1000)))
		}
		out = append(out, e)
	}
	return out
}

// stamped is what the log makes of entries: the model's own idea of it.
func (m *model) stamped(entries []Entry) []Entry {
	end := m.end()
	out := make([]Entry, len(entries))
	for i, e := range entries {
		e.Data = bytes.Clone(e.Data)
		if e.Kind == KindBatch {
			batch.Stamp(e.Data, end, int32(e.Term))
			h, _ := batch.ParseHeader(e.Data)
			end = h.Next()
		}
		out[i] = e
	}
	return out
}

func (m *model) truncate(last Index) {
	m.entries = slices.Clone(m.entries[:last])
	m.term++
}

// check holds the whole log against the model.
func (m *model) check(l *Log) error {
	if l.LastIndex() != m.last() || l.EndOffset() != m.end() {
		return fmt.Errorf("log ends at index %d, offset %d; want %d, %d", l.LastIndex(), l.EndOffset(), m.last(), m.end())
	}
	for _, want := range m.entries {
		got, err := l.ReadEntry(want.Index, false)
		if err != nil {
			return err
		}
		if got.Index != want.Index || got.Term != want.Term || got.Kind != want.Kind || !bytes.Equal(got.Data, want.Data) {
			return fmt.Errorf("entry %d: got term %d kind %d, %d bytes; want term %d kind %d, %d bytes",
				want.Index, got.Term, got.Kind, len(got.Data), want.Term, want.Kind, len(want.Data))
		}
	}
	if _, err := l.ReadEntry(m.last()+1, true); !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("entry behind the last: %w", err)
	}
	if got, want := l.Epochs(), m.epochs(); !slices.Equal(got, want) {
		return fmt.Errorf("epochs %v, want %v", got, want)
	}
	return m.checkBytes(l)
}

func (m *model) checkBytes(l *Log) error {
	want := m.batches()
	if l.Size() != int64(len(want)) {
		return fmt.Errorf("size %d, want %d", l.Size(), len(want))
	}
	var got bytes.Buffer
	for from := Offset(0); from < l.EndOffset(); {
		c, err := l.Read(from, l.EndOffset(), 700)
		if err != nil {
			return err
		}
		if c.Base != from || c.Len == 0 {
			return fmt.Errorf("read at %d: chunk of %d bytes at %d", from, c.Len, c.Base)
		}
		at := got.Len()
		_, err = c.WriteTo(&got)
		c.Close()
		if err != nil {
			return err
		}
		for b := got.Bytes()[at:]; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil || h.Size() > len(b) {
				return fmt.Errorf("chunk at %d is not cut on batches: %w", from, err)
			}
			from, b = h.Next(), b[h.Size():]
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		return fmt.Errorf("read %d bytes, want %d, or others", got.Len(), len(want))
	}
	return nil
}

// checkLookups holds reads and lookups below limit, an entry's end, against a walk over the model.
func (m *model) checkLookups(l *Log, rnd *rand.Rand) error {
	limit := m.endAt(Index(rnd.IntN(int(m.last()) + 1)))
	ts := int64(rnd.IntN(1100))
	var first, top TimestampOffset
	var found, any bool
	for _, e := range m.entries {
		if e.Kind != KindBatch {
			continue
		}
		_ = batch.Records(e.Data, 0, func(r *batch.Record) bool {
			at := TimestampOffset{Offset: r.Offset, Timestamp: r.Timestamp, Epoch: int32(e.Term)}
			if r.Offset >= limit {
				return false
			}
			if r.Timestamp >= ts && !found {
				first, found = at, true
			}
			if !any || r.Timestamp > top.Timestamp {
				top, any = at, true
			}
			return true
		})
	}
	if got, ok, err := l.OffsetForTimestamp(ts, limit); err != nil || ok != found || found && got != first {
		return fmt.Errorf("offset for %d below %d: %+v %v %w, want %+v %v", ts, limit, got, ok, err, first, found)
	}
	if got, ok, err := l.MaxTimestamp(limit); err != nil || ok != any || any && got != top {
		return fmt.Errorf("max timestamp below %d: %+v %v %w, want %+v %v", limit, got, ok, err, top, any)
	}
	if from := limit / 2; limit > 0 {
		c, err := l.Read(from, limit, 1+rnd.IntN(3000))
		if err != nil || c.Base > from || c.Len == 0 {
			return fmt.Errorf("read from %d below %d: %+v %w", from, limit, c, err)
		}
		b := make([]byte, c.Len)
		_, err = c.ReadAt(b, 0)
		c.Close()
		start := bytes.Index(m.batches(), b)
		if err != nil || start < 0 || l.BytesBetween(from, limit) <= 0 {
			return fmt.Errorf("read from %d below %d: not a part of the log: %w", from, limit, err)
		}
	}
	return nil
}

// TestModel does random things to a log and to a slice and compares, on the operating system's files.
func TestModel(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			dir := t.TempDir()
			o := Options{SegmentBytes: 4000, IndexInterval: 100 + int(seed)*300, Flusher: osFlusher(t, dir)}
			dir += "/log"
			l := openLog(t, dir, o)
			m := &model{}
			for step := range 150 {
				if err := modelStep(t, l, m, rnd); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				if rnd.IntN(10) == 0 {
					clean := rnd.IntN(2) == 0
					if clean {
						if err := l.Close(); err != nil {
							t.Fatal(err)
						}
					}
					l = openLog(t, dir, o)
					if r := l.Recovery(); len(r.Damage) > 0 || r.Cut > 0 || clean != r.Clean && clean {
						t.Fatalf("step %d: reopened after clean %v: %+v", step, clean, r)
					}
				}
				if err := m.checkLookups(l, rnd); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
				if step%10 == 0 {
					if err := m.check(l); err != nil {
						t.Fatalf("step %d: %v", step, err)
					}
				}
			}
			if err := m.check(l); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// modelStep appends, truncates or writes a checkpoint. On an error of the log's the model stays as it was.
func modelStep(t testing.TB, l *Log, m *model, rnd *rand.Rand) error {
	m.pending, m.floor = nil, m.last()
	switch n := rnd.IntN(12); {
	case n == 0 && m.last() > m.tried:
		m.floor = m.tried + Index(rnd.IntN(int(m.last()-m.tried)))
		if err := l.TruncateAfter(m.floor); err != nil {
			return err
		}
		m.truncate(m.floor)
	case n == 1 && m.last() > 0:
		i := max(m.tried, 1) + Index(rnd.IntN(int(m.last()-max(m.tried, 1))+1))
		m.tried = i
		c := Checkpoint{Index: i, Term: m.entries[i-1].Term, End: m.endAt(i), State: []byte("s")}
		if err := l.WriteCheckpoint(c); err != nil {
			return err
		}
		m.mark = i
	default:
		entries := m.randomEntries(t, rnd)
		m.pending = m.stamped(entries)
		if err := l.Append(entries, false); err != nil {
			return err
		}
		m.entries = append(m.entries, m.pending...)
	}
	if l.files != nil {
		if l.park(); l.failed != nil { // as if another log needed the file
			return l.writable()
		}
	}
	m.pending, m.floor = nil, m.last()
	return nil
}
