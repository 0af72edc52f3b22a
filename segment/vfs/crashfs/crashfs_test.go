package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/quirelog/quire/segment/vfs"
)

const seeds = 200

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, f *FS, name string) vfs.File {
	t.Helper()
	file, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	return file
}

func write(t *testing.T, file vfs.File, off int64, s string) {
	t.Helper()
	_, err := file.WriteAt([]byte(s), off)
	must(t, err)
}

// content of a file; "-" when it is not there.
func content(t *testing.T, f *FS, name string) string {
	t.Helper()
	file, err := f.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	must(t, err)
	size, err := file.Size()
	must(t, err)
	b := make([]byte, size)
	if n, err := file.ReadAt(b, 0); n != len(b) || err != nil && err != io.EOF {
		t.Fatalf("read %d of %d: %v", n, len(b), err)
	}
	return string(b)
}

// outcomes are the different answers of get over many power losses.
func outcomes(f *FS, get func(found *FS) string) []string {
	seen := make(map[string]bool)
	for seed := range uint64(seeds) {
		seen[get(f.Recover(seed))] = true
	}
	var list []string
	for s := range seen {
		list = append(list, s)
	}
	slices.Sort(list)
	return list
}

func wantOutcomes(t *testing.T, f *FS, get func(*FS) string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := outcomes(f, get); !slices.Equal(got, want) {
		t.Fatalf("found %q, want %q", got, want)
	}
}

func TestContentIsDurableAfterSync(t *testing.T) {
	f := New()
	a := create(t, f, "a")
	must(t, f.SyncDir("/"))
	write(t, a, 0, "one")
	get := func(f *FS) string { return content(t, f, "a") }
	wantOutcomes(t, f, get, "", "one", "\x00\x00\x00")
	must(t, a.Sync())
	wantOutcomes(t, f, get, "one")
	write(t, a, 0, "two")
	wantOutcomes(t, f, get, "one", "two")
	if got := get(f); got != "two" {
		t.Fatalf("without a power loss: %q", got)
	}
}

func TestNamesAreDurableAfterSyncDir(t *testing.T) {
	f := New()
	must(t, f.MkdirAll("d", 0o755))
	a := create(t, f, "d/a")
	write(t, a, 0, "x")
	must(t, a.Sync())
	get := func(f *FS) string { return content(t, f, "d/a") }
	wantOutcomes(t, f, get, "-", "x")
	must(t, f.SyncDir("d"))
	wantOutcomes(t, f, get, "-", "x") // the directory itself is not durable
	must(t, f.SyncDir("."))
	wantOutcomes(t, f, get, "x")
	must(t, f.Remove("d/a"))
	wantOutcomes(t, f, get, "-", "x")
	must(t, f.SyncDir("d"))
	wantOutcomes(t, f, get, "-")
}

func TestRenameIsAtomic(t *testing.T) {
	f := New()
	for _, name := range []string{"old", "new"} {
		file := create(t, f, name)
		write(t, file, 0, name)
		must(t, file.Sync())
	}
	must(t, f.SyncDir("/"), f.Rename("old", "new"))
	get := func(f *FS) string { return content(t, f, "old") + content(t, f, "new") }
	wantOutcomes(t, f, get, "oldnew", "-old")
	must(t, f.SyncDir("/"))
	wantOutcomes(t, f, get, "-old")
}

func TestRenameBetweenDirectories(t *testing.T) {
	f := New()
	must(t, f.MkdirAll("a", 0o755), f.MkdirAll("b", 0o755), f.SyncDir("/"))
	file := create(t, f, "a/x")
	write(t, file, 0, "x")
	must(t, file.Sync(), f.Rename("a/x", "b/x"), f.SyncDir("b"))
	wantOutcomes(t, f, func(f *FS) string { return content(t, f, "a/x") + content(t, f, "b/x") }, "-x")
}

