package segment

import (
	"io"
	"log/slog"
	"time"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// Options of a Log. The zero value is the default.
type Options struct {
	FS            vfs.FS           // nil: the operating system
	Flusher       *flush.Flusher   // nil: every append syncs its own files
	SegmentBytes  int64            // roll at this size; 0: 128 MiB. A batch is never split, so one may exceed it
	SegmentAge    time.Duration    // roll when the segment's first append is this old; 0: 7 days
	IndexInterval int              // bytes of log between index entries; 0: 4096
	Now           func() time.Time // nil: time.Now
	Logger        *slog.Logger     // nil: discards
}

// Log is one partition's log. Append, TruncateAfter, WriteCheckpoint, Reconfigure and Close are for one goroutine at a time
// (they lock each other out); everything else may be called concurrently with them and with each other.
type Log struct{}

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
func Open(dir string, o Options) (*Log, error) { panic("unimplemented") }

// Recovery says what Open found.
func (l *Log) Recovery() Recovery { panic("unimplemented") }

// Append stores entries that follow the log's last one without a gap. Record batches get their base offset and leader epoch
// stamped into Data (before the bytes that the CRC covers); on an entry whose batch carries a stamp already (a follower:
// any base offset other than the log's end is refused when check is set) the stamps must come out equal. One write a segment file
// and one flush for all of them. It returns when the entries are durable as the flusher's mode wants it. Data is not kept.
//
// On an error nothing of entries is in the log: the partial write is cut off again. If that fails too, or a sync failed,
// the log has failed: ErrFailed from then on.
func (l *Log) Append(entries []Entry, check bool) error { panic("unimplemented") }

// TruncateAfter removes every entry with an index above last.
func (l *Log) TruncateAfter(last Index) error { panic("unimplemented") }

// FirstIndex and LastIndex are 0 when the log has no entries.
func (l *Log) FirstIndex() Index { panic("unimplemented") }

// LastIndex is the index of the newest entry.
func (l *Log) LastIndex() Index { panic("unimplemented") }

// StartOffset is the log start offset, EndOffset the offset that the next record gets.
func (l *Log) StartOffset() Offset { panic("unimplemented") }

// EndOffset is the offset that the next record gets.
func (l *Log) EndOffset() Offset { panic("unimplemented") }

// Size is the length in bytes of all segment files.
func (l *Log) Size() int64 { panic("unimplemented") }

// ReadEntry returns the entry at i in memory of its own. With headerOnly, the Data of a record batch is its 61-byte header
// only. ErrNotFound outside first..last.
func (l *Log) ReadEntry(i Index, headerOnly bool) (Entry, error) { panic("unimplemented") }

// Term is the term of the entry at i.
func (l *Log) Term(i Index) (Term, error) { panic("unimplemented") }

// Chunk is a run of whole record batches in one segment file. It stays readable until Close, whatever happens to the log.
type Chunk struct {
	Base Offset // base offset of the first batch: at or below the offset asked for
	Len  int    // bytes
}

// WriteTo writes the chunk's bytes in large pieces from a pooled buffer.
func (c *Chunk) WriteTo(w io.Writer) (int64, error) { panic("unimplemented") }

// ReadAt reads the chunk's bytes from off within it.
func (c *Chunk) ReadAt(p []byte, off int64) (int, error) { panic("unimplemented") }

// Close lets go of the file.
func (c *Chunk) Close() { panic("unimplemented") }

// Read returns the batches from the one that holds offset from on, up to maxBytes but at least one batch, none of them with a base offset at or above
// limit (the high watermark or the last stable offset, always a batch boundary). The chunk is empty where from == limit.
// ErrOffsetOutOfRange when from is below the log start or above limit.
func (l *Log) Read(from, limit Offset, maxBytes int) (Chunk, error) { panic("unimplemented") }

// BytesBetween is about how many bytes of batches lie from offset from up to limit (within an index interval on each side).
func (l *Log) BytesBetween(from, limit Offset) int64 { panic("unimplemented") }

// OffsetForTimestamp finds the first record below limit whose timestamp is at or above ts (ms since the epoch).
// found is false when there is none.
func (l *Log) OffsetForTimestamp(ts int64, limit Offset) (t TimestampOffset, found bool, err error) {
	panic("unimplemented")
}

// MaxTimestamp finds the record below limit with the largest timestamp, the first of equal ones.
func (l *Log) MaxTimestamp(limit Offset) (t TimestampOffset, found bool, err error) {
	panic("unimplemented")
}

// Epochs lists the leader epochs that have records, oldest first.
func (l *Log) Epochs() []EpochStart { panic("unimplemented") }

// WriteCheckpoint makes the log durable up to c.End at least, then replaces the checkpoint file atomically and durably.
func (l *Log) WriteCheckpoint(c Checkpoint) error { panic("unimplemented") }

// Checkpoint is the newest checkpoint; ok is false when none was ever written.
func (l *Log) Checkpoint() (c Checkpoint, ok bool) { panic("unimplemented") }

// FileRange is a file of the log, relative to its directory, and how many of its leading bytes count.
type FileRange struct {
	Name string
	Len  int64
}

// Manifest lists the files, clipped, that make up the log up to and including the entry c.Index: a copy of them opens as
// that log. The files stay as they are until release is called (no segment is removed; truncation above c.Index and
// appends do not hurt).
func (l *Log) Manifest(c Checkpoint) (files []FileRange, release func(), err error) {
	panic("unimplemented")
}

// Settings are the options that a topic's configuration changes while the log is open.
type Settings struct {
	SegmentBytes int64
	SegmentAge   time.Duration
}

// Reconfigure takes effect with the next append.
func (l *Log) Reconfigure(s Settings) { panic("unimplemented") }

// Close syncs everything, writes the clean-shutdown marker and closes the files. Chunks stay readable.
func (l *Log) Close() error { panic("unimplemented") }
