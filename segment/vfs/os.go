package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// OS is the operating system's file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return &osFile{File: f, raw: raw}, nil
}

func (osFS) Rename(oldname, newname string) error          { return os.Rename(oldname, newname) }
func (osFS) Remove(name string) error                      { return os.Remove(name) }
func (osFS) RemoveAll(name string) error                   { return os.RemoveAll(name) }
func (osFS) MkdirAll(dir string, perm fs.FileMode) error   { return os.MkdirAll(dir, perm) }
func (osFS) ReadDir(dir string) ([]fs.DirEntry, error)     { return os.ReadDir(dir) }
func (osFS) Stat(name string) (fs.FileInfo, error)         { return os.Stat(name) }
func (osFS) Free(dir string) (free, total uint64, e error) { return freeSpace(dir) }

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// osSyncer is a directory kept open.
type osSyncer struct{ *os.File }

func (s osSyncer) SyncFS() error { return syncFS(s.File) }

func (osFS) OpenSyncer(dir string) (Syncer, error) {
	if !haveSyncFS {
		return nil, fmt.Errorf("syncfs %s: %w", dir, errors.ErrUnsupported)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return osSyncer{d}, nil
}

// osFile is a file of the operating system. The system calls that package os does not offer go through raw, which keeps the
// descriptor from being closed, and given to another file, while a call is using it.
type osFile struct {
	*os.File
	raw syscall.RawConn
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Sync() error {
	_, err := f.call(callSync, nil, 0)
	if err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

func (f *osFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	n, err := f.call(callWrite, bufs, off)
	if err != nil {
		return n, &fs.PathError{Op: "pwritev", Path: f.Name(), Err: err}
	}
	return n, nil
}

type callKind uint8

const (
	callSync callKind = iota
	callWrite
)

// rawCall carries one call through syscall.RawConn.Control. They are pooled with their function bound once, since a closure
// for each call would be an allocation for each call.
type rawCall struct {
	run  func(fd uintptr)
	kind callKind
	bufs [][]byte
	off  int64
	n    int64
	err  error
}

var rawCalls = sync.Pool{New: func() any {
	c := &rawCall{}
	c.run = c.do
	return c
}}

func (c *rawCall) do(fd uintptr) {
	switch c.kind {
	case callSync:
		if c.err = fdatasync(int(fd)); c.err != nil {
			dropCache(int(fd)) // what is read from now on, by the next process too, is what the disk has
		}
	case callWrite:
		c.n, c.err = writeVec(sysVec{fd: int(fd)}, c.bufs, c.off)
	}
}

func (f *osFile) call(kind callKind, bufs [][]byte, off int64) (int64, error) {
	c := rawCalls.Get().(*rawCall)
	c.kind, c.bufs, c.off, c.n, c.err = kind, bufs, off, 0, nil
	var err error
	if f.raw.Control(c.run) != nil {
		err = fs.ErrClosed // the only thing Control refuses; its own error is not os.ErrClosed
	} else {
		err = c.err
	}
	n := c.n
	c.bufs = nil
	rawCalls.Put(c)
	return n, err
}
