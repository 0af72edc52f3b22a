package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/quirelog/quire/segment/vfs"
)

// faultFS fails the operation that its hook wants to fail. A failing write leaves half of its bytes.
type faultFS struct {
	vfs.FS
	hook func(op string) error
}

type faultFile struct {
	vfs.File
	fs *faultFS
}

func (f *faultFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if err := f.hook("open"); err != nil {
		return nil, err
	}
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{file, f}, nil
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.hook("rename"); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *faultFS) Remove(name string) error {
	if err := f.hook("remove"); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *faultFS) SyncDir(dir string) error {
	if err := f.hook("sync"); err != nil {
		return err
	}
	return nil // nothing here loses power
}

func (f *faultFile) WriteVec(bufs [][]byte, off int64) (n int64, err error) {
	if err := f.fs.hook("write"); err != nil {
		for _, b := range bufs[:(len(bufs)+1)/2] {
			k, _ := f.File.WriteAt(b[:(len(b)+1)/2], off+n)
			n += int64(k)
		}
		return n, err
	}
	return f.File.WriteVec(bufs, off)
}

func (f *faultFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.fs.hook("write"); err != nil {
		n, _ := f.File.WriteAt(b[:len(b)/2], off)
		return n, err
	}
	return f.File.WriteAt(b, off)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.hook("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error { return f.fs.hook("sync") }

// TestFaults fails every operation of a script once, with ENOSPC where something is written and with EIO where it is
// synced. Unless the log has failed, it goes on as if the failed call had not been made; after a reopen it goes on anyway.
func TestFaults(t *testing.T) {
	for n := 0; ; n++ {
		if done := faultAt(t, n); done {
			if n < 100 {
				t.Fatalf("the script has %d operations only", n)
			}
			return
		}
	}
}

func faultAt(t *testing.T, n int) (done bool) {
	ops, failed := 0, ""
	f := &faultFS{FS: vfs.OS, hook: func(op string) error {
		if ops++; ops-1 != n {
			return nil
		}
		failed = op
		if op == "sync" {
			return syscall.EIO
		}
		return syscall.ENOSPC
	}}
	o := Options{FS: f, SegmentBytes: 2000}
	dir := filepath.Join(t.TempDir(), "log")
	rnd := rand.New(rand.NewPCG(7, 7))
	m := &model{}
	l, err := Open(dir, o)
	if err != nil && failed == "" {
		t.Fatal(err)
	}
	for step := 0; err == nil && failed == "" && step < 40; step++ {
		err = modelStep(t, l, m, rnd)
	}
	if failed == "" {
		_ = l.Close()
		return true
	}
	if l != nil && !errors.Is(err, ErrFailed) {
		m.pending = nil // a call that failed without failing the log left nothing
		if err := goOn(t, l, m, rnd); err != nil {
			t.Fatalf("operation %d (%s): the log does not go on: %v", n, failed, err)
		}
	}
	if l != nil {
		_ = l.Close()
	}
	l = openLog(t, dir, o)
	if err := m.adopt(l, m.floor); err != nil {
		t.Fatalf("operation %d (%s): reopened: %v", n, failed, err)
	}
	if err := goOn(t, l, m, rnd); err != nil {
		t.Fatalf("operation %d (%s): reopened, then: %v", n, failed, err)
	}
	_ = l.Close()
	return false
}

func goOn(t *testing.T, l *Log, m *model, rnd *rand.Rand) error {
	if err := m.check(l); err != nil {
		return err
	}
	for range 5 {
		if err := modelStep(t, l, m, rnd); err != nil {
			return err
		}
	}
	if err := m.check(l); err != nil {
		return fmt.Errorf("and after more steps: %w", err)
	}
	return nil
}
