package flush

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// fakeFile counts its syncs. With a gate, each waits to be let through.
type fakeFile struct {
	vfs.File
	gate  chan struct{}
	syncs atomic.Int32
	err   error
}

func (f *fakeFile) Sync() error {
	f.syncs.Add(1)
	if f.gate != nil {
		<-f.gate
	}
	return f.err
}

// fakeFS counts the calls of syncfs.
type fakeFS struct {
	vfs.FS
	syncs  atomic.Int32
	closed atomic.Int32
	err    error
}

func (f *fakeFS) OpenSyncer(string) (vfs.Syncer, error) { return f, nil }
func (f *fakeFS) SyncFS() error                         { f.syncs.Add(1); return f.err }
func (f *fakeFS) Close() error                          { f.closed.Add(1); return nil }

func closeFlusher(t testing.TB, fl *Flusher) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return fl.Close(ctx)
}

// eventually waits for another goroutine to get where cond sees it.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// waiting is how many files wait for the next cycle.
func waiting(fl *Flusher) int {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return len(fl.next)
}

func TestLoneSync(t *testing.T) {
	fl := New(Options{})
	f := &fakeFile{}
	for i := range int32(3) {
		if err := fl.Sync(f); err != nil || f.syncs.Load() != i+1 {
			t.Fatalf("%d syncs, %v", f.syncs.Load(), err)
		}
	}
	if err := closeFlusher(t, fl); err != nil {
		t.Fatal(err)
	}
	if err := fl.Sync(f); !errors.Is(err, ErrClosed) {
		t.Fatalf("after Close: %v", err)
	}
}

