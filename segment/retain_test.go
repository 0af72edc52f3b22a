package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// trimModel is a model of a log that is trimmed from the front.
type trimModel struct {
	model
	now    time.Time
	raised Offset // highest start offset that was asked for
	kept   Offset // the same, with a checkpoint that was written
}

// options are those of a log that gives its file back before each step where script is odd.
func (m *trimModel) options(f *crashfs.FS, mode flush.Mode, script uint64, t *testing.T) (Options, func()) {
	o, stop := crashOptions(t, f, mode, script)
	o.SegmentAge, o.Now = time.Hour, func() time.Time { return m.now }
	return o, stop
}

// step appends, or does one step of a trim.
func (m *trimModel) step(t *testing.T, l *Log, rnd *rand.Rand) error {
	m.now = m.now.Add(time.Minute)
	if l.files != nil {
		l.park()
	}
	switch n := rnd.IntN(10); {
	case n < 5:
		entries := m.randomEntries(t, rnd)
		m.pending = m.stamped(entries)
		if err := l.Append(entries, false); err != nil {
			return err
		}
		m.entries, m.pending = append(m.entries, m.pending...), nil
	case n == 5:
		if o := Offset(rnd.Int64N(int64(m.end()) + 1)); rnd.IntN(3) == 0 {
			m.raised = m.end()
		} else {
			m.raised = max(m.raised, o)
		}
		l.RaiseStart(m.raised)
	case n < 8 && m.last() > 0:
		c := Checkpoint{Index: m.last(), Term: m.entries[m.last()-1].Term, End: m.end(), Start: l.StartOffset()}
		m.mark = m.last() // from here on nothing below is cut off
		if err := l.WriteCheckpoint(c); err != nil {
			return err
		}
		m.kept = c.Start
		return l.Reclaim()
	case n == 8:
		return l.Reclaim()
	case n == 9:
		m.now = m.now.Add(time.Hour)
		return l.RollIdle()
	}
	return nil
}

// check holds what is left against the model.
func (m *trimModel) check(l *Log) error {
	if d := l.Recovery().Damage; len(d) > 0 {
		return fmt.Errorf("damage: %v", d)
	}
	start, first := l.StartOffset(), l.FirstIndex()
	if start < m.kept || start > max(m.raised, m.kept) || l.EndOffset() != m.end() || l.LastIndex() != m.last() {
		return fmt.Errorf("log of %d to %d, last entry %d; want %d or %d to %d, %d",
			start, l.EndOffset(), l.LastIndex(), m.kept, m.raised, m.end(), m.last())
	}
	if first == 0 {
		first = m.last() + 1
	}
	if first > 1 {
		if term, err := l.Term(first - 1); err != nil || term != m.entries[first-2].Term {
			return fmt.Errorf("term before the first entry: %d, %w", term, err)
		}
		if _, err := l.ReadEntry(first-1, false); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("entry before the first: %w", err)
		}
	}
	for i := first; i <= m.last(); i++ {
		got, err := l.ReadEntry(i, false)
		if want := m.entries[i-1]; err != nil || got.Term != want.Term || got.Kind != want.Kind || !bytes.Equal(got.Data, want.Data) {
			return fmt.Errorf("entry %d is another, or %w", i, err)
		}
	}
	if _, err := l.Read(start-1, m.end(), 100); start > 0 && !errors.Is(err, ErrOffsetOutOfRange) {
		return fmt.Errorf("read below the start: %w", err)
	}
	return m.checkRecords(l, start)
}

func (m *trimModel) checkRecords(l *Log, start Offset) error {
	var epochs []EpochStart
	for _, e := range m.entries {
		if e.Kind != KindBatch {
			continue
		}
		h, _ := batch.ParseHeader(e.Data)
		if h.Next() <= start {
			continue
		}
		if n := len(epochs); n == 0 || epochs[n-1].Epoch != h.LeaderEpoch {
			epochs = append(epochs, EpochStart{Epoch: h.LeaderEpoch, Start: max(h.BaseOffset, start)})
		}
		c, err := l.Read(max(h.BaseOffset, start), h.Next(), 1)
		if err != nil || c.Base != h.BaseOffset || c.Len != h.Size() {
			return fmt.Errorf("batch at %d: %d bytes at %d, %w", h.BaseOffset, c.Len, c.Base, err)
		}
		c.Close()
	}
	if got := l.Epochs(); fmt.Sprint(got) != fmt.Sprint(epochs) {
		return fmt.Errorf("epochs %v, want %v", got, epochs)
	}
	t, found, err := l.OffsetForTimestamp(0, m.end())
	if err != nil || found != (start < m.end()) || found && t.Offset != start {
		return fmt.Errorf("first timestamp at %d, %v, %w; want offset %d", t.Offset, found, err, start)
	}
	return nil
}

