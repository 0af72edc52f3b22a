// Package vfs is the seam between the log and the file system: everything that segment and replication do to files goes
// through FS, so that tests can lose power at any operation and inject I/O errors.
package vfs

import (
	"io"
	"io/fs"
)

// FS is the part of a file system that a log needs. Names are slash-separated paths. Errors are those of package os
// (errors.Is with fs.ErrNotExist and fs.ErrExist holds).
type FS interface {
	// OpenFile opens with the os.O_* flags.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Rename replaces newname atomically. It is durable only after SyncDir of the directory.
	Rename(oldname, newname string) error
	Remove(name string) error
	RemoveAll(name string) error
	MkdirAll(dir string, perm fs.FileMode) error
	// ReadDir returns the entries sorted by name.
	ReadDir(dir string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the directory's entries (creations, renames, removals) durable.
	SyncDir(dir string) error
	// OpenSyncer opens dir for calls of syncfs(2), for as long as they are made: the kernel reports a failed write-back to the
	// descriptors that were open when it happened, so one opened for each call would miss those of the background.
	// errors.ErrUnsupported where the system has no such call.
	OpenSyncer(dir string) (Syncer, error)
	// Free returns the bytes that are free to this process, and the size, of the file system that holds dir.
	Free(dir string) (free, total uint64, err error)
}

// Syncer makes everything durable that was written so far to one file system, by anybody.
type Syncer interface {
	SyncFS() error
	io.Closer
}

// File is an open file. ReadAt, WriteAt and WriteVec may be called concurrently for ranges that do not overlap.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WriteVec writes the slices one after the other from offset off on, in as few system calls as it can (pwritev).
	// It does not modify or keep bufs. It returns the number of bytes written and, if that is short, why.
	WriteVec(bufs [][]byte, off int64) (int64, error)
	Truncate(size int64) error
	// Sync makes the file's data and size durable (fdatasync).
	Sync() error
	Size() (int64, error)
	Name() string
}
