package segment

import (
	"os"
	"sync"
)

// OpenFiles bounds the descriptors that the logs of a broker keep for appending: a log opens its active segment's file at the
// first append and keeps it while there is room. Beyond the limit, logs that nothing was appended to of late give theirs back (a
// log that was has a second chance, as in the clock algorithm, so that an append takes no shared lock).
//
// Only a file whose bytes are known to be durable is closed, since the kernel tells of a failed write-back those descriptors
// that were open when it happened: with every append flushed that is so as soon as nobody is appending, otherwise the file is
// synced first. A log that somebody is writing to is passed over, and so the limit is exceeded where all of them are.
//
// What always holds: logs are those with an open file; each of them is there once, at its slot.
// The lock is a leaf.
type OpenFiles struct {
	limit int

	mu   sync.Mutex // guards what follows, and the slots of logs
	logs []*Log
	hand int // the next one to be looked at
}

// NewOpenFiles bounds open files to limit; at least one stays open.
func NewOpenFiles(limit int) *OpenFiles { return &OpenFiles{limit: max(limit, 1)} }

// Len is how many files are open.
func (o *OpenFiles) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.logs)
}

func (o *OpenFiles) add(l *Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.slot == 0 {
		o.logs = append(o.logs, l)
		l.slot = len(o.logs)
	}
}

func (o *OpenFiles) remove(l *Log) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.slot == 0 {
		return
	}
	last := len(o.logs) - 1
	o.logs[l.slot-1] = o.logs[last]
	o.logs[l.slot-1].slot = l.slot
	o.logs[last] = nil
	o.logs = o.logs[:last]
	l.slot = 0
}

// parkTries is how many logs are asked for their file before the limit is exceeded.
const parkTries = 16

// trim has logs close their files until the limit is kept. The caller may hold the locks of the log keep, which is not asked.
func (o *OpenFiles) trim(keep *Log) {
	for range parkTries {
		l := o.idlest(keep)
		if l == nil {
			return
		}
		l.park()
	}
}

// idlest picks a log to be asked for its file; nil when the limit is kept or there is nobody to ask.
func (o *OpenFiles) idlest(keep *Log) *Log {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.logs) <= o.limit {
		return nil
	}
	for range 2 * len(o.logs) { // in the second round nobody has a chance left, but for new appends
		o.hand++
		if o.hand >= len(o.logs) {
			o.hand = 0
		}
		if l := o.logs[o.hand]; l != keep && !l.recent.Swap(false) {
			return l
		}
	}
	return nil
}

// needFile opens the active segment's file where it is closed. The caller holds l.write.
func (l *Log) needFile() error {
	a := l.active()
	if a.file != nil {
		if l.files != nil && !l.recent.Load() {
			l.recent.Store(true) // not when it is opened: one that is used once is to go before one that is used again
		}
		return nil
	}
	f, err := l.openForAppend(a)
	if err != nil {
		return err
	}
	l.mu.Lock()
	a.file = f
	l.mu.Unlock()
	l.fileOpened()
	return nil
}

func (l *Log) openForAppend(s *segment) (*sharedFile, error) {
	f, err := l.fs.OpenFile(s.logPath(l.dir), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return share(f), nil
}

// fileOpened counts the active segment's file, which was opened just now. The caller holds l.write.
func (l *Log) fileOpened() {
	if l.files != nil {
		l.files.add(l)
		l.files.trim(l)
	}
}

// park closes the active segment's file, and those of sealed segments that no checkpoint has settled yet, unless the log is being
// written to at this moment. It waits for nobody but the sync of what no flush has covered.
func (l *Log) park() {
	if !l.ckpt.TryLock() {
		return
	}
	defer l.ckpt.Unlock()
	if !l.write.TryLock() {
		return
	}
	defer l.write.Unlock()
	if l.writable() != nil {
		return
	}
	if err := l.closeFiles(); err != nil {
		l.log.Warn("cannot close an idle segment file", "dir", l.dir, "err", err)
	}
}

// closeFiles closes the files of an idle log, durable before. The caller holds l.ckpt and l.write.
func (l *Log) closeFiles() error {
	if err := l.settle(l.unsettled(), l.fail); err != nil {
		return err
	}
	a := l.active()
	if a.file == nil {
		return nil
	}
	if l.unflushed {
		if err := l.syncNow(a.file); err != nil {
			return l.fail(err)
		}
		l.unflushed = false
	}
	l.forget(a.file)
	l.mu.Lock()
	file := a.file
	a.file = nil
	l.mu.Unlock()
	if l.files != nil {
		l.files.remove(l)
	}
	return file.release()
}

// rest closes what recovery has opened, where it is durable: most logs are idle.
func (l *Log) rest() error {
	if len(l.recovery.Damage) > 0 {
		return nil // nothing is written, and one file is kept for reading
	}
	if l.unflushed = l.recovery.Scanned > 0 && l.flusher != nil && !l.flusher.Flushes(); l.unflushed {
		l.fileOpened()
		return nil
	}
	return l.closeFiles()
}

// unsettled lists the sealed segments whose files are not known to be durable. The caller holds l.write.
func (l *Log) unsettled() []*segment {
	var list []*segment
	for _, s := range l.segs[:len(l.segs)-1] {
		if !s.synced {
			list = append(list, s)
		}
	}
	return list
}
