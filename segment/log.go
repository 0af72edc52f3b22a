package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// Options of a Log. The zero value is the default.
type Options struct {
	FS            vfs.FS           // nil: the operating system
	Flusher       *flush.Flusher   // nil: every append syncs its own files
	Files         *OpenFiles       // of all logs of the broker; nil: the file that is appended to stays open
	SegmentBytes  int64            // roll at this size; 0: 128 MiB. A batch is never split, so one may exceed it
	SegmentAge    time.Duration    // roll when the segment's first append is this old; 0: 7 days
	IndexInterval int              // bytes of log between index entries; 0: 4096
	Now           func() time.Time // nil: time.Now
	Logger        *slog.Logger     // nil: discards
}

const (
	defaultSegmentBytes  = 128 << 20
	defaultSegmentAge    = 7 * 24 * time.Hour
	defaultIndexInterval = 4096
	maxSegmentBytes      = 1<<31 - 1 // positions in an index have 32 bits, and a segment may exceed this by one batch
)

// Log is one partition's log. Append, TruncateAfter, WriteCheckpoint, Reconfigure and Close are for one goroutine at a time
// (they lock each other out); everything else may be called concurrently with them and with each other.
//
// What always holds:
//   - segs is never empty; segs[i].end == segs[i+1].base; all but the last are sealed, and none of them is empty;
//   - what readers see (everything under mu) was written and synced as the durability mode wants it;
//   - every side record up to an entry is durable before the entry is written; truncation cuts segment files first;
//   - nothing at or below mark.index is ever cut off;
//   - the clean-shutdown marker is gone, durably, before anything is written (marked is false).
//
// Lock order: ckpt, write, mu. ckpt is held for a whole checkpoint, write for a whole append, truncation or close, mu only
// while memory is looked at or changed, never during I/O.
//
// Files: from the first append on, one descriptor for the segment that is appended to, one more for a segment closed since the
// last checkpoint; none again when the log is idle and others need them (OpenFiles). Other closed segments, all indexes and
// the side file are opened for the operation that needs them, and so is everything that is read from an idle log.
type Log struct {
	dir      string
	fs       vfs.FS
	flusher  *flush.Flusher
	files    *OpenFiles
	slot     int         // place in files, counted from 1; 0: none. Owned by files
	recent   atomic.Bool // appended to since files last looked
	interval int64
	now      func() time.Time
	log      *slog.Logger

	ckpt  sync.Mutex
	write sync.Mutex // guards the fields of the writer

	// The writer's.
	failed   error // why nothing is written any more
	marked   bool  // the clean-shutdown marker may be in the directory
	sideSize int64 // position of the side file's end
	plan     plan
	// unflushed: the active segment may hold bytes that no sync has covered, as modes other than fsync have it.
	unflushed bool
	// sideOrigin is how far positions in the side file are ahead of its bytes; see sideHeader.
	sideOrigin int64

	// Changed by the writer under mu, read under either lock.
	mu         sync.RWMutex
	settings   Settings
	segs       []*segment
	side       sideList
	last       Index // newest entry
	lastTerm   Term
	start      Offset // log start offset
	end        Offset // offset of the next record
	sealedSize int64  // bytes of the sealed segments
	mark       mark   // of the newest checkpoint
	checkpoint Checkpoint
	hasCkpt    bool
	cuts       int // truncations so far
	closed     bool

	pins     atomic.Int32 // manifests whose files must stay
	recovery Recovery
}

// Recovery says what Open found.
type Recovery struct {
	Clean   bool  // the clean-shutdown marker was there: nothing was scanned
	Scanned int64 // bytes checked
	Cut     int64 // bytes of torn tail removed
	Rebuilt int   // index files made anew
	// Damage lists what is broken below the synced mark, in words. The log then opens for reading only below the damage;
	// Append and TruncateAfter return ErrDamaged, and nothing was cut.
	Damage []string
}

// Open opens the log in dir, making it if it is missing, and recovers: only what lies past the last checkpoint is scanned.
func Open(dir string, o Options) (*Log, error) {
	l := newLog(dir, o)
	if err := l.recover(); err != nil {
		for _, s := range l.segs {
			if s.file != nil {
				l.drop(s.file)
			}
		}
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	if err := l.rest(); err != nil {
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, nil
}

func newLog(dir string, o Options) *Log {
	l := &Log{
		dir: dir, fs: o.FS, flusher: o.Flusher, files: o.Files, interval: int64(o.IndexInterval), now: o.Now, log: o.Logger,
		settings: Settings{SegmentBytes: o.SegmentBytes, SegmentAge: o.SegmentAge}.withDefaults(),
	}
	if l.fs == nil {
		l.fs = vfs.OS
	}
	if l.interval <= 0 {
		l.interval = defaultIndexInterval
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l
}

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { return l.recovery }

// FirstIndex is 0 when the log has no entries, or no longer any.
func (l *Log) FirstIndex() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if first := l.segs[0].baseIndex; first <= l.last {
		return first
	}
	return 0
}

// LastIndex is the index of the newest entry, also when that was removed with all others; 0 when there never was one.
func (l *Log) LastIndex() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// StartOffset is the log start offset.
func (l *Log) StartOffset() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.start
}

// EndOffset is the offset that the next record gets.
func (l *Log) EndOffset() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.end
}

