package flush

import (
	"errors"
	"io/fs"
	"path"
	"testing"
)

// TestSyncDirOfNoDirectory: what cannot be opened is no failed sync, which would end a broker.
func TestSyncDirOfNoDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, o := range []Options{{}, {Threads: 1, SyncFSAt: 1 << 30}} {
		o.OnFailure = func(err error) { t.Errorf("taken for a failure of the disk: %v", err) }
		fl := New(o)
		if err := fl.SyncDir(path.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("sync of a directory that is not there: %v", err)
		}
		if err := fl.SyncDir(dir); err != nil {
			t.Error(err)
		}
		if err := closeFlusher(t, fl); err != nil {
			t.Error(err)
		}
	}
}
