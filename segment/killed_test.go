package segment

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// entriesOf makes n batches of size bytes each, from index on.
func entriesOf(t *testing.T, from Index, term Term, n, size int) (out []Entry) {
	for i := range n {
		out = append(out, Entry{Index: from + Index(i), Term: term, Data: testBatch(t, 1, size, 1000)})
	}
	return out
}

// TestKilledBeforeASync kills the process before each sync of an append that writes a side record and rolls, starts it again,
// appends what needs neither, and then loses power: what was acknowledged needs what the first process had not made durable.
func TestKilledBeforeASync(t *testing.T) {
	for n := range int32(6) {
		f := crashfs.New()
		l, err := Open("data/log", Options{FS: f, SegmentBytes: 400})
		mustDo(t, err)
		mustDo(t, l.Append(entriesOf(t, 1, 1, 3, 200), false))
		var syncs atomic.Int32
		f.SetHook(func(op crashfs.Op, _ string) error {
			if (op == crashfs.OpSync || op == crashfs.OpSyncDir) && syncs.Add(1) > n || syncs.Load() > n {
				return crashfs.ErrCrashed // of a killed process nothing reaches the file system
			}
			return nil
		})
		own := Entry{Index: 4, Term: 2, Kind: 1, Data: []byte("own")}
		_ = l.Append(append([]Entry{own}, entriesOf(t, 5, 2, 3, 200)...), false)
		_ = l.Close()
		f.SetHook(nil)

		l, err = Open("data/log", Options{FS: f, SegmentBytes: 400})
		mustDo(t, err)
		last := l.LastIndex()
		term, err := l.Term(last)
		mustDo(t, err)
		mustDo(t, l.Append(entriesOf(t, last+1, term, 1, 50), false))
		for seed := range uint64(20) {
			after, err := Open("data/log", Options{FS: f.Recover(seed), SegmentBytes: 400})
			mustDo(t, err)
			if got := after.LastIndex(); got != last+1 {
				t.Fatalf("killed before sync %d: acknowledged up to entry %d, found up to %d", n, last+1, got)
			}
			mustDo(t, after.Close())
		}
	}
}

// TestFailedSyncIsNotBelieved restarts after a sync that failed: what the page cache still shows of the refused append is not
// on disk and must not become part of the log.
func TestFailedSyncIsNotBelieved(t *testing.T) {
	f := crashfs.New()
	l, err := Open("data/log", Options{FS: f})
	mustDo(t, err)
	mustDo(t, l.Append(entriesOf(t, 1, 1, 3, 200), false))
	f.SetHook(func(op crashfs.Op, name string) error {
		if op == crashfs.OpSync {
			return syscall.EIO
		}
		return nil
	})
	if err := l.Append(entriesOf(t, 4, 1, 3, 200), false); !errors.Is(err, ErrFailed) {
		t.Fatalf("got %v", err)
	}
	_ = l.Close()
	f.SetHook(nil)

	l, err = Open("data/log", Options{FS: f})
	mustDo(t, err)
	if got := l.LastIndex(); got != 3 {
		t.Fatalf("the log goes up to entry %d, stored were 3", got)
	}
	mustDo(t, l.Append(entriesOf(t, 4, 1, 1, 50), false))
	after, err := Open("data/log", Options{FS: f.Recover(1)})
	mustDo(t, err)
	if got := after.LastIndex(); got != 4 {
		t.Fatalf("after a power loss the log goes up to entry %d, acknowledged were 4", got)
	}
	mustDo(t, after.Close(), l.Close())
}

// TestFailureIsTold has a write fail and its repair too: no sync fails, but whoever owns the flusher must hear of it.
func TestFailureIsTold(t *testing.T) {
	f := crashfs.New()
	var told []error
	fl := flush.New(flush.Options{FS: f, OnFailure: func(err error) { told = append(told, err) }})
	defer func() { mustDo(t, fl.Close(t.Context())) }()
	l, err := Open("data/log", Options{FS: f, Flusher: fl})
	mustDo(t, err)
	defer l.Close()
	f.SetHook(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite || op == crashfs.OpTruncate {
			return syscall.EIO
		}
		return nil
	})
	for range 2 {
		if err := l.Append(entriesOf(t, 1, 1, 1, 100), false); !errors.Is(err, ErrFailed) {
			t.Fatalf("got %v", err)
		}
	}
	f.SetHook(nil)
	if len(told) != 1 || !errors.Is(told[0], syscall.EIO) {
		t.Fatalf("told %v", told)
	}
}