// busy occupies the one direct sync that Threads: 1 allows, and a cycle, until gate is closed.
func busy(t *testing.T, fl *Flusher, wg *sync.WaitGroup, gate chan struct{}) {
	t.Helper()
	for range 2 {
		f := &fakeFile{gate: gate}
		wg.Go(func() {
			if err := fl.Sync(f); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "sync under way", func() bool { return f.syncs.Load() == 1 })
	}
}

// TestWaitersShareTheNextCycle: whoever comes while a cycle is under way is covered by the next one, not by that one.
func TestWaitersShareTheNextCycle(t *testing.T) {
	fsys := &fakeFS{}
	fl := New(Options{FS: fsys, Dir: "d", SyncFSAt: 3, Threads: 1})
	var wg sync.WaitGroup
	gate := make(chan struct{})
	busy(t, fl, &wg, gate)
	files := []*fakeFile{{}, {}, {}}
	for _, f := range files {
		wg.Go(func() {
			if err := fl.Sync(f); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "three files waiting", func() bool { return waiting(fl) == 3 })
	if n := fsys.syncs.Load(); n != 0 {
		t.Fatalf("%d syncfs before the first cycle ended", n)
	}
	close(gate)
	wg.Wait()
	if n := fsys.syncs.Load(); n != 1 || files[0].syncs.Load() != 0 {
		t.Fatalf("%d syncfs, want 1 and none of the files by itself", n)
	}
	if err := closeFlusher(t, fl); err != nil || fsys.closed.Load() != 1 {
		t.Fatalf("%v, closed %d times", err, fsys.closed.Load())
	}
}

// TestFewCallersSyncAtOnce: a caller does not wait for the sync of another file while there are few.
func TestFewCallersSyncAtOnce(t *testing.T) {
	fl := New(Options{Threads: 2})
	defer closeFlusher(t, fl)
	slow, quick := &fakeFile{gate: make(chan struct{})}, &fakeFile{}
	var wg sync.WaitGroup
	wg.Go(func() { _ = fl.Sync(slow) })
	eventually(t, "slow sync under way", func() bool { return slow.syncs.Load() == 1 })
	if err := fl.Sync(quick); err != nil {
		t.Fatal(err)
	}
	close(slow.gate)
	wg.Wait()
}

func TestCycleSideBySide(t *testing.T) {
	ticks := make(chan time.Time)
	fl := start(Options{Mode: Interval, Threads: 3}, ticks, func() {})
	gate := make(chan struct{})
	files := make([]*fakeFile, 4)
	for i := range files {
		files[i] = &fakeFile{gate: gate}
		if err := fl.Sync(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	started := func() (n int32) {
		for _, f := range files {
			n += f.syncs.Load()
		}
		return n
	}
	ticks <- time.Time{}
	eventually(t, "three of four at once", func() bool { return started() == 3 })
	gate <- struct{}{}
	eventually(t, "the fourth", func() bool { return started() == 4 })
	close(gate)
	if err := closeFlusher(t, fl); err != nil {
		t.Fatal(err)
	}
}

func TestFileErrorSticks(t *testing.T) {
	var told []error
	fl := New(Options{OnFailure: func(err error) { told = append(told, err) }})
	bad, good := &fakeFile{err: fs.ErrInvalid}, &fakeFile{}
	for range 2 {
		if err := fl.Sync(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Fatalf("got %v", err)
		}
		if err := fl.Sync(good); err != nil {
			t.Fatal(err)
		}
	}
	if bad.syncs.Load() != 1 || len(told) != 1 || !errors.Is(told[0], fs.ErrInvalid) {
		t.Fatalf("%d syncs of the failed file, told %v", bad.syncs.Load(), told)
	}
	if err := closeFlusher(t, fl); !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("Close: %v", err)
	}
}

func TestSyncFSErrorFailsAll(t *testing.T) {
	fsys := &fakeFS{err: fs.ErrInvalid}
	told := 0
	fl := New(Options{FS: fsys, Dir: "d", SyncFSAt: 1, Threads: 1, OnFailure: func(error) { told++ }})
	slow, gate := &fakeFile{gate: make(chan struct{})}, make(chan struct{})
	go func() { _ = fl.Sync(slow); close(gate) }()
	eventually(t, "sync under way", func() bool { return slow.syncs.Load() == 1 })
	for _, f := range []vfs.File{&fakeFile{}, &fakeFile{}} { // slow keeps these from syncing themselves
		if err := fl.Sync(f); !errors.Is(err, fs.ErrInvalid) {
			t.Fatalf("got %v", err)
		}
	}
	close(slow.gate)
	<-gate
	if err := closeFlusher(t, fl); !errors.Is(err, fs.ErrInvalid) {
		t.Fatalf("Close: %v", err)
	}
	if fsys.syncs.Load() != 1 || told != 1 {
		t.Fatalf("%d syncfs, told %d times", fsys.syncs.Load(), told)
	}
}

func TestInterval(t *testing.T) {
	ticks := make(chan time.Time)
	stopped := false
	fl := start(Options{Mode: Interval}, ticks, func() { stopped = true })
	a, b := &fakeFile{}, &fakeFile{}
	for range 3 {
		if err := errors.Join(fl.Sync(a), fl.Sync(b)); err != nil {
			t.Fatal(err)
		}
	}
	if a.syncs.Load() != 0 {
		t.Fatal("synced before the interval was over")
	}
	fl.Forget(b)
	ticks <- time.Time{}
	ticks <- time.Time{} // taken once the first tick's cycle is over; nothing is dirty then
	if a.syncs.Load() != 1 || b.syncs.Load() != 0 {
		t.Fatalf("%d and %d syncs, want 1 and 0", a.syncs.Load(), b.syncs.Load())
	}
	_ = fl.Sync(a)
	if err := closeFlusher(t, fl); err != nil || a.syncs.Load() != 2 || !stopped {
		t.Fatalf("close: %v, %d syncs, clock stopped: %v", err, a.syncs.Load(), stopped)
	}
}

func TestOSMode(t *testing.T) {
	fl := New(Options{Mode: OS})
	defer closeFlusher(t, fl)
	f := &fakeFile{}
	if err := fl.Sync(f); err != nil || f.syncs.Load() != 0 {
		t.Fatalf("%d syncs, %v", f.syncs.Load(), err)
	}
	if err := fl.SyncNow(f); err != nil || f.syncs.Load() != 1 {
		t.Fatalf("%d syncs, %v", f.syncs.Load(), err)
	}
}

func TestForgetWaitsForItsCycle(t *testing.T) {
	fl := New(Options{})
	defer closeFlusher(t, fl)
	f := &fakeFile{gate: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = fl.Sync(f) })
	eventually(t, "cycle under way", func() bool { return f.syncs.Load() == 1 })
	var released atomic.Bool
	started := make(chan struct{})
	wg.Go(func() {
		close(started)
		fl.Forget(f)
		if !released.Load() {
			t.Error("Forget returned while the file was being synced")
		}
	})
	<-started
	for range 100 { // let Forget get to where it waits
		runtime.Gosched()
	}
	released.Store(true)
	close(f.gate)
	wg.Wait()
	fl.Forget(&fakeFile{}) // never seen: nothing to wait for
}

func TestCloseAnswersWaiters(t *testing.T) {
	fl := New(Options{Threads: 1})
	var wg sync.WaitGroup
	gate := make(chan struct{})
	busy(t, fl, &wg, gate)
	other := &fakeFile{}
	wg.Go(func() {
		if err := fl.Sync(other); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "one waiting", func() bool { return waiting(fl) == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := fl.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Close while a sync hangs: %v", err)
	}
	close(gate)
	if err := closeFlusher(t, fl); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if other.syncs.Load() != 1 {
		t.Fatalf("%d syncs of the waiting file", other.syncs.Load())
	}
}

// TestManyCallers runs everything at once for the race detector, and checks that a Sync never returns before its bytes are
// durable.
func TestManyCallers(t *testing.T) {
	fl := New(Options{FS: &fakeFS{}, Dir: "d", SyncFSAt: 1 << 30, Threads: 4})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			f := &countingFile{}
			for range 200 {
				f.written.Add(1)
				if err := fl.Sync(f); err != nil || f.durable.Load() != f.written.Load() {
					t.Errorf("%d of %d durable, %v", f.durable.Load(), f.written.Load(), err)
				}
			}
			fl.Forget(f)
		})
	}
	wg.Wait()
	if err := closeFlusher(t, fl); err != nil {
		t.Fatal(err)
	}
}

type countingFile struct {
	vfs.File
	written, durable atomic.Int64
}

func (f *countingFile) Sync() error {
	f.durable.Store(f.written.Load())
	return nil
}

func TestLoneSyncAllocatesNothing(t *testing.T) {
	fl := New(Options{})
	defer closeFlusher(t, fl)
	f := &fakeFile{}
	if n := testing.AllocsPerRun(100, func() { _ = fl.Sync(f) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

// BenchmarkOverhead is a lone Sync of a file that costs nothing to sync.
func BenchmarkOverhead(b *testing.B) {
	fl := New(Options{})
	defer closeFlusher(b, fl)
	f := &fakeFile{}
	b.ReportAllocs()
	for b.Loop() {
		_ = fl.Sync(f)
	}
}

// BenchmarkCycle has one writer a file append 4 KiB and Sync, over and over, on the real disk: rounds of all files a second
// with every caller syncing its own file, with cycles of one syncfs, and with the default. Where they cross decides
// the defaults of Options.Threads and Options.SyncFSAt.
func BenchmarkCycle(b *testing.B) {
	for _, files := range []int{1, 2, 4, 8, 16, 64, 256} {
		for _, c := range []struct {
			name              string
			threads, syncFSAt int
		}{{"direct", 1 << 20, 0}, {"syncfs", 1, 2}, {"default", 0, 0}} {
			b.Run(fmt.Sprintf("files=%d/%s", files, c.name), func(b *testing.B) {
				benchmarkCycle(b, files, Options{Threads: c.threads, SyncFSAt: c.syncFSAt})
			})
		}
	}
}

func benchmarkCycle(b *testing.B, files int, o Options) {
	dir := b.TempDir()
	o.Dir = dir
	fl := New(o)
	defer closeFlusher(b, fl)
	all := make([]vfs.File, files)
	for i := range all {
		f, err := vfs.OS.OpenFile(path.Join(dir, fmt.Sprint(i)), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		all[i] = f
	}
	page := make([]byte, 4096)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, f := range all {
		wg.Go(func() {
			for i := range b.N {
				if _, err := f.WriteAt(page, int64(i)*4096); err != nil {
					b.Error(err)
				}
				if err := fl.Sync(f); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rounds/s")
	b.ReportMetric(float64(b.N)*float64(files)/b.Elapsed().Seconds(), "syncs/s")
}
