package crashfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
)

// file is an open file; it goes on working when its name is removed or renamed.
type file struct {
	fs     *FS
	node   *node
	name   string
	flag   int
	closed atomic.Bool
}

const accessMode = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

// begin is FS.begin for an operation on the file; it returns with the file system's mu held.
func (f *file) begin(op Op, refused int) (crash bool, err error) {
	crash, err = f.fs.begin(op, f.name)
	switch {
	case errors.Is(err, ErrCrashed):
	case f.closed.Load():
		err = fs.ErrClosed
	case f.flag&accessMode == refused:
		err = fs.ErrPermission
	}
	return crash, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	_, err := f.begin(OpRead, os.O_WRONLY)
	defer f.fs.mu.Unlock()
	if err == nil && off < 0 {
		err = fs.ErrInvalid
	}
	if err != nil {
		return 0, pathError(OpRead, f.name, err)
	}
	n := 0
	if off < int64(len(f.node.data)) {
		n = copy(p, f.node.data[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.WriteVec([][]byte{p}, off)
	return int(n), err
}

// WriteVec is one operation. A PartialWrite of the hook's is obeyed.
func (f *file) WriteVec(bufs [][]byte, off int64) (int64, error) {
	crash, err := f.begin(OpWrite, os.O_RDONLY)
	defer f.fs.mu.Unlock()
	if err == nil && off < 0 {
		err = fs.ErrInvalid
	}
	limit := int64(1) << 62
	if partial := (*PartialWrite)(nil); errors.As(err, &partial) {
		limit = partial.N
	} else if err != nil {
		return 0, pathError(OpWrite, f.name, err)
	}
	var written int64
	for _, b := range bufs {
		b = b[:min(int64(len(b)), limit-written)]
		f.node.write(b, off+written)
		written += int64(len(b))
	}
	f.fs.dirty[f.node] = struct{}{}
	if crash {
		return 0, pathError(OpWrite, f.name, ErrCrashed)
	}
	if err != nil {
		return written, pathError(OpWrite, f.name, err)
	}
	return written, nil
}

func (f *file) Truncate(size int64) error {
	crash, err := f.begin(OpTruncate, os.O_RDONLY)
	defer f.fs.mu.Unlock()
	if err == nil && size < 0 {
		err = fs.ErrInvalid
	}
	if err != nil {
		return pathError(OpTruncate, f.name, err)
	}
	f.node.truncate(int(size))
	f.fs.dirty[f.node] = struct{}{}
	if crash {
		return pathError(OpTruncate, f.name, ErrCrashed)
	}
	return nil
}

// Sync makes the content durable. If the hook fails it, what was not durable is lost on disk, though it can still be read.
func (f *file) Sync() error {
	crash, err := f.begin(OpSync, -1)
	defer f.fs.mu.Unlock()
	if err == nil && crash {
		err = ErrCrashed
	}
	switch {
	case errors.Is(err, ErrCrashed), errors.Is(err, fs.ErrClosed):
		return pathError(OpSync, f.name, err)
	case err != nil:
		f.node.settle()
		return pathError(OpSync, f.name, err)
	}
	f.node.sync()
	delete(f.fs.dirty, f.node)
	return nil
}

func (f *file) Size() (int64, error) {
	_, err := f.begin(OpStat, -1)
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, pathError(OpStat, f.name, err)
	}
	return int64(len(f.node.data)), nil
}

func (f *file) Name() string { return f.name }

// Close works after a power loss too, so that tests can clean up.
func (f *file) Close() error {
	if f.closed.Swap(true) {
		return pathError("close", f.name, fs.ErrClosed)
	}
	return nil
}
