package replication

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// OpenGroup restores the machine from the log's checkpoint and starts the group; a lone voter leads within milliseconds.
// ErrDamaged when the log is damaged below its synced mark, ErrStateLost when log and votes do not belong together. On an
// error the log is still the caller's.
func (n *Node) OpenGroup(o GroupOptions) (*Group, error) {
	if v, _ := n.votes.get(o.ID); v.joins {
		o.Voters = nil
	}
	g := &Group{
		node: n, options: o, log: o.Log, machine: o.Machine,
		logger:  n.options.Logger.With("group", o.ID.String()),
		started: make(chan struct{}), closed: make(chan struct{}),
	}
	g.members.self = n.options.Self
	g.members.reset(newMembership(0, raft.Configuration{}, n.options.Self))
	g.store.g, g.store.log, g.store.members = g, o.Log, &g.members
	if n.wrapLog != nil {
		g.store.log = n.wrapLog(o.Log)
	}
	g.store.tail.cache = &n.cache
	g.snapshots.g = g
	g.proposals.closed = ErrNotLeader

	for _, step := range []func() error{g.checkIntact, g.bootstrap, g.restore, g.checkVotes, g.start} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("open group %s: %w", g, err)
		}
	}
	n.opened(g)
	return g, nil
}

// checkIntact refuses a log that has lost something that it had promised to keep.
func (g *Group) checkIntact() error {
	if d := g.log.Recovery().Damage; len(d) > 0 {
		return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(d, "; "))
	}
	c, ok := g.log.Checkpoint()
	last := g.log.LastIndex()
	if ok && last < c.Index {
		return fmt.Errorf("%w: it ends at entry %d, its checkpoint is at %d", ErrDamaged, last, c.Index)
	}
	v, _ := g.node.votes.get(g.options.ID)
	if v.bootstrapped && last == 0 && !ok {
		return fmt.Errorf("%w: it took part up to term %d, but the log is empty", ErrStateLost, v.term)
	}
	return nil
}

// bootstrap writes a new group's first entry, its configuration. The log is durable before the mark that says it was there.
func (g *Group) bootstrap() error {
	if g.log.LastIndex() > 0 || len(g.options.Voters) == 0 {
		return nil
	}
	if _, ok := g.log.Checkpoint(); ok {
		return nil
	}
	data := raft.EncodeConfiguration(bootstrapConfiguration(g.options.Voters))
	entry := segment.Entry{Index: 1, Term: 1, Kind: segment.Kind(raft.LogConfiguration), Data: data}
	if err := g.log.Append([]segment.Entry{entry}, false); err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	return nil
}

// restore brings back the state at the checkpoint, and what is known of the log above it.
func (g *Group) restore() error {
	c, ok := g.log.Checkpoint()
	var state checkpointState
	if ok {
		var err error
		if state, err = decodeState(c.State); err != nil {
			return fmt.Errorf("%w: checkpoint at entry %d: %w", ErrDamaged, c.Index, err)
		}
		g.members.reset(newMembership(state.configIndex, state.config, g.node.options.Self))
		g.configured.Store(uint64(state.configIndex))
	}
	if err := g.machine.Restore(state.machine); err != nil {
		return fmt.Errorf("restore the state of entry %d: %w", c.Index, err)
	}
	g.applied, g.appliedTerm, g.end = c.Index, c.Term, c.End
	g.store.deliverable = c.Index
	return g.replay()
}

// replay reads the headers above the checkpoint. With one voter everything in the log is committed, since nobody else could
// ever have decided otherwise: the machine gets it here, and Raft is told of a checkpoint at the log's end, so that it does
// not read all of it again. With several, Raft finds out what is committed and applies it.
func (g *Group) replay() error {
	var trimmed trims
	batches, term, err := g.readTail(&trimmed)
	if err != nil {
		return err
	}
	m := g.members.newest.Load()
	if !m.lone {
		return nil
	}
	for len(batches) > 0 {
		n := min(len(batches), MaxInFlight)
		g.deliver(batches[:n])
		batches = batches[n:]
	}
	g.trim(&trimmed)
	if last := g.log.LastIndex(); last > g.applied {
		g.applied, g.appliedTerm = last, term
	}
	g.configured.Store(uint64(m.index))
	g.snapshots.opening = snapshotMeta(g.applied, g.appliedTerm, m.index, m.config)
	return nil
}