func TestDirectoryRename(t *testing.T) {
	f := New()
	must(t, f.MkdirAll("a/b", 0o755))
	file := create(t, f, "a/b/x")
	write(t, file, 0, "x")
	must(t, file.Sync(), f.SyncDir("a/b"), f.SyncDir("a"), f.SyncDir("/"), f.Rename("a/b", "c"))
	get := func(f *FS) string { return content(t, f, "a/b/x") + content(t, f, "c/x") }
	wantOutcomes(t, f, get, "x-", "-x")
	write(t, file, 0, "y") // an open file moves along
	if got := get(f); got != "-y" {
		t.Fatalf("got %q", got)
	}
}

func TestWritesAreTornAtSectors(t *testing.T) {
	f := New()
	a := create(t, f, "a")
	must(t, f.SyncDir("/"))
	old := bytes.Repeat([]byte{'o'}, 4*sectorSize)
	write(t, a, 0, string(old))
	must(t, a.Sync())
	write(t, a, 0, string(bytes.Repeat([]byte{'n'}, 4*sectorSize)))
	found := outcomes(f, func(f *FS) string {
		s := content(t, f, "a")
		var pattern []byte
		for i := 0; i < len(s); i += sectorSize {
			if s[i:i+sectorSize] != string(bytes.Repeat([]byte{s[i]}, sectorSize)) {
				t.Fatal("a sector is torn")
			}
			pattern = append(pattern, s[i])
		}
		return string(pattern)
	})
	for _, want := range []string{"oooo", "nnnn", "nnoo", "oonn", "onon"} {
		if !slices.Contains(found, want) {
			t.Errorf("%q is not among %q", want, found)
		}
	}
}

func TestTruncateIsNotDurable(t *testing.T) {
	f := New()
	a := create(t, f, "a")
	write(t, a, 0, "0123456789")
	must(t, a.Sync(), f.SyncDir("/"), a.Truncate(3))
	get := func(f *FS) string { return content(t, f, "a") }
	wantOutcomes(t, f, get, "0123456789", "012")
	must(t, a.Sync())
	wantOutcomes(t, f, get, "012")
	must(t, a.Truncate(5))
	if got := get(f); got != "012\x00\x00" {
		t.Fatalf("got %q", got)
	}
}

func TestFailedSyncLosesContent(t *testing.T) {
	f := New()
	a := create(t, f, "a")
	write(t, a, 0, "one")
	must(t, a.Sync(), f.SyncDir("/"))
	write(t, a, 0, "two")
	f.SetHook(func(op Op, name string) error {
		if op == OpSync && name == "a" {
			return syscall.EIO
		}
		return nil
	})
	if err := a.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	f.SetHook(nil)
	must(t, a.Sync())
	if got := content(t, f, "a"); got != "two" {
		t.Fatalf("in memory: %q", got)
	}
	wantOutcomes(t, f, func(f *FS) string { return content(t, f, "a") }, "one")
}

func TestPartialWrite(t *testing.T) {
	f := New()
	a := create(t, f, "a")
	f.SetHook(func(op Op, _ string) error {
		if op == OpWrite {
			return &PartialWrite{N: 4, Err: syscall.ENOSPC}
		}
		return nil
	})
	n, err := a.WriteVec([][]byte{[]byte("abc"), []byte("def")}, 0)
	if n != 4 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%d, %v", n, err)
	}
	if got := content(t, f, "a"); got != "abcd" {
		t.Fatalf("got %q", got)
	}
}

func TestSyncFS(t *testing.T) {
	f := New()
	must(t, f.MkdirAll("d/e", 0o755))
	a := create(t, f, "d/e/a")
	write(t, a, 0, "x")
	s, err := f.OpenSyncer("d")
	must(t, err, s.SyncFS(), s.Close())
	wantOutcomes(t, f, func(f *FS) string { return content(t, f, "d/e/a") }, "x")
}

