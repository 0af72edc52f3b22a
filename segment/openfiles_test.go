package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// countingFS counts the segment files that are open.
type countingFS struct {
	vfs.FS
	open atomic.Int32
}

type countedFile struct {
	vfs.File
	fs *countingFS
}

func (c *countingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.HasSuffix(name, logSuffix) {
		return f, err
	}
	c.open.Add(1)
	return countedFile{f, c}, nil
}

func (f countedFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// TestOpenFilesAreBounded appends to many logs in turn, rolls and checkpoints among them, and reads all of them.
func TestOpenFilesAreBounded(t *testing.T) {
	for _, mode := range []flush.Mode{flush.Fsync, flush.Interval, flush.OS} {
		t.Run(fmt.Sprint(mode), func(t *testing.T) { boundedFiles(t, mode) })
	}
}

func boundedFiles(t *testing.T, mode flush.Mode) {
	const many, limit = 20, 4
	files := &countingFS{FS: crashfs.New()}
	fl := flush.New(flush.Options{FS: files.FS, Mode: mode})
	o := Options{FS: files, Files: NewOpenFiles(limit), Flusher: fl, SegmentBytes: 1000}
	var logs []*Log
	for n := range many {
		logs = append(logs, openLog(t, fmt.Sprintf("log%d", n), o))
	}
	if n := files.open.Load(); n != 0 {
		t.Fatalf("%d files open for logs that nothing was appended to", n)
	}
	for i := Index(1); i <= 6; i++ {
		for n, l := range logs {
			appendOK(t, l, Entry{Index: i, Term: 1, Data: testBatch(t, 2, 100, int64(i))})
			if n := files.open.Load(); n > limit+1 { // one more where the last log has just rolled
				t.Fatalf("%d files open, limit %d", n, limit)
			}
			if i == 4 && n%3 == 0 {
				if err := l.WriteCheckpoint(Checkpoint{Index: i, Term: 1, End: l.EndOffset()}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, l := range logs {
		for from := Offset(0); from < l.EndOffset(); from += 2 {
			if err := readOnce(l, from, l.EndOffset()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range logs {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := o.Files.Len(); n != 0 || files.open.Load() != 0 {
		t.Fatalf("closed, and %d files are counted, %d open", n, files.open.Load())
	}
	if err := fl.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestRecentlyUsedFilesStayOpen has one log appended to between any two others.
func TestRecentlyUsedFilesStayOpen(t *testing.T) {
	files := &countingFS{FS: crashfs.New()}
	o := Options{FS: files, Files: NewOpenFiles(3)}
	busy, opened := openLog(t, "busy", o), 0
	defer busy.Close()
	for i := Index(1); i <= 30; i++ {
		if busy.active().file == nil {
			opened++
		}
		appendOK(t, busy, Entry{Index: i, Term: 1, Data: testBatch(t, 1, 10, 1)})
		l := openLog(t, fmt.Sprintf("log%d", i), o)
		defer l.Close()
		appendOK(t, l, Entry{Index: 1, Term: 1, Data: testBatch(t, 1, 10, 1)})
	}
	if opened > 1 {
		t.Fatalf("the busy log opened its file %d times", opened)
	}
}

// TestOnlyDurableFilesAreClosed loses power after a file was closed that no flush had covered.
func TestOnlyDurableFilesAreClosed(t *testing.T) {
	for _, mode := range []flush.Mode{flush.Interval, flush.OS} {
		f := crashfs.New()
		fl := flush.New(flush.Options{FS: f, Mode: mode, Interval: 1 << 40})
		o := Options{FS: f, Files: NewOpenFiles(1), Flusher: fl}
		l, other := openLog(t, "log", o), openLog(t, "other", o)
		appendOK(t, l, Entry{Index: 1, Term: 1, Data: testBatch(t, 3, 100, 1)})
		appendOK(t, other, Entry{Index: 1, Term: 1, Data: testBatch(t, 1, 100, 1)})
		if l.active().file != nil {
			t.Fatal("the log kept its file")
		}
		for seed := range uint64(5) {
			after := openLog(t, "log", Options{FS: f.Recover(seed)})
			if after.EndOffset() != 3 {
				t.Errorf("mode %d: log ends at offset %d after the power loss", mode, after.EndOffset())
			}
		}
		if err := errors.Join(l.Close(), other.Close(), fl.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSyncFailsBeforeClose fails the sync of a file that is to be closed: its log must not go on as if all were well.
func TestSyncFailsBeforeClose(t *testing.T) {
	f := crashfs.New()
	fl := flush.New(flush.Options{FS: f, Mode: flush.OS})
	o := Options{FS: f, Files: NewOpenFiles(1), Flusher: fl}
	l, other := openLog(t, "log", o), openLog(t, "other", o)
	appendOK(t, l, Entry{Index: 1, Term: 1, Data: testBatch(t, 3, 100, 1)})
	f.SetHook(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync && strings.Contains(name, path.Join("log", logName(0))) {
			return errors.New("the disk is gone")
		}
		return nil
	})
	appendOK(t, other, Entry{Index: 1, Term: 1, Data: testBatch(t, 1, 100, 1)})
	if err := l.Append([]Entry{{Index: 2, Term: 1, Data: testBatch(t, 1, 10, 1)}}, false); !errors.Is(err, ErrFailed) {
		t.Fatalf("append after a failed sync: %v", err)
	}
	f.SetHook(nil)
	_ = l.Close()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	_ = fl.Close(t.Context())
}