// readTail notes the configurations and trims above the checkpoint and returns the batches and the last entry's term.
func (g *Group) readTail(trimmed *trims) (batches []Committed, term segment.Term, err error) {
	last := g.log.LastIndex()
	for i := g.applied + 1; i <= last; i++ {
		e, err := g.log.ReadEntry(i, true)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: read entry %d: %w", ErrDamaged, i, err)
		}
		term = e.Term
		switch e.Kind {
		case segment.Kind(raft.LogConfiguration):
			err = g.members.add(i, e.Data)
			g.store.deliverable = i
		case kindTrim:
			err = trimmed.add(e.Data, proposal{})
			g.store.deliverable = i
		case segment.KindBatch:
			var h batch.Header
			h, err = batch.ParseHeader(e.Data)
			batches = append(batches, Committed{Index: i, Term: e.Term, Header: h})
			g.store.deliverable = i
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%w: entry %d: %w", ErrDamaged, i, err)
		}
	}
	return batches, term, nil
}

// checkVotes sees to it that the group never acts in a term that its log has left behind. A log of the first entry alone is a
// bootstrap that a crash cut short: Raft was never opened on it.
func (g *Group) checkVotes() error {
	last := g.log.LastIndex()
	if last == 0 {
		return nil // it joins a group that others have founded
	}
	term := g.appliedTerm
	if last > g.applied {
		var err error
		if term, err = g.log.Term(last); err != nil {
			return fmt.Errorf("term of entry %d: %w", last, err)
		}
	}
	v, _ := g.node.votes.get(g.options.ID)
	if v.term < uint64(term) && last > 1 && !g.members.newest.Load().lone {
		return fmt.Errorf("%w: the log is of term %d, the votes of term %d", ErrStateLost, term, v.term)
	}
	err := g.node.votes.update(g.options.ID, func(v *vote) {
		v.term, v.bootstrapped = max(v.term, uint64(term)), true
	})
	g.marked.Store(err == nil)
	return err
}

func (g *Group) raftConfig() *raft.Config {
	t := g.node.timing
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(g.node.options.Self)
	c.HeartbeatTimeout, c.ElectionTimeout = t.heartbeat, t.heartbeat
	c.LeaderLeaseTimeout, c.CommitTimeout = t.lease, t.commit
	c.MaxAppendEntries, c.BatchApplyCh = MaxInFlight, true
	c.ShutdownOnRemove = false
	// The library takes no snapshot and truncates nothing: checkpoints are the group's.
	c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = 365*24*time.Hour, math.MaxInt64, math.MaxInt64
	c.NoSnapshotRestoreOnStart = true
	c.NoLegacyTelemetry = true
	c.Logger = newRaftLogger(g.logger)
	return c
}

// start opens Raft. A lone voter is made to stand for election at once, for nobody else will ever lead.
func (g *Group) start() error {
	if make := g.node.options.Transport; make != nil {
		g.transport = make(g.options.ID)
		g.peers, _ = g.transport.(peers)
	} else {
		g.lone = newLoneTransport(g.node.options.Self)
		g.transport = g.lone
	}
	if g.peers != nil {
		g.peers.Fresh(func() bool { return g.log.LastIndex() <= 1 })
		g.peers.OnMatch(g.matched)
	}
	stable := stableStore{g.node.votes, g.options.ID}
	g.store.headerOnly.Store(true)
	r, err := raft.NewRaft(g.raftConfig(), &fsm{g: g}, &g.store, stable, &g.snapshots, g.transport)
	if err != nil {
		return fmt.Errorf("open raft: %w", err)
	}
	g.store.headerOnly.Store(false)
	g.snapshots.opening = nil
	g.raft = r
	r.RegisterObserver(raft.NewObserver(nil, false, g.observe))
	close(g.started)
	if g.members.newest.Load().lone {
		if err := g.kick(); err != nil {
			return errors.Join(err, r.Shutdown().Error())
		}
	}
	return nil
}

// kick makes a follower that has heard of no leader since it was opened stand for election: shortening the heartbeat
// timeout, by whatever little, makes the library look at it now.
func (g *Group) kick() error {
	c := g.raft.ReloadableConfig()
	c.HeartbeatTimeout -= time.Millisecond
	if err := g.raft.ReloadConfig(c); err != nil {
		return fmt.Errorf("call an election: %w", err)
	}
	return nil
}