// Size is the length in bytes of all segment files.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.sealedSize + l.active().size
}

// Epochs lists the leader epochs that have records from the log start offset on, oldest first.
func (l *Log) Epochs() []EpochStart {
	l.mu.RLock()
	side, start, end := l.side, l.start, l.end
	l.mu.RUnlock()
	return side.epochs(start, end)
}

// Settings are the options that a topic's configuration changes while the log is open.
type Settings struct {
	SegmentBytes int64         // 0: 128 MiB
	SegmentAge   time.Duration // 0: 7 days
}

// Reconfigure takes effect with the next append.
func (l *Log) Reconfigure(s Settings) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settings = s.withDefaults()
}

func (s Settings) withDefaults() Settings {
	if s.SegmentBytes <= 0 {
		s.SegmentBytes = defaultSegmentBytes
	}
	s.SegmentBytes = min(s.SegmentBytes, maxSegmentBytes)
	if s.SegmentAge <= 0 {
		s.SegmentAge = defaultSegmentAge
	}
	return s
}

// active is the segment that is appended to.
func (l *Log) active() *segment { return l.segs[len(l.segs)-1] }

// writable is why nothing may be written, or nil. The caller holds l.write.
func (l *Log) writable() error {
	switch {
	case l.closed:
		return ErrClosed
	case l.failed != nil:
		return fmt.Errorf("%w: %w", ErrFailed, l.failed)
	case len(l.recovery.Damage) > 0:
		return fmt.Errorf("%w: %s", ErrDamaged, l.recovery.Damage[0])
	}
	return nil
}

// fail makes the log refuse writes from now on: the kernel may have dropped pages that it could not write, and what is on
// disk is known again only after a recovery. Whoever owns the flusher is told. The caller holds l.write.
func (l *Log) fail(err error) error {
	l.failed = err
	if l.flusher != nil {
		l.flusher.Failed(fmt.Errorf("log %s: %w", l.dir, err))
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

// failLocked is fail for a caller that does not hold l.write.
func (l *Log) failLocked(err error) error {
	l.write.Lock()
	defer l.write.Unlock()
	return l.fail(err)
}

// unmark removes the clean-shutdown marker before the first write. The caller holds l.write.
func (l *Log) unmark() error {
	if !l.marked {
		return nil
	}
	if err := l.fs.Remove(path.Join(l.dir, markerName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove clean-shutdown marker: %w", err)
	}
	if err := l.syncDir(l.dir); err != nil {
		return l.fail(fmt.Errorf("remove clean-shutdown marker: %w", err))
	}
	l.marked = false
	return nil
}

// Close syncs everything, writes the clean-shutdown marker and closes the files. Chunks stay readable.
func (l *Log) Close() error {
	l.ckpt.Lock()
	defer l.ckpt.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	if l.closed {
		return nil
	}
	var err error
	if l.writable() == nil {
		err = l.shutDown()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, s := range l.segs {
		if s.file != nil {
			l.forget(s.file)
			err = errors.Join(err, s.file.release())
			s.file = nil
		}
	}
	if l.files != nil {
		l.files.remove(l)
	}
	return err
}

// shutDown makes everything durable and says so in the marker.
func (l *Log) shutDown() error {
	if err := l.settle(l.unsettled(), l.fail); err != nil {
		return err
	}
	a := l.active()
	if a.file != nil { // a closed one is durable
		if err := l.syncNow(a.file); err != nil {
			return l.fail(fmt.Errorf("segment %d: sync: %w", a.base, err))
		}
	}
	if err := l.flushIndex(a, a.entries); err != nil {
		return fmt.Errorf("segment %d: index: %w", a.base, err)
	}
	if err := l.syncPath(a.indexPath(l.dir)); err != nil {
		return fmt.Errorf("segment %d: sync index: %w", a.base, err)
	}
	if l.marked {
		return nil
	}
	m := mark{
		index: l.last, term: l.lastTerm, base: a.base, pos: a.size, end: a.end,
		side: l.sideSize, entries: len(a.entries), newest: a.newest,
	}
	if err := l.replaceFile(markerName, m.appendMarker(nil)); err != nil {
		return fmt.Errorf("write clean-shutdown marker: %w", err)
	}
	return nil
}
