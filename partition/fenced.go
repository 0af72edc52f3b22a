package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// A replica is fenced when its log cannot be trusted: it was found to be damaged or gone when it was opened, or while it was open. One of
// several serves nothing from then on, and is in no election, since it may have lost what it has promised to hold. That is noted in
// its directory, so that it stays so over restarts, until Reset: the group's leader has taken it out of the group by then, and it
// begins anew with nothing, as a joiner. The only replica of a partition stays open as far as it can be read.

// ErrNotFenced: the replica is not fenced, or for another reason than was said.
var ErrNotFenced = errors.New("the replica is not fenced")

// Fence is a replica that is not to be served or to vote. Reason stays the same while it is fenced, also over restarts; it begins with the time.
type Fence struct {
	ID     ID
	Topic  string
	Reason string
}

// Fenced lists the fenced replicas.
func (m *Manager) Fenced() []Fence {
	var all []Fence
	m.byID.Range(func(_, found any) bool {
		p := found.(*Partition)
		if reason := p.fenced.Load(); reason != nil {
			all = append(all, Fence{p.id, p.topic, *reason})
		}
		return true
	})
	return all
}

const (
	// fenceName is the file in a partition's directory that says why the replica is fenced.
	fenceName = "fenced"
	fenceMax  = 4 << 10 // bytes of it that are read
	// resetSuffix is of what is left of a directory that was reset: worth nothing.
	resetSuffix = ".reset"
)

// IsReset says whether a name in the data directory is of what a reset has left, which the next start removes.
func IsReset(name string) bool {
	id, ok := parseDeletedName(strings.TrimSuffix(name, resetSuffix) + deletedSuffix)
	return ok && resetName(id) == name
}

