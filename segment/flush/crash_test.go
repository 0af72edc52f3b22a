package flush

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/quirelog/quire/segment/vfs"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// TestCrashAtEveryOperation: whatever a Sync or SyncDir has answered for is found after the power loss, in cycles of either kind and
// in single syncs.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, o := range []Options{{Threads: 1, SyncFSAt: 2}, {Threads: 1, SyncFSAt: 1 << 30}, {}} {
		for n := 0; crashOnce(t, o, n); n++ {
			if t.Failed() {
				return
			}
		}
	}
}

// crashOnce has three writers append and sync until power is lost at operation n, and says whether it came to that.
func crashOnce(t *testing.T, o Options, n int) (crashed bool) {
	const writers, appends = 3, 4
	fsys := crashfs.New()
	o.FS, o.Dir = fsys, "/"
	var files [writers]vfs.File
	for i := range files {
		f, err := fsys.OpenFile(fmt.Sprint(i), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
		if err := fsys.MkdirAll(fmt.Sprintf("dir%d", i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := fsys.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	fsys.CrashAt(fsys.Ops() + n)
	fl := New(o)
	var acked, named [writers]int64
	var wg sync.WaitGroup
	for i, f := range files {
		wg.Go(func() {
			for range appends {
				if _, err := f.WriteAt([]byte{1}, acked[i]); err != nil {
					return
				}
				if err := fl.Sync(f); err != nil {
					return
				}
				acked[i]++
				f, err := fsys.OpenFile(fmt.Sprintf("dir%d/%d", i, named[i]), os.O_RDWR|os.O_CREATE, 0o644)
				if err != nil || fl.SyncDir(fmt.Sprintf("dir%d", i)) != nil {
					return
				}
				_ = f.Close()
				named[i]++
			}
		})
	}
	wg.Wait()
	_ = closeFlusher(t, fl) // the power loss is its error too
	for seed := range uint64(5) {
		found := fsys.Recover(seed)
		for i := range files {
			info, err := found.Stat(fmt.Sprint(i))
			if err != nil || info.Size() < acked[i] {
				t.Errorf("op %d, seed %d, file %d: %d acknowledged, %v, %v", n, seed, i, acked[i], info, err)
			}
			for k := range named[i] {
				if _, err := found.Stat(fmt.Sprintf("dir%d/%d", i, k)); err != nil {
					t.Errorf("op %d, seed %d: a name whose directory was synced: %v", n, seed, err)
				}
			}
		}
	}
	return fsys.Crashed()
}