// adopt takes what a reopened log holds: nothing acknowledged may be missing.
func (m *trimModel) adopt(l *Log, mode flush.Mode) error {
	all := append(slices.Clone(m.entries), m.pending...)
	last, floor := l.LastIndex(), m.last()
	if mode == flush.OS {
		c, _ := l.Checkpoint()
		floor = c.Index
	}
	if last < floor || last > Index(len(all)) {
		return fmt.Errorf("log ends at %d of %d, not below %d", last, len(all), floor)
	}
	m.entries, m.pending = all[:last:last], nil
	m.term++
	return m.check(l)
}

// TestTrimCrash loses power at every operation of scripts of appends, trims, rolls by age and restarts.
func TestTrimCrash(t *testing.T) {
	for script, mode := range []flush.Mode{flush.Fsync, flush.OS} {
		t.Run(fmt.Sprintf("mode%d", mode), func(t *testing.T) {
			for n := 0; trimCrashAt(t, mode, uint64(script), n); n++ {
			}
		})
	}
}

func trimCrashAt(t *testing.T, mode flush.Mode, script uint64, n int) (crashed bool) {
	f := crashfs.New()
	f.CrashAt(n)
	m := runTrims(t, f, mode, script)
	if !f.Crashed() {
		if n < 60 {
			t.Fatalf("the script has %d operations only", n)
		}
		return false
	}
	seed := uint64(n % 3)
	after := f.Recover(seed)
	if seed > 0 { // power is lost again, while the log recovers
		after.CrashAt(n % 7)
		o, stop := m.options(after, mode, script, t)
		if l, err := Open("data/log", o); err == nil {
			_ = l.Close()
		}
		stop()
		after = after.Recover(seed)
	}
	if err := m.goOn(t, after, mode, seed); err != nil {
		t.Fatalf("crash at operation %d, outcome %d: %v", n, seed, err)
	}
	return true
}

// runTrims runs a script until it is through or power is lost.
func runTrims(t *testing.T, f *crashfs.FS, mode flush.Mode, script uint64) *trimModel {
	m := &trimModel{now: time.UnixMilli(1_700_000_000_000)}
	rnd := rand.New(rand.NewPCG(script, 7))
	o, stop := m.options(f, mode, script, t)
	defer stop()
	l, err := Open("data/log", o)
	for range 30 {
		if err == nil {
			err = m.step(t, l, rnd)
		}
		if err == nil && !f.Crashed() && rnd.IntN(5) == 0 {
			if err := m.check(l); err != nil {
				t.Fatal(err)
			}
		}
		if err == nil && rnd.IntN(10) == 0 {
			if err = l.Close(); err == nil {
				m.raised = max(l.StartOffset(), m.kept)
				l, err = Open("data/log", o)
			}
		}
	}
	if l != nil {
		_ = l.Close()
	}
	return m
}

func (m *trimModel) goOn(t *testing.T, f *crashfs.FS, mode flush.Mode, seed uint64) error {
	o, stop := m.options(f, mode, seed, t)
	defer stop()
	l, err := Open("data/log", o)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := m.adopt(l, mode); err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(seed, 9))
	for range 12 {
		if err := m.step(t, l, rnd); err != nil {
			return err
		}
		if err := m.check(l); err != nil {
			return err
		}
	}
	return nil
}

