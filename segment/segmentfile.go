package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

const (
	logSuffix   = ".log"
	indexSuffix = ".qidx" // not .index, which Kafka's tools would take for their own
)

func logName(base Offset) string   { return fmt.Sprintf("%020d%s", base, logSuffix) }
func indexName(base Offset) string { return fmt.Sprintf("%020d%s", base, indexSuffix) }

// parseName splits a file name into base offset and suffix.
func parseName(name string) (base Offset, suffix string, ok bool) {
	if len(name) < 20 {
		return 0, "", false
	}
	n, err := strconv.ParseInt(name[:20], 10, 64)
	if err != nil || strings.HasPrefix(name, "+") || n < 0 {
		return 0, "", false
	}
	return Offset(n), name[20:], true
}

// sharedFile is an open segment file, closed when the last user lets go: a chunk stays readable after its segment has been
// removed or the log closed.
type sharedFile struct {
	vfs.File
	refs atomic.Int32
}

func share(f vfs.File) *sharedFile {
	s := &sharedFile{File: f}
	s.refs.Store(1)
	return s
}

// acquire is for somebody who knows that another user holds the file.
func (f *sharedFile) acquire() *sharedFile {
	f.refs.Add(1)
	return f
}

func (f *sharedFile) release() error {
	if f.refs.Add(-1) > 0 {
		return nil
	}
	return f.Close()
}

// segment is one segment file. The writer (see Log) alone changes it, holding Log.mu; readers copy it under Log.mu.
type segment struct {
	base      Offset
	baseIndex Index
	created   time.Time
	first     time.Time // of the first append since Open; zero: before it, or none
	appended  time.Time // of the last append, by this broker's clock; created: there was none

	size    int64  // bytes of batches; the file holds nothing else unless an append is under way
	end     Offset // offset after the last record
	sealed  bool   // nothing is appended any more; the index is on disk only
	newest  newest
	entries []indexEntry // of a segment that is not sealed; readers share the array, so it is only ever appended to

	file    *sharedFile // open while the segment is not sealed or has bytes that may not be durable
	flushed int         // entries that the index file holds already
	synced  bool        // a sealed segment's files are durable
}

// began is when the segment's age counts from.
func (s *segment) began() time.Time {
	if s.first.IsZero() {
		return s.created
	}
	return s.first
}

func (s *segment) logPath(dir string) string   { return path.Join(dir, logName(s.base)) }
func (s *segment) indexPath(dir string) string { return path.Join(dir, indexName(s.base)) }

// snapshot is a segment as it was at one moment, with its file held.
type snapshot struct {
	segment
	side  sideList
	index index
}

// hold copies s and keeps its file open. The caller holds l.mu; finish with open, without the lock.
func (l *Log) hold(s *segment) snapshot {
	v := snapshot{segment: *s, side: l.side, index: index{mem: s.entries}}
	if v.file != nil {
		v.file.acquire()
	}
	return v
}

// open opens what a closed segment needs: its file and its index.
func (l *Log) open(v *snapshot) error {
	if err := l.openFile(v); err != nil || !v.sealed {
		return err
	}
	x, err := l.openIndex(&v.segment)
	if err != nil {
		return l.reindex(v)
	}
	v.index = x
	return nil
}

func (l *Log) openFile(v *snapshot) error {
	if v.file != nil {
		return nil
	}
	f, err := l.fs.OpenFile(v.logPath(l.dir), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) && l.removed(v.base) {
		err = errRemoved
	}
	if err != nil {
		return fmt.Errorf("segment %d: %w", v.base, err)
	}
	v.file = share(f)
	return nil
}

// reindex replaces a closed segment's index, found damaged, by one made from the batches.
func (l *Log) reindex(v *snapshot) error {
	if !l.removed(v.base) {
		l.log.Warn("segment index is missing or damaged, making it anew", "dir", l.dir, "base", v.base)
	}
	v.index.close()
	v.index = index{}
	b := l.newIndexBuilder(v.base, v.baseIndex, v.side)
	if err := b.scan(v.file, v.size); err != nil {
		return err
	}
	b.seal()
	v.index = index{mem: b.entries}
	if l.removed(v.base) {
		return nil
	}
	if err := l.replaceIndex(&v.segment, b.entries); err != nil {
		l.log.Warn("cannot write segment index", "dir", l.dir, "base", v.base, "err", err)
	}
	return nil
}

func (v *snapshot) close() {
	v.index.close()
	if v.file != nil {
		_ = v.file.release() // a reader has nothing to lose
	}
}
