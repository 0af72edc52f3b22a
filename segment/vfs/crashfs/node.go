package crashfs

import (
	"io/fs"
	"syscall"
	"time"
)

const (
	errNotDir = syscall.ENOTDIR
	errIsDir  = syscall.EISDIR
)

// sectorSize is the unit that a disk writes whole or not at all.
const sectorSize = 512

// node is a file or, with entries, a directory. The file system's mu guards it.
type node struct {
	// A directory: the names as they are, and as they surely are on disk.
	entries map[string]*node
	durable map[string]*node

	// A file: data is its content, disk what is surely on disk. A sector in dirty may be found either way after a power
	// loss. One that is not, is as on disk, though data may differ where a sync has failed.
	data  []byte
	disk  []byte
	dirty map[int]struct{}
	cut   int // the smallest size since the last sync: what disk has above it is gone with that truncation
}

func newDir() *node {
	return &node{entries: make(map[string]*node), durable: make(map[string]*node)}
}

func newFile() *node { return &node{dirty: make(map[int]struct{})} }

func (n *node) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := int(off) + len(p)
	first := int(off)
	if end > len(n.data) {
		first = min(first, len(n.data)) // a hole before the write is as new as the write
		n.resize(end)
	}
	copy(n.data[off:], p)
	n.touch(first, end)
}

// touch marks the sectors of a range of bytes.
func (n *node) touch(from, to int) {
	for s := from / sectorSize; s*sectorSize < to; s++ {
		n.dirty[s] = struct{}{}
	}
}

func (n *node) truncate(size int) {
	if size > len(n.data) {
		n.touch(len(n.data), size)
	}
	n.resize(size)
	n.cut = min(n.cut, size)
}

func (n *node) resize(size int) { n.data = resized(n.data, size) }

// resized cuts b or fills it up with zeros, and never leaves old bytes behind its end.
func resized(b []byte, size int) []byte {
	if size <= len(b) {
		clear(b[size:])
		return b[:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

// sync brings disk to data, but for sectors that a failed sync has lost.
func (n *node) sync() {
	n.disk = resized(resized(n.disk, min(n.cut, len(n.disk))), len(n.data))
	for s := range n.dirty {
		copySector(n.disk, n.data, s)
	}
	n.settle()
}

// settle forgets what was dirty.
func (n *node) settle() {
	clear(n.dirty)
	n.cut = len(n.data)
}

func copySector(dst, src []byte, sector int) {
	from := sector * sectorSize
	to := min(from+sectorSize, len(dst), len(src))
	if from < to {
		copy(dst[from:to], src[from:to])
	}
}

// nameOp is one change of names: node appears as name in dir (create), disappears (remove), or moves from old in from.
type nameOp struct {
	node       *node
	dir, from  *node // nil: not involved
	name, old  string
	isRemoving bool
}

func (o *nameOp) touches(dir *node) bool { return o.dir == dir || o.from == dir }

// apply makes the change where names(d) are the names of directory d. It goes by the node, not by the name alone, so that a
// change does nothing where the one before it did not reach the disk.
func (o *nameOp) apply(names func(dir *node) map[string]*node) {
	switch {
	case o.isRemoving:
		if names(o.dir)[o.name] == o.node {
			delete(names(o.dir), o.name)
		}
	case o.from != nil:
		if names(o.from)[o.old] == o.node {
			delete(names(o.from), o.old)
			names(o.dir)[o.name] = o.node
		}
	default:
		names(o.dir)[o.name] = o.node
	}
}

func current(dir *node) map[string]*node { return dir.entries }
func onDisk(dir *node) map[string]*node  { return dir.durable }

// info is a node's fs.FileInfo. There are no times.
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

func (n *node) info(name string) info {
	return info{name: name, size: int64(len(n.data)), dir: n.entries != nil}
}
