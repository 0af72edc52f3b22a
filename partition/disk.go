package partition

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// diskCheckEvery is how often the free space is asked for at most: a statfs costs more than an append.
const diskCheckEvery = time.Second

// diskGuard refuses appends while the disk is nearly full. One serves all partitions of a manager.
type diskGuard struct {
	fs      vfs.FS
	dir     string
	minFree uint64
	logger  *slog.Logger

	next atomic.Int64 // when the next check is due, ns since the epoch; whoever moves it makes the check
	full atomic.Pointer[error]
}

// check returns what the newest check found: nil or ErrDiskFull. Where the file system cannot say, the last answer stays.
func (g *diskGuard) check(now time.Time) error {
	if due := g.next.Load(); now.UnixNano() >= due && g.next.CompareAndSwap(due, now.Add(diskCheckEvery).UnixNano()) {
		g.measure()
	}
	if err := g.full.Load(); err != nil {
		return *err
	}
	return nil
}

// measure logs when the shortage begins and when it ends, not in between.
func (g *diskGuard) measure() {
	free, _, err := g.fs.Free(g.dir)
	if err != nil {
		return
	}
	if free >= g.minFree {
		if was := g.full.Swap(nil); was != nil {
			g.logger.Info("disk has room again: records are taken", "dir", g.dir, "free_bytes", free)
		}
		return
	}
	refusal := fmt.Errorf("%w: %d bytes free in %s, appends need %d", ErrDiskFull, free, g.dir, g.minFree)
	if was := g.full.Swap(&refusal); was == nil {
		g.logger.Warn("disk is nearly full: records are refused until there is room",
			"dir", g.dir, "free_bytes", free, "needed_bytes", g.minFree)
	}
}
