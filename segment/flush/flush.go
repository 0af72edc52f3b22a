// Package flush makes appended bytes durable for all logs of one file system at once: whoever has appended waits for the
// next cycle, and a cycle makes everything durable that was appended before it began.
package flush

import (
	"context"
	"errors"
	"slices"
	"sync"
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

// ErrClosed is the answer to a Sync after Close.
var ErrClosed = errors.New("flusher is closed")

// Options of a Flusher. The zero value is Fsync on the operating system's files.
type Options struct {
	FS vfs.FS // nil: the operating system
	// Dir is a directory on the file system served, for syncfs. Where it is empty or cannot be opened for that, all cycles
	// sync file by file, which is as durable.
	Dir      string
	Mode     Mode
	Interval time.Duration // of mode Interval; 0: 1 s
	Threads  int           // files synced side by side in a cycle; 0: 16
	SyncFSAt int           // dirty files from which a cycle is one syncfs; 0: 4, see BenchmarkCycle
	// OnFailure is told the first sync error, once. The files involved are lost to writing (the kernel may have dropped
	// their dirty pages): a broker ends its process here. It must not call the flusher.
	OnFailure func(error)
	// Observe is told how long each cycle took and how many files it covered, one call at a time. nil: nobody.
	Observe func(d time.Duration, files int)
}

const (
	defaultInterval = time.Second
	defaultThreads  = 16
	defaultSyncFSAt = 4
)

// Flusher is the one flusher of a broker for one file system. Its goroutine runs from New to Close.
//
// What always holds: at most one cycle is under way (running), run by the goroutine or, when none was, by the caller of
// Sync itself; a file waits in next for the cycle after it; cycles are counted, and a call is answered when the first cycle
// that began after it has ended. A file that failed to sync is never synced again.
type Flusher struct {
	o      Options
	syncer vfs.Syncer // nil: no syncfs
	wake   chan struct{}
	closed chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended
	pool   workers       // of whoever runs the cycle

	mu      sync.Mutex
	running bool                  // a cycle is under way, or handed to the goroutine
	closing bool                  // no more calls are taken
	next    map[vfs.File]struct{} // files of the cycle to come
	cur     []vfs.File            // files of the cycle under way; written by whoever runs it, under mu
	began   uint64                // cycles begun
	ended   uint64                // cycles ended: began or began-1
	over    [2]sync.Cond          // the end of cycle n is told on over[n%2]: no one waits for n+2 before n+1 has begun
	failed  map[vfs.File]error    // files whose sync failed, until they are forgotten
	lost    error                 // a syncfs failed: nothing is known to be durable any more
	told    bool                  // OnFailure was called
}

// New starts a flusher.
func New(o Options) *Flusher {
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	if o.Mode != Interval {
		return start(o, nil, func() {})
	}
	ticker := time.NewTicker(o.Interval)
	return start(o, ticker.C, ticker.Stop)
}

// start is New with the clock of mode Interval passed in; stop is called when the goroutine ends.
func start(o Options, ticks <-chan time.Time, stop func()) *Flusher {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Threads <= 0 {
		o.Threads = defaultThreads
	}
	if o.SyncFSAt <= 0 {
		o.SyncFSAt = defaultSyncFSAt
	}
	fl := &Flusher{
		o:      o,
		wake:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		done:   make(chan struct{}),
		next:   make(map[vfs.File]struct{}),
		failed: make(map[vfs.File]error),
	}
	fl.over[0].L, fl.over[1].L = &fl.mu, &fl.mu
	if o.Dir != "" {
		if s, err := o.FS.OpenSyncer(o.Dir); err == nil {
			fl.syncer = s
		}
	}
	go fl.run(ticks, stop)
	return fl
}

// Sync returns once everything written to f before the call is durable, in modes Interval and OS at once. Calls that wait
// at the same time share a cycle. The error of the cycle's sync is returned to everybody it covered, and again to every
// later call for the same file; after a failed syncfs, to every call.
func (fl *Flusher) Sync(f vfs.File) error {
	switch fl.o.Mode {
	case Fsync:
		return fl.SyncNow(f)
	case Interval:
		fl.mu.Lock()
		defer fl.mu.Unlock()
		err := fl.refusal(f)
		if err == nil {
			fl.next[f] = struct{}{}
		}
		return err
	default:
		fl.mu.Lock()
		defer fl.mu.Unlock()
		return fl.refusal(f)
	}
}

// SyncNow is Sync whatever the mode: it returns once f is durable.
func (fl *Flusher) SyncNow(f vfs.File) error {
	fl.mu.Lock()
	if err := fl.refusal(f); err != nil {
		fl.mu.Unlock()
		return err
	}
	fl.next[f] = struct{}{}
	mine := fl.began + 1
	if !fl.running {
		// The caller runs the cycle itself: a lone Sync costs no switch to another goroutine.
		fl.running = true
		failure := fl.cycle()
		fl.release()
		err := fl.failure(f)
		fl.mu.Unlock()
		fl.tell(failure)
		return err
	}
	for fl.ended < mine {
		fl.over[mine%2].Wait()
	}
	err := fl.failure(f)
	fl.mu.Unlock()
	return err
}

// Forget drops f, which its owner is about to close; it waits for a cycle that is using f. Nobody may Sync f meanwhile.
func (fl *Flusher) Forget(f vfs.File) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	delete(fl.next, f)
	for n := fl.began; fl.ended < n && slices.Contains(fl.cur, f); {
		fl.over[n%2].Wait()
	}
	delete(fl.failed, f)
}

// Close flushes what is dirty and ends the goroutine; in mode OS nothing is known to be dirty. When ctx ends first its error
// is returned and the last cycle goes on. Calls that wait are answered.
func (fl *Flusher) Close(ctx context.Context) error {
	fl.mu.Lock()
	if !fl.closing {
		fl.closing = true
		close(fl.closed)
	}
	fl.mu.Unlock()
	select {
	case <-fl.done:
		fl.mu.Lock()
		defer fl.mu.Unlock()
		if fl.lost != nil {
			return fl.lost
		}
		for _, err := range fl.failed {
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal says why f cannot be synced, if so. The caller holds mu.
func (fl *Flusher) refusal(f vfs.File) error {
	if err := fl.failure(f); err != nil {
		return err
	}
	if fl.closing {
		return ErrClosed
	}
	return nil
}

// failure is the error that f's syncs have come to. The caller holds mu.
func (fl *Flusher) failure(f vfs.File) error {
	if fl.lost != nil {
		return fl.lost
	}
	return fl.failed[f]
}
