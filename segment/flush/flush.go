// Package flush makes appended bytes durable for all logs of one file system at once: whoever has appended waits for the
// next cycle, and a cycle makes everything durable that was appended before it began.
package flush

import (
	"context"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// Mode says when an append counts as done.
type Mode uint8

// The durability modes of a broker.
const (
	Fsync    Mode = iota // after the flush cycle that covers it
	Interval             // at once; all dirty files are flushed every Options.Interval
	OS                   // at once; the kernel writes back when it likes
)

// Options of a Flusher. The zero value is Fsync on the operating system's files.
type Options struct {
	FS       vfs.FS // nil: the operating system
	Dir      string // a directory on the file system served, for syncfs
	Mode     Mode
	Interval time.Duration // of mode Interval; 0: 1 s
	Threads  int           // files synced side by side in a cycle; 0: 16
	SyncFSAt int           // dirty files from which a cycle is one syncfs; 0: chosen by measurement
	// OnFailure is told the first sync error, once. The files involved are lost to writing (the kernel may have dropped
	// their dirty pages): a broker ends its process here.
	OnFailure func(error)
	// Observe is told how long each cycle took and how many files it covered. nil: nobody.
	Observe func(d time.Duration, files int)
}

// Flusher is the one flusher of a broker for one file system. Its goroutine runs from New to Close.
type Flusher struct{}

// New starts a flusher.
func New(o Options) *Flusher { panic("unimplemented") }

// Sync returns once everything written to f before the call is durable, in modes Interval and OS at once. Calls that wait
// at the same time share a cycle. The error of the cycle's sync is returned to everybody it covered, and again to every
// later call for the same file.
func (fl *Flusher) Sync(f vfs.File) error { panic("unimplemented") }

// SyncNow is Sync whatever the mode: it returns once f is durable.
func (fl *Flusher) SyncNow(f vfs.File) error { panic("unimplemented") }

// Forget drops f, which its owner is about to close; it waits for a cycle that is using f.
func (fl *Flusher) Forget(f vfs.File) { panic("unimplemented") }

// Close flushes what is dirty and ends the goroutine.
func (fl *Flusher) Close(ctx context.Context) error { panic("unimplemented") }
