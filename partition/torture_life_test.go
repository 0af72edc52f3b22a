package partition

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// life is a process as its disk sees it, from its start to its end.
type life struct {
	fs      *crashfs.FS
	killAt  int64 // operation before which it is killed; below 0: it is not
	fault   int   // 1: no space for a while, 2: a write and its repair fail, 3: a sync fails
	faultAt int64

	mu     sync.Mutex
	ops    int64
	ending bool
	killed bool
}

func newLife(fs *crashfs.FS) *life { return &life{fs: fs, killAt: -1} }

func (l *life) hook(op crashfs.Op, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch op {
	case crashfs.OpRead, crashfs.OpStat, crashfs.OpReadDir:
	default:
		l.ops++
	}
	if l.killAt >= 0 && l.ops > l.killAt {
		l.killed = true
	}
	if l.killed {
		return crashfs.ErrCrashed // what comes from a killed process has no effect
	}
	since := l.ops - l.faultAt
	if l.fault == 0 || since < 0 {
		return nil
	}
	switch {
	case l.fault == 1 && since < 20 && op == crashfs.OpWrite:
		return &crashfs.PartialWrite{N: since * 7, Err: syscall.ENOSPC}
	case l.fault == 2 && since < 3 && (op == crashfs.OpWrite || op == crashfs.OpTruncate):
		return syscall.EIO
	case l.fault == 3 && since < 10 && (op == crashfs.OpSync || op == crashfs.OpSyncFS):
		return syscall.EIO
	}
	return nil
}

// end has the process end soon: what a broker does to itself when its disk has failed.
func (l *life) end(error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ending {
		l.ending, l.killAt = true, l.ops+50
	}
}

func (l *life) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending || l.killed || l.fs.Crashed()
}

// failing says that operations may have failed for a reason of the test's.
func (l *life) failing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault > 0 && l.ops >= l.faultAt
}

// leads waits until p leads; it is false when that will never be.
func (l *life) leads(t *testing.T, p *Partition) bool {
	w := NewWaiter()
	p.Watch(w)
	defer p.Unwatch(w)
	deadline := time.Now().Add(20 * time.Second)
	for !l.over() {
		switch _, err := p.Marks(-1); {
		case err == nil:
			return true
		case errors.Is(err, ErrClosed):
			return false
		case time.Now().After(deadline):
			t.Errorf("%s does not lead after 20 s: %v", p.topic, err)
			return false
		}
		select {
		case <-w.C():
		case <-time.After(time.Millisecond):
		}
	}
	return false
}
