package replication

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// fsm is what Raft applies committed entries to.
type fsm struct {
	g    *Group
	nils []any // answers; Raft's FSM goroutine is done with them before it calls again
}

var errNoSnapshots = errors.New("checkpoints are written by the group, not by the library")

// ApplyBatch commits batches and configurations in log order.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.g.applyMu.Lock()
	refused := f.g.commit(logs)
	f.g.applyMu.Unlock()
	fail(refused, ErrNotLeader)
	if p := f.g.peers; p != nil {
		p.Committed(logs[len(logs)-1].Index)
	}
	for len(f.nils) < len(logs) {
		f.nils = append(f.nils, nil)
	}
	return f.nils[:len(logs)]
}

// Apply commits one entry.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot is never asked for.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return nil, errNoSnapshots }

// Restore has nothing to do: a checkpoint is accepted only where it has been applied, see snapshotStore.Create.
func (f *fsm) Restore(io.ReadCloser) error { return nil }

// commit gives the machine the batches of logs that it has not had, and moves the log start offset where logs say so. It returns
// proposals found to have been refused. applyMu is held.
func (g *Group) commit(logs []*raft.Log) (refused []proposal) {
	last := logs[len(logs)-1]
	if segment.Index(last.Index) <= g.applied {
		return nil
	}
	var trimmed trims
	configured := g.configured.Load()
	g.proposals.mu.Lock()
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			configured = l.Index
		}
		if l.Type != raft.LogCommand || segment.Index(l.Index) <= g.applied {
			continue
		}
		p, mine, passed := g.proposals.committed(l.Data)
		refused = append(refused, passed...)
		if isTrim(l.Data) {
			if err := trimmed.add(l.Data, p); err != nil { // the log would not have stored it
				panic(fmt.Errorf("group %s: committed entry %d: %w", g, l.Index, err))
			}
			continue
		}
		g.batches = append(g.batches, g.committed(l, mine))
	}
	g.proposals.mu.Unlock()
	g.applied, g.appliedTerm = segment.Index(last.Index), segment.Term(last.Term)
	g.deliver(g.batches)
	clear(g.batches) // let go of the data
	g.batches = g.batches[:0]
	g.trim(&trimmed)
	if configured != g.configured.Swap(configured) {
		g.changed()
	} else {
		g.moves.signal()
	}
	return refused
}

func (g *Group) committed(l *raft.Log, mine bool) Committed {
	h, err := batch.ParseHeader(l.Data)
	if err != nil { // the log would not have stored it
		panic(fmt.Errorf("group %s: committed entry %d: %w", g, l.Index, err))
	}
	c := Committed{Index: segment.Index(l.Index), Term: segment.Term(l.Term), Header: h}
	if mine {
		c.Data = l.Data
	}
	return c
}

// deliver calls the machine, and asks for a checkpoint when it is time. applyMu is held, or nobody else knows the group yet.
func (g *Group) deliver(batches []Committed) {
	if len(batches) == 0 {
		return
	}
	for i := range batches {
		g.sinceBytes += batches[i].Header.Size()
	}
	g.sinceEntries += len(batches)
	g.end = batches[len(batches)-1].Header.Next()
	g.machine.Commit(batches)
	if g.sinceBytes >= checkpointBytes || g.sinceEntries >= checkpointEntries {
		if g.checkpointDue.CompareAndSwap(false, true) {
			g.node.requestCheckpoint(g)
		}
	}
}

func (g *Group) appliedIndex() segment.Index {
	g.applyMu.Lock()
	defer g.applyMu.Unlock()
	return g.applied
}

func fail(ps []proposal, err error) {
	for _, p := range ps {
		p.failed(err)
	}
}
