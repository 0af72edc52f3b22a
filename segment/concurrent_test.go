package segment

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
)

// TestReadersBesideWriter reads from the log while it grows, rolls, is checkpointed and loses its uncommitted tail. Readers
// stay below a high watermark, as a partition's do. All the time the file is taken away from it.
func TestReadersBesideWriter(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, filepath.Join(dir, "log"), Options{SegmentBytes: 10_000, IndexInterval: 700, Flusher: osFlusher(t, dir)})
	var mu sync.Mutex
	var committed Offset
	watermark := func() Offset { mu.Lock(); defer mu.Unlock(); return committed }
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			for from := Offset(n); ; from++ {
				select {
				case <-stop:
					return
				default:
				}
				limit := watermark()
				if limit == 0 {
					continue
				}
				if err := readOnce(l, from%limit, limit); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				l.park()
			}
		}
	})
	for i := Index(1); i <= 120; i++ {
		appendOK(t, l, Entry{Index: i, Term: Term(i), Data: testBatch(t, 2, 100, int64(i))})
		appendOK(t, l, Entry{Index: i + 1, Term: Term(i), Kind: 1}, Entry{Index: i + 2, Term: Term(i), Data: testBatch(t, 1, 300, 1)})
		if err := l.TruncateAfter(i); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		committed = l.EndOffset()
		mu.Unlock()
		if i%20 == 0 {
			if err := l.WriteCheckpoint(Checkpoint{Index: i, Term: Term(i), End: l.EndOffset()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

func readOnce(l *Log, from, limit Offset) error {
	c, err := l.Read(from, limit, 2000)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, c.Len)
	if _, err := c.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for len(b) > 0 {
		h, err := batch.Validate(b[:min(len(b), sizeOf(b))])
		if err != nil {
			return err
		}
		b = b[h.Size():]
	}
	_, _, err = l.MaxTimestamp(limit)
	return err
}

func sizeOf(b []byte) int {
	h, err := batch.ParseHeader(b)
	if err != nil {
		return len(b)
	}
	return h.Size()
}

// TestChunkOutlivesTheLog reads a chunk after its log was closed and its directory removed.
func TestChunkOutlivesTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := openLog(t, dir, Options{SegmentBytes: 1000})
	for i := Index(1); i <= 10; i++ {
		appendOK(t, l, Entry{Index: i, Term: 1, Data: testBatch(t, 1, 300, 1)})
	}
	want := readAll(t, l, 0, 1000)
	var chunks []Chunk
	for from := Offset(0); from < l.EndOffset(); from++ {
		c, err := l.Read(from, l.EndOffset(), 1)
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, c := range chunks {
		if _, err := c.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatal("chunks hold something else than the log did")
	}
	if _, err := l.Read(0, 5, 100); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestRollByAge(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	dir := t.TempDir()
	o := Options{SegmentAge: time.Hour, Now: func() time.Time { return now }}
	l := openLog(t, dir, o)
	logs := func() int { m, _ := filepath.Glob(filepath.Join(dir, "*.log")); return len(m) }
	now = now.Add(2 * time.Hour) // the segment waits for its first append
	for i, step := range []time.Duration{0, 59 * time.Minute, time.Minute, time.Minute} {
		now = now.Add(step)
		appendOK(t, l, Entry{Index: Index(i + 1), Term: 1, Data: testBatch(t, 1, 10, 1)})
		if want := 1 + i/2; logs() != want {
			t.Fatalf("append %d: %d segments, want %d", i, logs(), want)
		}
	}
	l.Reconfigure(Settings{SegmentBytes: 1})
	appendOK(t, l, Entry{Index: 5, Term: 1, Data: testBatch(t, 1, 10, 1)})
	if logs() != 3 {
		t.Fatalf("%d segments after segment.bytes was made small", logs())
	}
}

// TestFollowerStamps: with check set, a batch must carry the stamps that this log would give it.
func TestFollowerStamps(t *testing.T) {
	l := openLog(t, t.TempDir(), Options{})
	for name, c := range map[string]struct {
		base  Offset
		epoch int32
		ok    bool
	}{"base offset": {1, 3, false}, "epoch": {0, 2, false}, "right": {0, 3, true}} {
		b := testBatch(t, 2, 10, 1)
		batch.Stamp(b, c.base, c.epoch)
		before := bytes.Clone(b)
		err := l.Append([]Entry{{Index: 1, Term: 3, Data: b}}, true)
		if (err == nil) != c.ok || !bytes.Equal(b, before) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := l.TruncateAfter(0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestManifest copies a log as of a checkpoint while the original goes on, and finishes the copy as a receiver does.
func TestManifest(t *testing.T) {
	dir, to := t.TempDir(), filepath.Join(t.TempDir(), "installing")
	l := openLog(t, dir, Options{SegmentBytes: 1500})
	m := &model{}
	for i := Index(1); i <= 40; i++ {
		e := Entry{Index: i, Term: Term(1 + i/9), Data: testBatch(t, 1, 200, int64(i))}
		if i%7 == 0 {
			e.Kind, e.Data = 1, []byte("own")
		}
		m.entries = append(m.entries, m.stamped([]Entry{e})...)
		appendOK(t, l, e)
	}
	m.entries = m.entries[:23]
	c := Checkpoint{Index: 23, Term: 3, End: m.end(), State: []byte("state")}
	if err := l.WriteCheckpoint(c); err != nil {
		t.Fatal(err)
	}
	files, release, err := l.Manifest(c)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if err := l.TruncateAfter(23); err != nil {
		t.Fatal(err)
	}
	appendOK(t, l, Entry{Index: 24, Term: 50, Kind: 1, Data: []byte("more")}, Entry{Index: 25, Term: 50, Data: testBatch(t, 1, 5, 1)})
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name), b[:f.Len], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	copied := openLog(t, to, Options{})
	if r := copied.Recovery(); r.Cut != 0 || len(r.Damage) > 0 {
		t.Fatalf("%+v", r)
	}
	if err := copied.WriteCheckpoint(c); err != nil {
		t.Fatal(err)
	}
	if err := m.check(copied); err != nil {
		t.Fatal(err)
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(to, checkpointName+tempSuffix)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
