package partition

import (
	"errors"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
)

// storage is where a manager's partitions have their log and their Raft group.
type storage interface {
	// open opens p's log in dir and, unless that is damaged or p is to be fenced, its group.
	open(p *Partition, dir string, s Spec) error
	dropVotes(id ID) error
	// forgetLog makes it durable that the group's log is gone, and that it is to join others. The votes stay.
	forgetLog(id ID) error
}

// segmentStorage is segment files and Raft.
type segmentStorage struct {
	o     Options
	m     *Manager
	files *segment.OpenFiles // nil: each log keeps its own
}

func (st *segmentStorage) dropVotes(id ID) error { return st.o.Node.DropVotes(id) }

func (st *segmentStorage) forgetLog(id ID) error { return st.o.Node.ForgetLog(id) }

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
	if reason := p.fenced.Load(); reason != nil {
		p.fence(*reason, s.Only)
		return nil
	}
	group, err := st.o.Node.OpenGroup(replication.GroupOptions{
		ID: s.ID, Log: log, Voters: s.Voters, Machine: (*machine)(p), Changed: func() { st.o.changed(s.ID) }, Matched: p.confirm,
		Broken:    func(err error) { p.broken(st.m, err) },
		FarBehind: func(leader replication.ServerID, _ segment.Index) { st.m.farBehind(s.ID, leader) },
	})
	switch {
	case errors.Is(err, replication.ErrDamaged) || errors.Is(err, replication.ErrStateLost):
		reason := st.m.reasonNow(err.Error())
		if !s.Only {
			if err := st.m.noteFence(dir, reason); err != nil {
				p.logger.Error("cannot note that the replica is fenced", "err", err)
			}
		}
		p.fence(reason, s.Only)
		return nil
	case err != nil:
		return errors.Join(err, log.Close())
	}
	p.group = group
	return nil
}
