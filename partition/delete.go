package partition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// A deletion is done by these steps, each of which may be the last before a crash:
//
//  1. <topic>-<partition> is renamed to <topic id>-<partition>.deleted, durably. From here on the partition is gone: a topic
//     made again under the name begins in a new directory.
//  2. The files in it are removed.
//  3. The votes are dropped: not earlier, so that files never lie there without the votes that go with them.
//  4. The empty directory is removed. It stays until then as the note that 2 and 3 are due.

// Delete closes the partition, renames its directory to <topic id>-<partition>.deleted, removes it and drops the votes last.
// Deleting what is not open does nothing. What an error leaves undone, DeleteOrphans or the next start finishes.
func (m *Manager) Delete(ctx context.Context, id ID) error {
	p := m.ByID(id)
	if p == nil {
		return nil
	}
	pl := place{p.topic, p.id.Partition}
	release, err := m.claim(ctx, pl, nil)
	if err != nil {
		return fmt.Errorf("delete %s: %w", pl.dir(), err)
	}
	defer release()
	if m.ByID(id) != p {
		return nil // somebody else did it meanwhile
	}
	if err := p.close(ctx); ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// Its files are still in use, and would be written under the old name, where a topic made again may have its own by
		// then. The partition stays known, though it serves nothing, for another Delete or Close to wait for.
		return fmt.Errorf("delete %s: %w", pl.dir(), err)
	} else if err != nil {
		m.o.Logger.Warn("partition to be deleted did not close cleanly", "topic", p.topic, "partition", id.Partition, "error", err)
	}
	m.forget(p)
	if err := m.discard(pl, id); err != nil {
		return fmt.Errorf("delete %s: %w", pl.dir(), err)
	}
	return nil
}

// DeleteOrphans deletes the directories of partitions that are neither open nor, by the id in their partition.meta, known:
// those of topics that were deleted while this broker was down. It also finishes deletions that failed half way. Directories
// that do not say whose they are stay. It is not for calling while Delete runs.
func (m *Manager) DeleteOrphans(ctx context.Context, known func(ID) bool) error {
	entries, err := m.o.FS.ReadDir(m.o.Dir)
	if err != nil {
		return fmt.Errorf("orphans: %w", err)
	}
	errs := []error{m.finishDeletions()}
	for _, e := range entries {
		id, err := readMeta(m.o.FS, path.Join(m.o.Dir, e.Name()))
		topic, ok := strings.CutSuffix(e.Name(), fmt.Sprintf("-%d", id.Partition))
		if err != nil || !ok || known(id) {
			continue
		}
		if err := m.deleteOrphan(ctx, place{topic, id.Partition}, id); err != nil {
			errs = append(errs, fmt.Errorf("orphan %s: %w", e.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (m *Manager) deleteOrphan(ctx context.Context, pl place, id ID) error {
	release, err := m.claim(ctx, pl, nil)
	if err != nil {
		return err
	}
	defer release()
	if m.Get(pl.topic, pl.partition) != nil {
		return nil
	}
	switch now, err := readMeta(m.o.FS, path.Join(m.o.Dir, pl.dir())); {
	case errors.Is(err, fs.ErrNotExist) || err == nil && now != id:
		return nil // the place was used anew meanwhile
	case err != nil:
		return err
	}
	m.o.Logger.Info("deleting a partition of a topic that is gone", "topic", pl.topic, "partition", pl.partition)
	return m.discard(pl, id)
}

// prepareDir makes pl the directory of id. The caller has claimed pl.
func (m *Manager) prepareDir(pl place, id ID) error {
	was, err := readMeta(m.o.FS, path.Join(m.o.Dir, pl.dir()))
	switch {
	case err == nil && was == id:
		return nil
	case err == nil:
		m.o.Logger.Info("deleting what an earlier topic of the name left", "topic", pl.topic, "partition", pl.partition)
		if err := m.discard(pl, was); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return makeDir(m.o.FS, m.o.Dir, pl.dir(), id)
}

// discard deletes the directory at pl, which belongs to id and is closed.
func (m *Manager) discard(pl place, id ID) error {
	target := path.Join(m.o.Dir, deletedName(id))
	// Left over when the rename of an earlier try was made and its sync failed.
	if err := m.o.FS.RemoveAll(target); err != nil {
		return err
	}
	if err := m.o.FS.Rename(path.Join(m.o.Dir, pl.dir()), target); err != nil {
		return err
	}
	if err := m.o.FS.SyncDir(m.o.Dir); err != nil {
		return err
	}
	return m.finishDeletion(target, id)
}

// finishDeletion does the steps after the rename, whichever of them were done before.
func (m *Manager) finishDeletion(target string, id ID) error {
	entries, err := m.o.FS.ReadDir(target)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := m.o.FS.RemoveAll(path.Join(target, e.Name())); err != nil {
			return err
		}
	}
	if err := m.storage.dropVotes(id); err != nil {
		return fmt.Errorf("drop votes: %w", err)
	}
	if err := m.o.FS.RemoveAll(target); err != nil {
		return err
	}
	return m.o.FS.SyncDir(m.o.Dir)
}

func (m *Manager) finishDeletions() error {
	entries, err := m.o.FS.ReadDir(m.o.Dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if err := m.removeReset(e.Name()); err != nil {
			return fmt.Errorf("finish reset of %s: %w", e.Name(), err)
		}
		id, ok := parseDeletedName(e.Name())
		if !ok {
			continue
		}
		if err := m.finishDeletion(path.Join(m.o.Dir, e.Name()), id); err != nil {
			return fmt.Errorf("finish deletion of %s: %w", e.Name(), err)
		}
	}
	return nil
}
