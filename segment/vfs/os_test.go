package vfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"testing"
)

func TestOSWritesAndReadsBack(t *testing.T) {
	dir := t.TempDir()
	name := path.Join(dir, "a")
	f, err := OS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var bufs [][]byte
	var want []byte
	for i := range 3*iovMax + 7 { // more than one call can take
		b := bytes.Repeat([]byte{byte(i)}, i%5)
		bufs, want = append(bufs, b), append(want, b...)
	}
	n, err := f.WriteVec(bufs, 3)
	if err != nil || n != int64(len(want)) {
		t.Fatalf("WriteVec: %d, %v; want %d", n, err, len(want))
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 3); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read back differs (%v)", err)
	}
	if size, err := f.Size(); err != nil || size != int64(len(want))+3 {
		t.Fatalf("size %d, %v", size, err)
	}
	if err := OS.SyncDir(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := OS.OpenSyncer(dir); err == nil {
		if err := errors.Join(s.SyncFS(), s.Close()); err != nil {
			t.Fatal(err)
		}
	} else if !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	if free, total, err := OS.Free(dir); err != nil || free == 0 || total < free {
		t.Fatalf("free %d of %d, %v", free, total, err)
	}
}

func TestOSErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OS.OpenFile(path.Join(dir, "none"), os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("open: %v", err)
	}
	if err := OS.SyncDir(path.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("sync dir: %v", err)
	}
	f, err := OS.OpenFile(path.Join(dir, "a"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := f.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("sync of a closed file: %v", err)
	}
	if _, err := f.WriteVec([][]byte{{1}}, 0); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("write to a closed file: %v", err)
	}
}

// shortWriter takes at most step bytes a call, and fails where it is told to.
type shortWriter struct {
	data   []byte
	step   int
	calls  int
	failAt int // call that fails; 0: none
	intr   bool
}

func (w *shortWriter) pwritev(bufs [][]byte, off int64) (int, error) {
	return w.pwrite(bytes.Join(bufs, nil), off)
}

func (w *shortWriter) pwrite(b []byte, off int64) (int, error) {
	w.calls++
	if w.calls == w.failAt {
		return 0, syscall.ENOSPC
	}
	if w.intr = !w.intr; w.intr {
		return 0, syscall.EINTR
	}
	if off != int64(len(w.data)) {
		return 0, syscall.EINVAL
	}
	n := min(w.step, len(b))
	w.data = append(w.data, b[:n]...)
	return n, nil
}

func TestWriteVecResumesShortWrites(t *testing.T) {
	bufs := [][]byte{[]byte("abc"), nil, []byte("d"), []byte("efghij"), {}, []byte("kl"), nil}
	want := bytes.Join(bufs, nil)
	for step := 1; step <= len(want)+1; step++ {
		w := &shortWriter{step: step}
		if n, err := writeVec(w, bufs, 0); err != nil || int(n) != len(want) || !bytes.Equal(w.data, want) {
			t.Fatalf("step %d: %d, %v, %q", step, n, err, w.data)
		}
	}
	if !bytes.Equal(bytes.Join(bufs, nil), want) {
		t.Fatal("bufs was changed")
	}
}

func TestWriteVecSaysHowFarItCame(t *testing.T) {
	w := &shortWriter{step: 4, failAt: 5}
	n, err := writeVec(w, [][]byte{[]byte("abc"), []byte("defghi")}, 0)
	if n != 8 || !errors.Is(err, syscall.ENOSPC) || string(w.data) != "abcdefgh" {
		t.Fatalf("%d, %v, %q", n, err, w.data)
	}
}

func TestCallsAllocateNothing(t *testing.T) {
	f, err := OS.OpenFile(path.Join(t.TempDir(), "a"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bufs := [][]byte{[]byte("header"), []byte("payload")}
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := f.WriteVec(bufs, 0); err != nil {
			t.Error(err)
		}
	})
	if allocs >= 1 && !raceEnabled {
		t.Fatalf("WriteVec: %v allocations", allocs)
	}
}