// TestCrashAtEveryOperation loses power at each operation of the usual way to replace a file: it is old or new, never else.
func TestCrashAtEveryOperation(t *testing.T) {
	for n := 0; ; n++ {
		f := New()
		a := create(t, f, "a")
		write(t, a, 0, "old")
		must(t, a.Sync(), f.SyncDir("/"))
		before := f.Ops()
		f.CrashAt(before + n)
		err := replace(f, "a", "new")
		if crashed := f.Crashed(); crashed != errors.Is(err, ErrCrashed) || !crashed && err != nil {
			t.Fatalf("op %d: crashed %v, %v", n, crashed, err)
		}
		for seed := range uint64(seeds) {
			got := content(t, f.Recover(seed), "a")
			if got != "new" && (err == nil || got != "old") {
				t.Fatalf("op %d, seed %d: %q (replace: %v)", n, seed, got, err)
			}
		}
		if !f.Crashed() {
			if n != f.Ops()-before {
				t.Fatalf("%d crashes, %d operations", n, f.Ops()-before)
			}
			return
		}
		if _, err := f.Stat("a"); !errors.Is(err, ErrCrashed) {
			t.Fatalf("after the crash: %v", err)
		}
	}
}

func replace(f *FS, name, s string) error {
	file, err := f.OpenFile(name+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte(s), 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := f.Rename(name+".tmp", name); err != nil {
		return err
	}
	return f.SyncDir("/")
}

func TestRecoverIsDeterministic(t *testing.T) {
	f := New()
	for i := range 10 {
		write(t, create(t, f, fmt.Sprint(i)), 0, string(bytes.Repeat([]byte{'x'}, 3000)))
	}
	dump := func(f *FS) (s string) {
		for i := range 10 {
			s += content(t, f, fmt.Sprint(i)) + ","
		}
		return s
	}
	for seed := range uint64(20) {
		if dump(f.Recover(seed)) != dump(f.Recover(seed)) {
			t.Fatalf("seed %d: two states", seed)
		}
	}
}

// TestLikeTheOperatingSystem holds the errors of misuse against those of vfs.OS.
func TestLikeTheOperatingSystem(t *testing.T) {
	root := t.TempDir()
	mem := New()
	must(t, mem.MkdirAll(root, 0o755))
	for _, f := range []vfs.FS{vfs.OS, mem} {
		must(t, f.MkdirAll(root+"/d/e", 0o755), f.MkdirAll(root+"/d", 0o755))
		file, err := f.OpenFile(root+"/d/a", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		must(t, err)
		_, excl := f.OpenFile(root+"/d/a", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		_, none := f.OpenFile(root+"/d/b", os.O_RDWR, 0)
		_, eof := file.ReadAt(make([]byte, 1), 0)
		_, stat := f.Stat(root + "/x/y")
		for _, tc := range []struct{ got, want error }{
			{excl, fs.ErrExist},
			{none, fs.ErrNotExist},
			{stat, fs.ErrNotExist},
			{eof, io.EOF},
			{f.Rename(root+"/d/none", root+"/d/b"), fs.ErrNotExist},
			{f.Remove(root + "/d/none"), fs.ErrNotExist},
			{f.Remove(root + "/d"), syscall.ENOTEMPTY},
			{f.Rename(root+"/d", root+"/d/e/f"), syscall.EINVAL},
			{f.MkdirAll(root+"/d/a/b", 0o755), syscall.ENOTDIR},
			{f.RemoveAll(root + "/d/none"), nil},
			{file.Close(), nil},
			{file.Close(), fs.ErrClosed},
			{file.Sync(), fs.ErrClosed},
		} {
			if !errors.Is(tc.got, tc.want) {
				t.Errorf("%T: got %v, want %v", f, tc.got, tc.want)
			}
		}
		list, err := f.ReadDir(root + "/d")
		must(t, err, f.RemoveAll(root+"/d"))
		if len(list) != 2 || list[0].Name() != "a" || list[0].IsDir() || !list[1].IsDir() {
			t.Errorf("%T: %v", f, list)
		}
		if _, err := f.Stat(root + "/d"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%T: after RemoveAll: %v", f, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	f := New()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint(i)
			for range 50 {
				if err := replace(f, name, name); err != nil {
					t.Error(err)
				}
				f.Recover(uint64(i))
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if got := content(t, f.Recover(0), fmt.Sprint(i)); got != fmt.Sprint(i) {
			t.Fatalf("%d holds %q", i, got)
		}
	}
}