// The rule by which a segment expires.
func TestExpired(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	hours := func(n float64) time.Duration { return time.Duration(n * float64(time.Hour)) }
	for _, c := range []struct {
		name             string
		age              time.Duration
		appended, newest float64 // hours before now
		want             bool
	}{
		{"for ever", 0, 100, 100, false},
		{"nothing", -1, 0, 0, true},
		{"young", hours(2), 1, 1, false},
		{"old", hours(2), 3, 3, true},
		{"exactly the age", hours(2), 2, 2, false},
		{"old records, appended in time", hours(2), 1, 2.5, true},
		{"a future timestamp, old append", hours(2), 3, -1000, true},
		{"a future timestamp, young append", hours(2), 1, -1000, false},
		{"far in the past, young append", hours(2), 1, 1000, false},
		{"far in the past, old append", hours(2), 3, 1000, true},
	} {
		s := &segment{appended: now.Add(-hours(c.appended)), newest: newest{time: now.Add(-hours(c.newest)).UnixMilli()}}
		if got := s.expired(c.age, now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	s := &segment{appended: now.Add(-hours(3)), newest: newest{time: -1}}
	if !s.expired(hours(2), now) || s.expired(hours(4), now) {
		t.Error("records without a timestamp do not go by the broker's clock")
	}
}

// Retention takes whole segments from the front, never above the limit; the append time survives restarts.
func TestRetainedFrom(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond).Add(-100 * time.Hour)
	o := Options{SegmentAge: time.Hour, Now: func() time.Time { return now }}
	dir := t.TempDir() + "/log"
	l := openLog(t, dir, o)
	future := now.Add(1e6 * time.Hour).UnixMilli()
	for i := range 5 { // a segment each, of records in the future
		appendOK(t, l, Entry{Index: Index(i + 1), Term: 1, Data: testBatch(t, 2, 100, future)})
		now = now.Add(time.Hour)
	}
	size := l.Size() / 5
	want := func(r Retention, limit, want Offset) {
		t.Helper()
		if got := l.RetainedFrom(r, limit); got != want {
			t.Fatalf("%+v below %d: %d, want %d", r, limit, got, want)
		}
	}
	for range 2 {
		want(Retention{}, 10, 0)
		want(Retention{Age: 150 * time.Minute}, 10, 6)
		want(Retention{Age: 150 * time.Minute}, 5, 4)
		want(Retention{Bytes: 2*size - 1}, 10, 6)
		want(Retention{Bytes: 2*size + 1}, 10, 4)
		want(Retention{Bytes: -1}, 10, 10)
		want(Retention{Age: -1}, 10, 10)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, dir, o)
	}
	l.RaiseStart(6)
	want(Retention{Bytes: 2 * size}, 10, 6) // what lies below the start counts no longer
	want(Retention{Bytes: size}, 10, 8)
}

// A reader in the middle of a segment that is removed goes on; one that comes later is told.
func TestReadersOfRemovedSegments(t *testing.T) {
	l := openLog(t, t.TempDir()+"/log", Options{SegmentBytes: 300})
	for i := range 6 {
		appendOK(t, l, Entry{Index: Index(i + 1), Term: 1, Data: testBatch(t, 2, 100, int64(i))})
	}
	chunk, err := l.Read(0, 12, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer chunk.Close()
	before := make([]byte, chunk.Len)
	if _, err := chunk.ReadAt(before, 0); err != nil {
		t.Fatal(err)
	}
	l.mu.RLock()
	held := l.hold(l.segs[0]) // a reader that has not opened its file yet
	if held.file != nil {
		held.file.release()
		held.file = nil
	}
	l.mu.RUnlock()
	files, release, err := manifestAt(l, 6, 12)
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	l.RaiseStart(7)
	if err := l.WriteCheckpoint(Checkpoint{Index: 6, Term: 1, End: 12, Start: 7}); err != nil {
		t.Fatal(err)
	}
	size := l.Size()
	if err := l.Reclaim(); err != nil || l.Size() != size {
		t.Fatalf("removed under a manifest: %d bytes of %d, %v", l.Size(), size, err)
	}
	release()
	if err := l.Reclaim(); err != nil || l.Size() >= size || l.FirstIndex() != 4 {
		t.Fatalf("%d bytes of %d, first entry %d, %v", l.Size(), size, l.FirstIndex(), err)
	}
	after := make([]byte, chunk.Len)
	if _, err := chunk.ReadAt(after, 0); err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the chunk reads other bytes, or %v", err)
	}
	if err := l.open(&held); !errors.Is(err, errRemoved) {
		t.Fatalf("a file that is gone: %v", err)
	}
}

func manifestAt(l *Log, i Index, end Offset) ([]FileRange, func(), error) {
	c := Checkpoint{Index: i, Term: 1, End: end}
	if err := l.WriteCheckpoint(c); err != nil {
		return nil, nil, err
	}
	return l.Manifest(c)
}
