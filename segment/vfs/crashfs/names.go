package crashfs

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/quirelog/quire/segment/vfs"
)

// OpenFile opens with the os.O_* flags.
func (f *FS) OpenFile(name string, flag int, _ fs.FileMode) (vfs.File, error) {
	n, err := f.openOrCreate(name, flag)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, node: n, name: name, flag: flag}, nil
}

func (f *FS) openOrCreate(name string, flag int) (*node, error) {
	f.mu.Lock()
	_, err := f.lookup(name)
	f.mu.Unlock()
	op := OpOpen
	if err != nil && flag&os.O_CREATE != 0 {
		op = OpCreate
	} else if flag&os.O_TRUNC != 0 {
		op = OpTruncate
	}
	crash, err := f.begin(op, name)
	defer f.mu.Unlock()
	if err != nil {
		return nil, pathError(op, name, err)
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	n := dir.entries[base]
	switch {
	case base == "" || n != nil && n.entries != nil:
		return nil, pathError(op, name, errIsDir)
	case n != nil && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathError(op, name, fs.ErrExist)
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError(op, name, fs.ErrNotExist)
	case n == nil:
		n = newFile()
		f.change(&nameOp{node: n, dir: dir, name: base})
	case flag&os.O_TRUNC != 0:
		n.truncate(0)
		f.dirty[n] = struct{}{}
	}
	if crash {
		return nil, pathError(op, name, ErrCrashed)
	}
	return n, nil
}

// change makes a change of names that is not durable yet; the caller holds mu.
func (f *FS) change(o *nameOp) {
	o.apply(current)
	f.pending = append(f.pending, o)
}

// Rename replaces newname atomically.
func (f *FS) Rename(oldname, newname string) error {
	crash, err := f.begin(OpRename, oldname)
	defer f.mu.Unlock()
	if err == nil {
		err = f.rename(oldname, newname)
	}
	if err == nil && crash {
		err = ErrCrashed
	}
	if err != nil {
		return &os.LinkError{Op: string(OpRename), Old: oldname, New: newname, Err: err}
	}
	return nil
}

func (f *FS) rename(oldname, newname string) error {
	from, old, err := f.parent(oldname)
	if err != nil {
		return err
	}
	dir, name, err := f.parent(newname)
	if err != nil {
		return err
	}
	n := from.entries[old]
	if n == nil {
		return fs.ErrNotExist
	}
	target := dir.entries[name]
	switch {
	case target == n:
		return nil
	case strings.HasPrefix(clean(newname)+"/", clean(oldname)+"/"):
		return syscall.EINVAL
	case target != nil && n.entries == nil && target.entries != nil:
		return errIsDir
	case target != nil && n.entries != nil && target.entries == nil:
		return errNotDir
	case target != nil && len(target.entries) > 0:
		return syscall.ENOTEMPTY
	}
	f.change(&nameOp{node: n, dir: dir, name: name, from: from, old: old})
	return nil
}

// Remove removes a file or an empty directory.
func (f *FS) Remove(name string) error {
	crash, err := f.begin(OpRemove, name)
	defer f.mu.Unlock()
	if err != nil {
		return pathError(OpRemove, name, err)
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return pathError(OpRemove, name, err)
	}
	n := dir.entries[base]
	if n == nil {
		return pathError(OpRemove, name, fs.ErrNotExist)
	}
	if len(n.entries) > 0 {
		return pathError(OpRemove, name, syscall.ENOTEMPTY)
	}
	f.change(&nameOp{node: n, dir: dir, name: base, isRemoving: true})
	if crash {
		return pathError(OpRemove, name, ErrCrashed)
	}
	return nil
}

// RemoveAll removes what is below name, one operation each, then name. It is no error if there is nothing.
func (f *FS) RemoveAll(name string) error {
	f.mu.Lock()
	n, err := f.lookup(name)
	var children []string
	if err == nil {
		children = slices.Sorted(maps.Keys(n.entries))
	}
	crashed := f.crashed
	f.mu.Unlock()
	if err != nil && !crashed {
		return nil
	}
	for _, c := range children {
		if err := f.RemoveAll(path.Join(name, c)); err != nil {
			return err
		}
	}
	return f.Remove(name)
}

// MkdirAll makes a directory and those above it that are missing, one operation each.
func (f *FS) MkdirAll(dir string, perm fs.FileMode) error {
	f.mu.Lock()
	n, err := f.lookup(dir)
	crashed := f.crashed
	f.mu.Unlock()
	if crashed {
		return pathError(OpMkdir, dir, ErrCrashed)
	}
	if err == nil {
		if n.entries == nil {
			return pathError(OpMkdir, dir, errNotDir)
		}
		return nil
	}
	if err := f.MkdirAll(path.Dir(clean(dir)), perm); err != nil {
		return err
	}
	return f.mkdir(dir)
}

func (f *FS) mkdir(name string) error {
	crash, err := f.begin(OpMkdir, name)
	defer f.mu.Unlock()
	if err != nil {
		return pathError(OpMkdir, name, err)
	}
	dir, base, err := f.parent(name)
	if err != nil {
		return pathError(OpMkdir, name, err)
	}
	if dir.entries[base] == nil { // else another goroutine was first
		f.change(&nameOp{node: newDir(), dir: dir, name: base})
	}
	if crash {
		return pathError(OpMkdir, name, ErrCrashed)
	}
	return nil
}

// ReadDir returns the entries sorted by name.
func (f *FS) ReadDir(dir string) ([]fs.DirEntry, error) {
	_, err := f.begin(OpReadDir, dir)
	defer f.mu.Unlock()
	var n *node
	if err == nil {
		n, err = f.lookup(dir)
	}
	if err == nil && n.entries == nil {
		err = errNotDir
	}
	if err != nil {
		return nil, pathError(OpReadDir, dir, err)
	}
	var list []fs.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		list = append(list, fs.FileInfoToDirEntry(n.entries[name].info(name)))
	}
	return list, nil
}

// Stat answers name, size and kind.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	_, err := f.begin(OpStat, name)
	defer f.mu.Unlock()
	var n *node
	if err == nil {
		n, err = f.lookup(name)
	}
	if err != nil {
		return nil, pathError(OpStat, name, err)
	}
	return n.info(path.Base(clean(name))), nil
}