// ReadFence is why the replica in a partition's directory is fenced; "": it is not. A file that cannot be read is a reason too.
func ReadFence(fsys vfs.FS, dir string) string {
	f, err := fsys.OpenFile(path.Join(dir, fenceName), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var b []byte
	if err == nil {
		defer f.Close()
		b, err = io.ReadAll(io.NewSectionReader(f, 0, fenceMax))
	}
	if err != nil || len(b) == 0 {
		return fmt.Sprintf("the file %s cannot be read: %v", fenceName, err)
	}
	return string(b)
}

func resetName(id ID) string { return strings.TrimSuffix(deletedName(id), deletedSuffix) + resetSuffix }

// reasonNow makes a reason of damage.
func (m *Manager) reasonNow(damage string) string {
	reason := m.o.Now().UTC().Format(time.RFC3339) + " " + strings.ReplaceAll(damage, "\n", "; ")
	return reason[:min(len(reason), fenceMax)]
}

// noteFence makes it durable that the replica in dir is fenced.
func (m *Manager) noteFence(dir, reason string) error {
	temp := path.Join(dir, fenceName+".tmp")
	if err := writeSynced(m.o.FS, temp, []byte(reason)); err != nil {
		return err
	}
	if err := m.o.FS.Rename(temp, path.Join(dir, fenceName)); err != nil {
		return err
	}
	return m.o.FS.SyncDir(dir)
}

// fence has p, whose log was found to be damaged when it was opened, serve no more than can be trusted. Nothing is appended to the
// log or cut from it. Where it is the only replica, what lies below the damage can be read: all of it was committed.
func (p *Partition) fence(reason string, only bool) {
	p.fenced.Store(&reason)
	if !only {
		p.role.Store(roleDamaged)
		p.logger.Error("replica is fenced: its log is damaged", "damage", reason)
		return
	}
	epoch := int64(0)
	if epochs := p.log.Epochs(); len(epochs) > 0 {
		epoch = int64(epochs[len(epochs)-1].Epoch)
	}
	end := p.log.EndOffset()
	p.applied.end, p.epochStart = end, end
	p.high.Store(int64(end))
	p.role.Store(epoch)
	p.logger.Error("the only replica is read-only: its log is damaged", "damage", reason, "readable_up_to", end)
}

// broken is told by the group, on any goroutine, that p's log was found to be damaged, or takes no more writes, while it is open, and that
// there are others. p serves nothing once this has returned; its group is closed by a goroutine, so that another can lead. It does not wait.
func (p *Partition) broken(m *Manager, damage error) {
	reason := m.reasonNow(damage.Error())
	if !p.fenced.CompareAndSwap(nil, &reason) {
		return
	}
	p.mu.Lock()
	p.setRole(roleDamaged)
	wake := p.window.refuse(ErrDamaged)
	wake.join(p.giveUpWaiting(ErrUnknownOutcome))
	p.mu.Unlock()
	wake.fire()
	p.wakeAll()
	p.logger.Error("replica is fenced: its log was found to be damaged", "damage", reason)
	m.copies.add(job{p.id, true}, func(ctx context.Context) { m.closeBroken(ctx, p, reason) })
}

func (m *Manager) closeBroken(ctx context.Context, p *Partition, reason string) {
	pl := place{p.topic, p.id.Partition}
	release, err := m.claim(ctx, pl, nil)
	if err != nil {
		return // the manager is being closed, and with it the group; a restart finds the damage, or what was found does not matter any more
	}
	defer release()
	if m.ByID(p.id) != p {
		return
	}
	if err := m.noteFence(path.Join(m.o.Dir, pl.dir()), reason); err != nil {
		p.logger.Error("cannot note that the replica is fenced: a restart may open it again", "err", err)
	}
	if err := p.group.Close(context.WithoutCancel(ctx)); err != nil {
		p.logger.Warn("fenced replica did not close cleanly", "err", err)
	}
	m.o.changed(p.id)
}

// Reset replaces a fenced replica by an empty one that joins its group anew; it keeps its votes. Only whoever knows that the group has it no
// longer as a member may call it. reason is the one that Fenced told. Errors: ErrNotFenced; after another one it is fenced still, or
// becomes the empty one at the next start.
//
// A crash at any point leaves the fenced replica, or the empty one: the votes say that it joins before its files go, and these go all at
// once.
func (m *Manager) Reset(ctx context.Context, id ID, reason string) error {
	p := m.ByID(id)
	if p == nil || !p.fencedFor(reason) {
		return ErrNotFenced
	}
	pl := place{p.topic, p.id.Partition}
	release, err := m.claim(ctx, pl, nil)
	if err != nil {
		return fmt.Errorf("reset %s: %w", pl.dir(), err)
	}
	defer release()
	if m.ByID(id) != p {
		return ErrNotFenced
	}
	if err := p.close(ctx); ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("reset %s: %w", pl.dir(), err)
	}
	if err := m.forgetFiles(pl, id); err != nil {
		return fmt.Errorf("reset %s: %w", pl.dir(), err)
	}
	p.logger.Info("fenced replica begins anew", "was", reason)
	if err := m.replace(ctx, pl, p); err != nil {
		return fmt.Errorf("reset %s: %w", pl.dir(), err)
	}
	return nil
}

func (p *Partition) fencedFor(reason string) bool {
	why := p.fenced.Load()
	return why != nil && *why == reason
}

func (m *Manager) forgetFiles(pl place, id ID) error {
	if err := m.storage.forgetLog(id); err != nil {
		return err
	}
	target := path.Join(m.o.Dir, resetName(id))
	if err := m.o.FS.RemoveAll(target); err != nil {
		return err
	}
	if err := m.o.FS.Rename(path.Join(m.o.Dir, pl.dir()), target); err != nil {
		return err
	}
	if err := m.o.FS.SyncDir(m.o.Dir); err != nil {
		return err
	}
	return m.o.FS.RemoveAll(target)
}

// removeReset removes what an earlier Reset has left.
func (m *Manager) removeReset(name string) error {
	if !IsReset(name) {
		return nil
	}
	return m.o.FS.RemoveAll(path.Join(m.o.Dir, name))
}
