package partition

import (
	"errors"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
)

// storage is where a manager's partitions have their log and their Raft group.
type storage interface {
	// open opens p's log in dir and, unless that is damaged, its group.
	open(p *Partition, dir string, s Spec) error
	dropVotes(id ID) error
}

// segmentStorage is segment files and Raft.
type segmentStorage struct {
	o     Options
	m     *Manager
	files *segment.OpenFiles // nil: each log keeps its own
}

func (st *segmentStorage) dropVotes(id ID) error { return st.o.Node.DropVotes(id) }

func (st *segmentStorage) open(p *Partition, dir string, s Spec) error {
	if err := replication.FinishInstall(st.o.FS, dir, keptNames...); err != nil {
		return err
	}
	log, err := segment.Open(dir, segment.Options{
		FS: st.o.FS, Flusher: st.o.Flusher, Files: st.files, Now: st.o.Now, Logger: p.logger,
		SegmentBytes: s.Config.SegmentBytes, SegmentAge: s.Config.SegmentAge,
	})
	if err != nil {
		return err
	}
	p.log, p.self = log, st.o.Node.Self()
	group, err := st.o.Node.OpenGroup(replication.GroupOptions{
		ID: s.ID, Log: log, Voters: s.Voters, Machine: (*machine)(p), Changed: func() { st.o.changed(s.ID) }, Matched: p.confirm,
		FarBehind: func(leader replication.ServerID, _ segment.Index) { st.m.farBehind(s.ID, leader) },
	})
	switch {
	case errors.Is(err, replication.ErrDamaged) || errors.Is(err, replication.ErrStateLost):
		p.fence(err.Error(), s.Only)
		return nil
	case err != nil:
		return errors.Join(err, log.Close())
	}
	p.group = group
	return nil
}

// fence opens p without a group, since its log is damaged below what was known to be durable, or gone: nothing is appended to
// it or cut from it. Where it is the only replica, what lies below the damage can be read: all of it was committed.
func (p *Partition) fence(damage string, only bool) {
	p.damaged = true
	if !only {
		p.role.Store(roleDamaged)
		p.logger.Error("replica is fenced: its log is damaged", "damage", damage)
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
	p.logger.Error("the only replica is read-only: its log is damaged", "damage", damage, "readable_up_to", end)
}
