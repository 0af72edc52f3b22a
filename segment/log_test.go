package segment

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
)

// testBatch makes a batch of n records with timestamps from time on and values of size bytes.
func testBatch(t testing.TB, n, size int, time int64) []byte {
	t.Helper()
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{
			Offset: Offset(i), Timestamp: time + int64(i), Value: bytes.Repeat([]byte{byte(i)}, size),
		}
	}
	b, err := (&batch.Builder{}).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openLog(t testing.TB, dir string, o Options) *Log {
	t.Helper()
	l, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func appendOK(t testing.TB, l *Log, entries ...Entry) {
	t.Helper()
	if err := l.Append(entries, false); err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, l *Log, from Offset, maxBytes int) []byte {
	t.Helper()
	var out bytes.Buffer
	for from < l.EndOffset() {
		c, err := l.Read(from, l.EndOffset(), maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		before := out.Len()
		if _, err := c.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		c.Close()
		for b := out.Bytes()[before:]; len(b) > 0; {
			h, err := batch.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			b = b[h.Size():]
			from = h.Next()
		}
	}
	return out.Bytes()
}

func TestAppendReadReopen(t *testing.T) {
	for _, crash := range []bool{false, true} {
		dir := t.TempDir()
		l := openLog(t, dir, Options{SegmentBytes: 20_000})
		var want []byte
		index := Index(1)
		for i := range 200 {
			if i%50 == 0 {
				appendOK(t, l, Entry{Index: index, Term: Term(1 + i/50), Kind: 1, Data: []byte("own")})
				index++
			}
			b := testBatch(t, 3, 100, int64(1000*i))
			appendOK(t, l, Entry{Index: index, Term: Term(1 + i/50), Data: b})
			want = append(want, b...)
			index++
		}
		if !crash {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		l = openLog(t, dir, Options{SegmentBytes: 20_000})
		if r := l.Recovery(); r.Clean == crash || len(r.Damage) > 0 || r.Cut != 0 {
			t.Fatalf("recovery after crash %v: %+v", crash, r)
		}
		if l.LastIndex() != index-1 || l.EndOffset() != 600 || l.FirstIndex() != 1 {
			t.Fatalf("index %d to %d, end %d", l.FirstIndex(), l.LastIndex(), l.EndOffset())
		}
		for _, maxBytes := range []int{1, 1000, 5000, 1 << 20} {
			if got := readAll(t, l, 0, maxBytes); !bytes.Equal(got, want) {
				t.Fatalf("read %d bytes, want %d", len(got), len(want))
			}
		}
		if ep := l.Epochs(); len(ep) != 4 || ep[2] != (EpochStart{Epoch: 3, Start: 300}) {
			t.Fatalf("epochs %v", ep)
		}
		appendOK(t, l, Entry{Index: index, Term: 9, Data: testBatch(t, 1, 10, 1)})
	}
}

func TestTruncateAfter(t *testing.T) {
	for last := Index(0); last <= 20; last++ {
		dir := t.TempDir()
		o := Options{SegmentBytes: 1000, Now: func() time.Time { return time.UnixMilli(5) }}
		l := openLog(t, dir, o)
		for i := Index(1); i <= 20; i++ {
			e := Entry{Index: i, Term: Term(i/5 + 1), Data: testBatch(t, 1, 200, int64(i))}
			if i%4 == 0 {
				e.Kind, e.Data = 2, []byte{byte(i)}
			}
			appendOK(t, l, e)
		}
		if err := l.TruncateAfter(last); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			if l.LastIndex() != last {
				t.Fatalf("last index %d, want %d", l.LastIndex(), last)
			}
			for i := Index(1); i <= last; i++ {
				e, err := l.ReadEntry(i, false)
				if err != nil || (i%4 == 0) != (e.Kind == 2) || e.Term != Term(i/5+1) {
					t.Fatalf("entry %d: %+v, %v", i, e, err)
				}
			}
			if _, err := l.ReadEntry(last+1, false); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
		check()
		l2 := openLog(t, dir, o)
		if r := l2.Recovery(); r.Cut != 0 || len(r.Damage) > 0 || l2.LastIndex() != last {
			t.Fatalf("%+v, last %d want %d", r, l2.LastIndex(), last)
		}
		appendOK(t, l, Entry{Index: last + 1, Term: 9, Data: testBatch(t, 2, 100, 7)})
		last++
		l3 := openLog(t, dir, o)
		if l3.LastIndex() != last {
			t.Fatalf("last %d want %d", l3.LastIndex(), last)
		}
		last--
	}
}

func TestCheckpointAndMarks(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, Options{SegmentBytes: 5000})
	var c Checkpoint
	for i := Index(1); i <= 100; i++ {
		appendOK(t, l, Entry{Index: i, Term: 1, Data: testBatch(t, 2, 200, int64(i))})
		if i == 77 {
			c = Checkpoint{Index: 70, Term: 1, End: 140, Start: 3, State: []byte("state")}
			if err := l.WriteCheckpoint(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.TruncateAfter(69); err == nil {
		t.Fatal("truncated below the checkpoint")
	}
	l2 := openLog(t, dir, Options{SegmentBytes: 5000})
	r := l2.Recovery()
	if len(r.Damage) > 0 || r.Rebuilt > 0 || r.Scanned == 0 || r.Scanned >= l.Size()/2 || l2.LastIndex() != 100 {
		t.Fatalf("%+v, last %d", r, l2.LastIndex())
	}
	if got, ok := l2.Checkpoint(); !ok || got.Index != 70 || string(got.State) != "state" || l2.StartOffset() != 3 {
		t.Fatalf("%+v", got)
	}
}

func TestTimestamps(t *testing.T) {
	l := openLog(t, t.TempDir(), Options{SegmentBytes: 5000})
	for i := Index(1); i <= 100; i++ {
		appendOK(t, l, Entry{Index: i, Term: 1, Data: testBatch(t, 2, 200, int64(i)*10)})
	}
	for ts := int64(0); ts <= 1001; ts++ {
		got, found, err := l.OffsetForTimestamp(ts, 200)
		want := Offset(max(ts-10, 0)) / 10 * 2
		if ts >= 10 && ts%10 > 1 {
			want += 2
		} else if ts >= 10 && ts%10 == 1 {
			want++
		}
		if err != nil || !found || got.Offset != want {
			t.Fatalf("at %d: %+v %v %v, want %d", ts, got, found, err, want)
		}
	}
	if _, found, err := l.OffsetForTimestamp(1002, 200); found || err != nil {
		t.Fatal(found, err)
	}
	for limit := Offset(2); limit <= 200; limit += 2 {
		got, found, err := l.MaxTimestamp(limit)
		if err != nil || !found || got.Offset != limit-1 || got.Timestamp != int64(limit)*5+1 {
			t.Fatalf("below %d: %+v %v %v", limit, got, found, err)
		}
	}
}
