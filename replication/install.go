package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// Manifest is a checkpoint and the files of the log up to it.
type Manifest struct {
	Checkpoint segment.Checkpoint
	Files      []segment.FileRange
}

// Source is another replica's log, to be copied.
type Source interface {
	// Manifest lists what is to be copied. The files stay as they are while the source is in use. A source that still holds
	// what it told before tells the same again, so that a copy under way can be resumed.
	Manifest(ctx context.Context) (Manifest, error)
	// ReadAt is io.ReaderAt for a file of the manifest. It may return less than len(p) without an error, but not nothing.
	ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error)
}

// The places of an install under a log's directory. Which of them is there says how far it got:
//
//	installing/  files are being pulled: the old log counts
//	installed/   the new log is complete: the old files go
//	moving/      the old files are gone: the new ones move to their place
const (
	installingDir = "installing"
	installedDir  = "installed"
	movingDir     = "moving"

	manifestName = "manifest"
	pulledDir    = "log" // in installing
	partSuffix   = ".part"
)

// ErrBadCopy: what was pulled is not the log that the manifest describes. It was thrown away.
var ErrBadCopy = errors.New("pulled files do not make up the log")

// InstallOptions of Install. FS, Dir and Source must be set.
type InstallOptions struct {
	FS     vfs.FS
	Dir    string // the log's directory
	Source Source
	Keep   []string // files in Dir that are not the log's and stay
	Chunk  int      // bytes a read, and the most that is lost of a pull that is interrupted; 0: 4 MiB
}

// Install replaces the log in Dir, which is closed, by a copy of the source's: manifest first, then the files, made durable and checked, then
// swapped by rename. A crash at any point leaves the old log or the new one, once FinishInstall has run, and what
// was pulled is not pulled again. The votes stay as they are: the replica has forgotten nothing that it promised.
func Install(ctx context.Context, o InstallOptions) error {
	if err := FinishInstall(o.FS, o.Dir, o.Keep...); err != nil {
		return err
	}
	if err := Pull(ctx, o); err != nil {
		return err
	}
	return FinishPull(o)
}

// Pull is the part of Install for which the log may be open: it copies, and checks the copy.
func Pull(ctx context.Context, o InstallOptions) error {
	if o.Chunk == 0 {
		o.Chunk = 4 << 20
	}
	m, err := o.Source.Manifest(ctx)
	if err != nil {
		return fmt.Errorf("install in %s: manifest: %w", o.Dir, err)
	}
	for _, step := range []func() error{
		func() error { return o.prepare(&m) },
		func() error { return o.pull(ctx, &m) },
		func() error { return o.verify(&m) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("install in %s: %w", o.Dir, err)
		}
	}
	return nil
}

// FinishPull has what Pull has copied take the place of the log, which is closed.
func FinishPull(o InstallOptions) error {
	if err := o.move(path.Join(installingDir, pulledDir), installedDir); err != nil {
		return fmt.Errorf("install in %s: %w", o.Dir, err)
	}
	return FinishInstall(o.FS, o.Dir, o.Keep...)
}

func (o *InstallOptions) path(parts ...string) string {
	return path.Join(append([]string{o.Dir}, parts...)...)
}

// move renames within Dir, durably.
func (o *InstallOptions) move(from, to string) error {
	if err := o.FS.Rename(o.path(from), o.path(to)); err != nil {
		return err
	}
	return o.FS.SyncDir(o.Dir)
}

// prepare makes installing/ for the manifest, keeping what is there if it is of the same one.
func (o *InstallOptions) prepare(m *Manifest) error {
	for _, f := range m.Files {
		if f.Name != path.Base(f.Name) || f.Name == "." || f.Name == ".." || f.Len < 0 {
			return fmt.Errorf("%w: file %q of %d bytes", ErrBadCopy, f.Name, f.Len)
		}
	}
	encoded := encodeManifest(m)
	saved, err := readAll(o.FS, o.path(installingDir, manifestName))
	if err == nil && slices.Equal(saved, encoded) {
		if _, err := o.FS.Stat(o.path(installingDir, pulledDir)); err == nil { // else the rest of an install that was finished
			return nil
		}
	}
	if err := o.FS.RemoveAll(o.path(installingDir)); err != nil {
		return err
	}
	if err := o.FS.MkdirAll(o.path(installingDir, pulledDir), 0o755); err != nil {
		return err
	}
	// The manifest says that the rest is there, so it comes last.
	if err := o.FS.SyncDir(o.path(installingDir)); err != nil {
		return err
	}
	if err := writeDurably(o.FS, o.path(installingDir, manifestName), encoded); err != nil {
		return err
	}
	return errors.Join(o.FS.SyncDir(o.path(installingDir)), o.FS.SyncDir(o.Dir))
}

