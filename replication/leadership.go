package replication

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// Propose gives data, one validated record batch, to the group for good: nobody may touch it again but the group. Proposals
// keep their order. failed is called exactly once when the outcome is known to be a failure, possibly before Propose
// returns; a success is told by Machine.Commit with the same slice. It does not block while fewer than MaxInFlight
// proposals are under way, which the caller sees to. stored, if any, is told with the batch's stamped header that this server has stored it;
// not where that is the commit.
//
// Failures are ErrNotLeader and ErrClosed (it is not in the log), ErrUnknownOutcome (it may still commit), or the error of a
// store that has left nothing in the log.
func (g *Group) Propose(data []byte, stored func(batch.Header), failed func(error)) {
	g.propose(proposal{data: data, stored: stored, failed: failed})
}

func (g *Group) propose(p proposal) {
	g.proposing.Lock()
	err := g.proposals.push(p)
	if err == nil {
		// The future is not waited for: what becomes of the proposal is seen where it is stored, committed or lost.
		g.raft.ApplyLog(raft.Log{Data: p.data}, 0)
	}
	g.proposing.Unlock()
	if err != nil {
		p.failed(err)
	}
}

// leads says whether this server leads in term, as Raft's main goroutine sees it.
func (g *Group) leads(term uint64) bool {
	return g.raft.State() == raft.Leader && g.raft.CurrentTerm() == term
}

// storedAsLeader follows a store by the leader, on Raft's main goroutine. lone: this server is the only voter. before is the newest
// entry below logs that Raft applies.
//
// The only voter's store is the commit. A configuration that brings in another voter has been noted before this is called,
// so neither it nor anything after it is committed here; and where other voters have just left, what they had not confirmed is still
// on its way through Raft, and is waited for.
func (g *Group) storedAsLeader(logs []*raft.Log, lone bool, before segment.Index) {
	g.applyMu.Lock()
	settled := lone && g.applied >= before
	var refused []proposal
	if settled {
		refused = g.commit(logs)
	}
	g.applyMu.Unlock()
	fail(refused, ErrNotLeader)
	if !settled {
		g.tellStored(logs)
	}
	if logs[0].Type == raft.LogNoop {
		g.gained(segment.Term(logs[0].Term), settled)
	}
}

// tellStored tells those who want to know it of batches that are stored.
func (g *Group) tellStored(logs []*raft.Log) {
	for _, p := range g.proposals.wanting(logs) {
		h, err := batch.ParseHeader(p.data)
		if err != nil { // the log would not have stored it
			panic(fmt.Errorf("group %s: stored batch: %w", g, err))
		}
		p.stored(h)
	}
}

// gained follows the store of a new leader's no-op. settled: the no-op is committed, and everything below it applied.
// Otherwise a barrier tells when that is so.
func (g *Group) gained(term segment.Term, settled bool) {
	g.applyMu.Lock()
	g.leading, g.announced = term, false
	g.applyMu.Unlock()
	if settled {
		g.announce(term)
	} else {
		g.startBarrier(term)
	}
	if !g.leads(uint64(term)) { // lost before leading was set: observe found nothing to lose
		g.lost()
	}
}

func (g *Group) announce(term segment.Term) {
	g.applyMu.Lock()
	defer g.applyMu.Unlock()
	if g.leading != term || g.announced || g.deserted.Load() > uint64(term) {
		return
	}
	g.announced = true
	g.serving.Store(uint64(term))
	g.proposals.open() // before the machine hears of it, and lets anybody in
	g.machine.Leading(true, term)
	g.changed()
}

// startBarrier announces the leadership when the barrier comes back. Close waits for the goroutine (awaitBarrier).
func (g *Group) startBarrier(term segment.Term) {
	g.lifeMu.Lock()
	defer g.lifeMu.Unlock()
	if g.closing {
		return
	}
	answered := make(chan struct{})
	g.barrier = answered
	go func() {
		defer close(answered)
		if g.raft.Barrier(0).Error() == nil {
			g.announce(term)
		}
	}()
}

// observe is called by Raft, on the goroutine that changes its state. Nothing is ever sent to a channel.
func (g *Group) observe(o *raft.Observation) bool {
	if state, ok := o.Data.(raft.RaftState); ok && state != raft.Leader {
		g.lost()
	}
	switch o.Data.(type) {
	case raft.RaftState, raft.LeaderObservation:
		g.changed()
	}
	return false
}

// lost ends the leadership, if there is one: this server does not serve in its term again. What is under way may have been stored, or
// be stored yet.
func (g *Group) lost() {
	why := ErrNotLeader
	if g.raft.State() == raft.Shutdown {
		why = ErrClosed
	}
	g.applyMu.Lock()
	left := g.proposals.shut(why)
	term, announced := g.leading, g.announced
	g.leading, g.announced = 0, false
	g.serving.Store(0)
	if announced {
		g.machine.Leading(false, term)
	}
	fail(left, ErrUnknownOutcome)
	g.applyMu.Unlock()
	if term != 0 {
		g.resign(uint64(term))
	}
	g.changed()
}

// resign lets the voters vote for another at once.
func (g *Group) resign(term uint64) {
	if g.peers != nil {
		g.peers.Resign(term)
	}
}

// regainAfter is how long a lone voter waits before it stands for election again after a failed store.
const regainAfter = 500 * time.Millisecond

func failedForGood(err error) bool {
	return errors.Is(err, segment.ErrFailed) || errors.Is(err, segment.ErrDamaged) || errors.Is(err, segment.ErrClosed)
}

// storeFailed follows a failed store by the leader, who steps down for it. Nothing of it is in the log, unless the log has
// failed for good. A lone voter tries again, since the disk may have room by then.
func (g *Group) storeFailed(logs []*raft.Log, err error) {
	told := err
	forGood := failedForGood(err)
	if forGood {
		told = errors.Join(ErrUnknownOutcome, err)
	}
	g.logger.Warn("cannot store, no longer leading", "err", err)
	taken := g.proposals.take(func(yield func([]byte) bool) {
		for _, l := range logs {
			if l.Type == raft.LogCommand && !yield(l.Data) {
				return
			}
		}
	})
	fail(taken, told)
	g.changed()
	if logs[0].Type == raft.LogNoop { // it leads, but lost() does not know it
		g.resign(logs[0].Term)
	}
	if forGood || !g.members.newest.Load().lone {
		return
	}
	g.lifeMu.Lock()
	defer g.lifeMu.Unlock()
	if !g.closing {
		g.regain = time.AfterFunc(regainAfter, func() { g.stand(0) })
	}
}
