package crashfs

import (
	"github.com/quirelog/quire/segment/vfs"
)

// SyncDir makes the names in dir durable. A rename between two directories is durable once either is synced.
func (f *FS) SyncDir(dir string) error {
	crash, err := f.begin(OpSyncDir, dir)
	defer f.mu.Unlock()
	var d *node
	if err == nil {
		d, err = f.lookup(dir)
	}
	if err == nil && crash {
		err = ErrCrashed
	}
	if err != nil {
		return pathError(OpSyncDir, dir, err)
	}
	f.settleNames(func(o *nameOp) bool { return o.touches(d) })
	return nil
}

// settleNames makes the pending changes durable that which picks, and whatever came before them to the same files.
func (f *FS) settleNames(which func(*nameOp) bool) {
	settle := make([]bool, len(f.pending))
	nodes := make(map[*node]bool)
	for i := len(f.pending) - 1; i >= 0; i-- {
		o := f.pending[i]
		if settle[i] = nodes[o.node] || which(o); settle[i] {
			nodes[o.node] = true
		}
	}
	var rest []*nameOp
	for i, o := range f.pending {
		if settle[i] {
			o.apply(onDisk)
		} else {
			rest = append(rest, o)
		}
	}
	f.pending = rest
}

// syncer is what OpenSyncer returns.
type syncer struct {
	fs  *FS
	dir string
}

// OpenSyncer never fails but for a directory that is not there.
func (f *FS) OpenSyncer(dir string) (vfs.Syncer, error) {
	if _, err := f.Stat(dir); err != nil {
		return nil, err
	}
	return &syncer{fs: f, dir: dir}, nil
}

// SyncFS makes everything durable. If the hook fails it, all unsynced content is lost.
func (s *syncer) SyncFS() error {
	f := s.fs
	crash, err := f.begin(OpSyncFS, s.dir)
	defer f.mu.Unlock()
	if err == nil && crash {
		err = ErrCrashed
	}
	if err != nil && f.crashed {
		return pathError(OpSyncFS, s.dir, err)
	}
	for n := range f.dirty {
		if err != nil {
			n.settle()
		} else {
			n.sync()
		}
	}
	clear(f.dirty)
	if err != nil {
		return pathError(OpSyncFS, s.dir, err)
	}
	f.settleNames(func(*nameOp) bool { return true })
	return nil
}

func (s *syncer) Close() error { return nil }
