// Package crashfs is a file system in memory for tests: power can be lost at any operation, and any operation can be made
// to fail.
//
// It is stricter than the usual file systems, as POSIX allows: written data is durable only after Sync of its file (or
// SyncFS), a created, renamed or removed name only after SyncDir of its directory, a directory's own name included. What was
// not made durable may be found after the power loss or not, each 512-byte sector and each name by itself; a rename is
// atomic. A Sync that fails loses what it should have written for good: a later one that succeeds does not bring it back.
package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/quirelog/quire/segment/vfs"
)

// Op is an operation as the hook sees it.
type Op string

// The operations. Those down to OpSyncFS are mutating: they are counted, and power is lost at one of them.
const (
	OpCreate   Op = "create"   // OpenFile that makes a file
	OpMkdir    Op = "mkdir"    // each directory that MkdirAll makes
	OpWrite    Op = "write"    // WriteAt and WriteVec
	OpTruncate Op = "truncate" // also OpenFile with O_TRUNC
	OpRename   Op = "rename"   // of the old name
	OpRemove   Op = "remove"   // each file and directory that RemoveAll removes
	OpSync     Op = "sync"
	OpSyncDir  Op = "syncdir"
	OpSyncFS   Op = "syncfs"
	OpOpen     Op = "open" // OpenFile of a file that exists
	OpRead     Op = "read"
	OpReadDir  Op = "readdir"
	OpStat     Op = "stat"
)

func (o Op) mutating() bool {
	switch o {
	case OpOpen, OpRead, OpReadDir, OpStat:
		return false
	}
	return true
}

// ErrCrashed is the answer to everything from the power loss on.
var ErrCrashed = errors.New("power is lost")

// PartialWrite is what a hook returns to let a write put down N bytes before it fails with Err.
type PartialWrite struct {
	N   int64
	Err error
}

func (p *PartialWrite) Error() string { return fmt.Sprintf("after %d bytes: %v", p.N, p.Err) }

func (p *PartialWrite) Unwrap() error { return p.Err }

// FS is a file system in memory. It may be used concurrently. Names are taken relative to its root.
type FS struct {
	mu      sync.Mutex
	root    *node
	pending []*nameOp          // changes of names that are not durable, oldest first
	dirty   map[*node]struct{} // files with content that is not durable
	ops     int                // mutating operations so far
	crashAt int                // the operation at which power is lost; -1: never
	crashed bool
	hook    func(op Op, name string) error
	free    uint64
	total   uint64
}

var _ vfs.FS = (*FS)(nil)

const defaultSpace = 1 << 40 // bytes that Free answers unless told

// New makes an empty file system with a durable root directory.
func New() *FS {
	return &FS{root: newDir(), dirty: make(map[*node]struct{}), crashAt: -1, free: defaultSpace, total: defaultSpace}
}

// CrashAt loses power at mutating operation n, 0 for the first one from New on. That operation and all later ones, reading
// too, fail with ErrCrashed; it may have taken effect in part.
func (f *FS) CrashAt(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crashAt = n
}

// Crashed says whether power was lost.
func (f *FS) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Ops is the number of mutating operations so far.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// SetHook has every operation ask hook first; an error makes the operation fail with it, without effect but what the package
// comment and PartialWrite say. The hook may block and may call the file system. nil: none.
func (f *FS) SetHook(hook func(op Op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

// SetFree sets the bytes that Free answers.
func (f *FS) SetFree(free, total uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free, f.total = free, total
}

// Free is what SetFree said.
func (f *FS) Free(dir string) (free, total uint64, err error) {
	if _, err := f.Stat(dir); err != nil {
		return 0, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.free, f.total, nil
}

// begin starts an operation: it asks the hook, counts, and returns with mu held. crash says that power is lost right now:
// the operation takes effect in memory, from where it may or may not have reached the disk, and fails with ErrCrashed.
// injected is the hook's error.
func (f *FS) begin(op Op, name string) (crash bool, injected error) {
	f.mu.Lock()
	if hook := f.hook; hook != nil && !f.crashed {
		f.mu.Unlock()
		injected = hook(op, name)
		f.mu.Lock()
	}
	if f.crashed {
		return false, ErrCrashed
	}
	if !op.mutating() {
		return false, injected
	}
	f.ops++
	if f.ops-1 == f.crashAt {
		f.crashed = true
		return true, nil
	}
	return false, injected
}

func clean(name string) string { return path.Clean("/" + name) }

func pathError(op Op, name string, err error) error {
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}

// lookup finds a name; the caller holds mu.
func (f *FS) lookup(name string) (*node, error) {
	n := f.root
	for part := range strings.SplitSeq(strings.Trim(clean(name), "/"), "/") {
		if part == "" {
			return n, nil
		}
		if n.entries == nil {
			return nil, errNotDir
		}
		if n = n.entries[part]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// parent finds the directory of a name and the name within it; the caller holds mu.
func (f *FS) parent(name string) (*node, string, error) {
	dir, base := path.Split(clean(name))
	d, err := f.lookup(dir)
	if err == nil && d.entries == nil {
		err = errNotDir
	}
	return d, base, err
}
