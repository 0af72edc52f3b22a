// Package flush makes appended bytes durable for all logs of one file system at once. While few files are being synced, a
// caller syncs its own at once, beside the others, and the kernel's journal joins what comes together. Beyond that, whoever
// has appended waits for the next cycle, and a cycle makes everything durable that was appended before it began.
package flush

import (
	"context"
	"errors"
	"fmt"
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
	Threads  int           // files synced side by side, by their callers or in a cycle; 0: 16
	SyncFSAt int           // dirty files from which a cycle is one syncfs; 0: 4, see BenchmarkCycle
	// OnFailure is told the first sync error, call of Failed or stall (ErrStalled), once. The files involved are lost to writing (the
	// kernel may have dropped their dirty pages): a broker ends its process here. It must neither block nor call the flusher or
	// a log.
	OnFailure func(error)
	// Observe is told how long each cycle, or sync of a single file, took and how many files it covered. It may be called
	// concurrently. nil: nobody.
	Observe func(d time.Duration, files int)
}

const (
	defaultInterval = time.Second
	defaultThreads  = 16
	defaultSyncFSAt = 4
)

// Flusher is the one flusher of a broker for one file system. Its goroutine runs from New to Close, and beside it one that
// watches for stalls.
//
// What always holds: a call is answered by a sync that began after it, its own or that of a whole cycle. At most one cycle is
// under way, run by the goroutine; a file waits in next for the one after it, so for one cycle and its own at most.
// Cycles are counted, and whoever waits is answered when the first that began after the call has ended. A file that was seen
// to fail is not synced again.
type Flusher struct {
	o      Options
	syncer vfs.Syncer // nil: no syncfs
	wake   chan struct{}
	closed chan struct{} // closed by Close
	done   chan struct{} // closed when the goroutine has ended
	pool   workers       // the goroutine's

	stalls  stalls
	watched chan struct{} // closed when the goroutine that watches for stalls has ended; nil: there is none

	mu      sync.Mutex
	running bool                  // cycles are under way, or the goroutine has been woken for one
	closing bool                  // no more calls are taken
	next    map[vfs.File]struct{} // files of the cycle to come
	cur     []vfs.File            // files of the cycle under way; written by the goroutine, under mu
	last    int                   // number of files of the cycle before
	direct  map[vfs.File]int      // syncs under way that callers make themselves
	directs int                   // their number
	single  sync.Cond             // the end of one of them
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
	var fl *Flusher
	if o.Mode == Interval {
		ticker := time.NewTicker(o.Interval)
		fl = start(o, ticker.C, ticker.Stop)
	} else {
		fl = start(o, nil, func() {})
	}
	if o.Mode == Fsync && o.OnFailure != nil {
		ticker := time.NewTicker(stallTick)
		fl.startWatch(ticker.C, ticker.Stop)
	}
	return fl
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
		direct: make(map[vfs.File]int),
		failed: make(map[vfs.File]error),
	}
	fl.single.L = &fl.mu
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

// Flushes says whether Sync returns only when the bytes are durable.
func (fl *Flusher) Flushes() bool { return fl.o.Mode == Fsync }

// SyncNow is Sync whatever the mode: it returns once f is durable.
func (fl *Flusher) SyncNow(f vfs.File) error {
	fl.mu.Lock()
	if err := fl.refusal(f); err != nil {
		fl.mu.Unlock()
		return err
	}
	// Under load, half of the callers wait while the cycle of the others runs, so both count.
	if fl.directs+len(fl.cur)+fl.last < fl.o.Threads && len(fl.next) == 0 {
		return fl.syncDirect(f)
	}
	defer fl.mu.Unlock()
	fl.next[f] = struct{}{}
	mine := fl.began + 1
	if !fl.running {
		fl.running = true
		fl.wake <- struct{}{} // never blocks: it is empty while running is not set
	}
	for fl.ended < mine {
		fl.over[mine%2].Wait()
	}
	return fl.failure(f)
}

// syncDirect syncs f in the caller's goroutine. It is called with mu held, and lets go of it.
func (fl *Flusher) syncDirect(f vfs.File) error {
	fl.direct[f]++
	fl.directs++
	fl.mu.Unlock()
	err := fl.syncOne(f)
	fl.mu.Lock()
	if fl.direct[f]--; fl.direct[f] == 0 {
		delete(fl.direct, f)
	}
	fl.directs--
	if err != nil {
		fl.failed[f] = err
	}
	failure := fl.failure(f)
	fl.single.Broadcast()
	fl.mu.Unlock()
	fl.tell(err)
	return failure
}

func (fl *Flusher) syncOne(f vfs.File) error {
	var began time.Time
	if fl.o.Observe != nil {
		began = time.Now()
	}
	w := fl.Begin()
	err := f.Sync()
	fl.End(w)
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if fl.o.Observe != nil {
		fl.o.Observe(time.Since(began), 1)
	}
	return nil
}

// Forget drops f, which its owner is about to close; it waits for a sync or a cycle that is using f. Nobody may Sync f
// from then on.
func (fl *Flusher) Forget(f vfs.File) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	delete(fl.next, f)
	for n := fl.began; fl.ended < n && slices.Contains(fl.cur, f); {
		fl.over[n%2].Wait()
	}
	for fl.direct[f] > 0 {
		fl.single.Wait()
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
		if fl.watched != nil {
			<-fl.watched
		}
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
