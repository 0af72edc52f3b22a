package flush

import (
	"errors"
	"io/fs"

	"github.com/quirelog/quire/segment/vfs"
)

// SyncDir makes a directory's entries durable (creations, renames, removals), as SyncNow does a file: where thousands of logs are
// opened at once, a cycle serves them all, and no thread is blocked for each.
func (fl *Flusher) SyncDir(dir string) error {
	d := &directory{fs: fl.o.FS, name: dir}
	defer fl.Forget(d)
	if err := fl.SyncNow(d); err != nil {
		return err
	}
	return d.unopened
}

// directory stands among the files of a cycle for that of one call of SyncDir. Of a file's methods only Sync is called.
type directory struct {
	vfs.File
	fs       vfs.FS
	name     string
	unopened error // nothing was tried, so nothing is lost
}

func (d *directory) Sync() error {
	err := d.fs.SyncDir(d.name)
	var p *fs.PathError
	if errors.As(err, &p) && p.Op == "open" {
		d.unopened, err = err, nil
	}
	return err
}
