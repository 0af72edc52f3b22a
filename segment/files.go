package segment

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/quirelog/quire/segment/vfs"
)

const tempSuffix = ".tmp"

// syncAppend makes f durable as the flusher's mode wants it.
func (l *Log) syncAppend(f vfs.File) error {
	if l.flusher == nil {
		return f.Sync()
	}
	return l.flusher.Sync(f)
}

// syncNow makes f durable in every mode.
func (l *Log) syncNow(f vfs.File) error {
	if l.flusher == nil {
		return f.Sync()
	}
	return l.flusher.SyncNow(f)
}

// syncDir makes a directory's entries durable.
func (l *Log) syncDir(dir string) error {
	if l.flusher == nil {
		return l.fs.SyncDir(dir)
	}
	return l.flusher.SyncDir(dir)
}

// forget takes f, which is about to be closed, from the flusher.
func (l *Log) forget(f vfs.File) {
	if l.flusher != nil {
		l.flusher.Forget(f)
	}
}

// withFile opens a file for one operation that may sync it.
func (l *Log) withFile(name string, flag int, fn func(*sharedFile) error) error {
	f, err := l.fs.OpenFile(name, flag, 0o644)
	if err != nil {
		return err
	}
	s := share(f)
	err = fn(s)
	l.forget(s)
	return errors.Join(err, s.release())
}

// replaceFile writes a file of the log's directory under a temporary name, makes it durable and swaps it in, durably.
func (l *Log) replaceFile(name string, content []byte) error {
	full := path.Join(l.dir, name)
	temp := full + tempSuffix
	if err := l.writeWhole(temp, content); err != nil {
		return err
	}
	return l.swapIn(temp, full)
}

// writeWhole writes a file, durably but for its name.
func (l *Log) writeWhole(name string, content []byte) error {
	return l.withFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, func(f *sharedFile) error {
		if _, err := f.WriteAt(content, 0); err != nil {
			return err
		}
		return l.syncNow(f)
	})
}

// swapIn renames a file of the log's directory, durably.
func (l *Log) swapIn(temp, full string) error {
	if err := l.fs.Rename(temp, full); err != nil {
		return err
	}
	return l.syncDir(l.dir)
}

// readFile reads a whole file of the log's directory of at most limit bytes.
func (l *Log) readFile(name string, limit int64) ([]byte, error) {
	f, err := l.fs.OpenFile(path.Join(l.dir, name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, limit %d", name, size, limit)
	}
	b := make([]byte, size)
	if size == 0 {
		return b, nil
	}
	_, err = f.ReadAt(b, 0)
	return b, err
}

// syncPath makes a file that somebody else wrote durable.
func (l *Log) syncPath(name string) error {
	return l.withFile(name, os.O_RDWR|os.O_CREATE, func(f *sharedFile) error { return l.syncNow(f) })
}

// drop lets go of a file that was read or synced only.
func (l *Log) drop(f *sharedFile) { _ = f.release() }