func (o *InstallOptions) pull(ctx context.Context, m *Manifest) error {
	buf := make([]byte, o.Chunk)
	for _, f := range m.Files {
		name := o.path(installingDir, pulledDir, f.Name)
		if _, err := o.FS.Stat(name); err == nil {
			continue // it is complete, else it would be a part
		}
		if err := o.pullFile(ctx, f, name+partSuffix, buf); err != nil {
			return fmt.Errorf("pull %s: %w", f.Name, err)
		}
		if err := o.FS.Rename(name+partSuffix, name); err != nil {
			return err
		}
	}
	return o.FS.SyncDir(o.path(installingDir, pulledDir))
}

// pullFile goes on where an earlier pull has ended, but for the last chunk, which a crash may have spoilt: every chunk is
// durable before the next one is written.
func (o *InstallOptions) pullFile(ctx context.Context, f segment.FileRange, part string, buf []byte) (err error) {
	file, err := o.FS.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	at, err := file.Size()
	if err != nil {
		return err
	}
	for at = max(0, at-int64(o.Chunk)); at < f.Len; {
		n, err := o.Source.ReadAt(ctx, f.Name, buf[:min(int64(len(buf)), f.Len-at)], at)
		if n == 0 && err == nil {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			return fmt.Errorf("at byte %d of %d: %w", at, f.Len, err)
		}
		if _, err := file.WriteAt(buf[:n], at); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		at += int64(n)
	}
	return errors.Join(file.Truncate(f.Len), file.Sync())
}

// verify opens the copy, which checks every batch, and gives it its checkpoint. A copy that does not hold is thrown away.
func (o *InstallOptions) verify(m *Manifest) error {
	c := m.Checkpoint
	if _, err := decodeState(c.State); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrBadCopy, err), o.FS.RemoveAll(o.path(installingDir)))
	}
	log, err := segment.Open(o.path(installingDir, pulledDir), segment.Options{FS: o.FS})
	if err != nil {
		return err
	}
	damage, last, end := log.Recovery().Damage, log.LastIndex(), log.EndOffset()
	if len(damage) > 0 || last != c.Index || end != c.End {
		bad := fmt.Errorf("%w: it ends at entry %d, offset %d, not %d, %d; damage: %q", ErrBadCopy, last, end, c.Index, c.End, damage)
		return errors.Join(bad, log.Close(), o.FS.RemoveAll(o.path(installingDir)))
	}
	return errors.Join(log.WriteCheckpoint(c), log.Close())
}

// FinishInstall finishes a swap that a crash interrupted, and does nothing where there was none. It must be called before a
// log's directory is opened. keep names files that are not the log's.
func FinishInstall(fsys vfs.FS, dir string, keep ...string) error {
	o := InstallOptions{FS: fsys, Dir: dir, Keep: keep}
	if err := o.finish(); err != nil {
		return fmt.Errorf("finish install in %s: %w", dir, err)
	}
	return nil
}

func (o *InstallOptions) finish() error {
	if _, err := o.FS.Stat(o.path(installedDir)); err == nil {
		if err := o.removeOld(); err != nil {
			return err
		}
		if err := o.move(installedDir, movingDir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := o.FS.ReadDir(o.path(movingDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := o.FS.Rename(o.path(movingDir, e.Name()), o.path(e.Name())); err != nil {
			return err
		}
	}
	if err := o.FS.SyncDir(o.Dir); err != nil {
		return err
	}
	return errors.Join(o.FS.RemoveAll(o.path(movingDir)), o.FS.RemoveAll(o.path(installingDir)), o.FS.SyncDir(o.Dir))
}

func (o *InstallOptions) removeOld() error {
	entries, err := o.FS.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == installedDir || e.Name() == installingDir || slices.Contains(o.Keep, e.Name()) {
			continue
		}
		if err := o.FS.RemoveAll(o.path(e.Name())); err != nil {
			return err
		}
	}
	return o.FS.SyncDir(o.Dir)
}

func writeDurably(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Sync(), f.Close())
}

func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, 0, size))
}
