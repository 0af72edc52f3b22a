package segment

import (
	"fmt"
	"os"
	"path"
	"sync"
)

// FileRange is a file of the log, relative to its directory, and how many of its leading bytes count.
type FileRange struct {
	Name string
	Len  int64
}

// Manifest lists the files, clipped, that make up the log up to and including the entry c.Index: a copy of them opens as
// that log. The files stay as they are until release is called (no segment is removed; truncation above c.Index and
// appends do not hurt). c must be a checkpoint that was written.
//
// The checkpoint file is not among them: the receiver copies the files into an empty directory, opens it (which checks every
// batch, and makes the last segment's index), calls WriteCheckpoint(c) and Close, and renames the directory.
func (l *Log) Manifest(c Checkpoint) (files []FileRange, release func(), err error) {
	l.ckpt.Lock() // keeps truncation away
	defer l.ckpt.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	if c.Index > l.mark.index || c.Index+1 < l.segs[0].baseIndex {
		return nil, nil, fmt.Errorf("manifest at %d: %w: first entry %d, checkpoint at %d",
			c.Index, ErrNotFound, l.segs[0].baseIndex, l.mark.index)
	}
	m, err := l.place(c.Index)
	if err != nil {
		return nil, nil, fmt.Errorf("manifest at %d: %w", c.Index, err)
	}
	files = append(files, FileRange{Name: sideName, Len: m.side - l.sideOrigin})
	for _, s := range l.segs {
		if s.base > m.base {
			break
		}
		size := s.size
		if s.base == m.base {
			size = m.pos
		}
		files = append(files, FileRange{Name: logName(s.base), Len: size})
	}
	l.pins.Add(1)
	return files, sync.OnceFunc(func() { l.pins.Add(-1) }), nil
}

// ReadFile reads from a file that a manifest names, which is held: io.ReaderAt's rules.
func (l *Log) ReadFile(name string, p []byte, off int64) (int, error) {
	f, err := l.fs.OpenFile(path.Join(l.dir, path.Base(name)), os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(p, off)
}
