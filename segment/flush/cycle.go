package flush

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// run is the flusher's goroutine: it runs the cycles that are handed to it and, in mode Interval, one at every tick.
func (fl *Flusher) run(ticks <-chan time.Time, stop func()) {
	defer close(fl.done)
	defer stop()
	for {
		select {
		case <-fl.wake: // running is set, and it is this goroutine's now
			fl.cycles()
		case <-ticks:
			if fl.take() {
				fl.cycles()
			}
		case <-fl.closed:
			fl.finish()
			return
		}
	}
}

// take sets running if there is anything to do and the goroutine was not woken for it yet.
func (fl *Flusher) take() bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.running || len(fl.next) == 0 {
		return false
	}
	fl.running = true
	return true
}

// cycles runs cycles until none is asked for, and gives running up.
func (fl *Flusher) cycles() {
	fl.mu.Lock()
	for len(fl.next) > 0 {
		if failure := fl.cycle(); failure != nil {
			fl.mu.Unlock()
			fl.tell(failure)
			fl.mu.Lock()
		}
	}
	fl.running = false
	fl.mu.Unlock()
}

// finish runs what is left when the flusher is closed, when no call is taken any more.
func (fl *Flusher) finish() {
	fl.mu.Lock()
	woken := fl.running
	fl.mu.Unlock()
	if woken {
		<-fl.wake
		fl.cycles()
	} else if fl.take() {
		fl.cycles()
	}
	fl.mu.Lock()
	for fl.directs > 0 {
		fl.single.Wait()
	}
	fl.mu.Unlock()
	fl.pool.stop()
	if fl.syncer != nil {
		_ = fl.syncer.Close() // a directory opened for reading: there is nothing to lose
	}
}

// cycle makes the files of next durable, with mu let go meanwhile, and tells those who wait. It returns the first error.
// The goroutine calls it, with mu held.
func (fl *Flusher) cycle() error {
	fl.began++
	n := fl.began
	fl.cur = fl.cur[:0]
	for f := range fl.next {
		if fl.failed[f] == nil {
			fl.cur = append(fl.cur, f)
		}
	}
	clear(fl.next)
	if fl.lost == nil && len(fl.cur) > 0 {
		whole := fl.syncer != nil && len(fl.cur) >= fl.o.SyncFSAt
		fl.mu.Unlock()
		began := time.Now()
		w := fl.Begin()
		err := fl.sync(whole)
		fl.End(w)
		if fl.o.Observe != nil {
			fl.o.Observe(time.Since(began), len(fl.cur))
		}
		fl.mu.Lock()
		if err != nil && whole {
			fl.lost = err
		}
	}
	failure := fl.lost
	for i, err := range fl.pool.errs {
		if err != nil {
			failure = err
			fl.failed[fl.cur[i]] = err
		}
	}
	clear(fl.pool.errs)
	fl.last = len(fl.cur)
	clear(fl.cur) // a closed file must not be kept from the garbage collector
	fl.cur = fl.cur[:0]
	fl.ended = n
	fl.over[n%2].Broadcast()
	return failure
}

// sync makes the files of cur durable. An error of syncfs is returned; those of single files stay in pool.errs.
func (fl *Flusher) sync(whole bool) error {
	if whole {
		if err := fl.syncer.SyncFS(); err != nil {
			for _, f := range fl.cur {
				_ = f.Sync() // each one finds out whether it lost pages, and stops showing them (vfs)
			}
			return fmt.Errorf("flush %s: %w", fl.o.Dir, err)
		}
		return nil
	}
	fl.pool.sync(fl.cur, fl.o.Threads)
	return nil
}

// Failed tells OnFailure of a failure that a log cannot recover from and the flusher has not seen: of a write that could not be
// undone. The caller may hold its own locks.
func (fl *Flusher) Failed(err error) {
	if !errors.Is(err, ErrClosed) {
		fl.tell(err)
	}
}

// tell calls OnFailure with the first failure there is.
func (fl *Flusher) tell(failure error) {
	if failure == nil || fl.o.OnFailure == nil {
		return
	}
	fl.mu.Lock()
	first := !fl.told
	fl.told = true
	fl.mu.Unlock()
	if first {
		fl.o.OnFailure(failure)
	}
}

// workers sync the files of one cycle side by side. All fields are owned by the flusher's goroutine; while sync runs, the
// worker goroutines share files and errs by taking places from taken. They start when first needed and live until stop.
type workers struct {
	files []vfs.File
	errs  []error // of files, by place
	taken atomic.Int64
	turns chan struct{} // one for each worker that shall join in
	busy  sync.WaitGroup
	alive sync.WaitGroup
	count int
}

// sync syncs files on up to threads goroutines, the caller's among them, and leaves each one's error in errs.
func (w *workers) sync(files []vfs.File, threads int) {
	w.errs = append(w.errs[:0], make([]error, len(files))...)
	w.files = files
	w.taken.Store(0)
	helpers := min(threads, len(files)) - 1
	if helpers > w.count && w.turns == nil {
		w.turns = make(chan struct{}, threads)
	}
	for ; w.count < helpers; w.count++ {
		w.alive.Add(1)
		go w.help()
	}
	w.busy.Add(helpers)
	for range helpers {
		w.turns <- struct{}{}
	}
	w.work()
	w.busy.Wait()
	w.files = nil
}

func (w *workers) help() {
	defer w.alive.Done()
	for range w.turns {
		w.work()
		w.busy.Done()
	}
}

func (w *workers) work() {
	for {
		i := int(w.taken.Add(1)) - 1
		if i >= len(w.files) {
			return
		}
		if err := w.files[i].Sync(); err != nil {
			w.errs[i] = fmt.Errorf("flush: %w", err)
		}
	}
}

func (w *workers) stop() {
	if w.turns != nil {
		close(w.turns)
	}
	w.alive.Wait()
}
