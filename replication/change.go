package replication

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

// Errors of changes to a group's members.
var (
	// ErrChangeUnderWay: the newest configuration is not committed yet; there is one change at a time.
	ErrChangeUnderWay = errors.New("a change of the group's members is under way")
	ErrNoMember       = errors.New("not a member of the group, or without a vote")
)

// AddLearner makes id a member without a vote, which gets the log; nothing where it is a member already. It returns when that
// is committed. Errors: ErrNotLeader, ErrChangeUnderWay, ErrClosed, ErrUnknownOutcome (it may yet be committed), which is also what
// comes when ctx ends first.
func (g *Group) AddLearner(ctx context.Context, id ServerID) error {
	return g.change(ctx, "add learner", id, (*membership).has, func(prev uint64, wait time.Duration) {
		g.raft.AddNonvoter(id, raft.ServerAddress(id), prev, wait)
	})
}

// Promote gives a learner a vote. Errors as of AddLearner, and ErrNoMember.
func (g *Group) Promote(ctx context.Context, id ServerID) error {
	if !g.members.newest.Load().has(id) {
		return fmt.Errorf("promote %s: %w", id, ErrNoMember)
	}
	return g.change(ctx, "promote", id, (*membership).votes, func(prev uint64, wait time.Duration) {
		g.raft.AddVoter(id, raft.ServerAddress(id), prev, wait)
	})
}

// Remove takes a member out, which may be this server: it leads until that is committed. The last voter cannot be removed. Errors as
// of AddLearner.
func (g *Group) Remove(ctx context.Context, id ServerID) error {
	if v := g.members.newest.Load().voters; len(v) == 1 && v[0] == id {
		return fmt.Errorf("remove %s: it is the only voter of group %s", id, g)
	}
	gone := func(m *membership, id ServerID) bool { return !m.has(id) }
	return g.change(ctx, "remove", id, gone, func(prev uint64, wait time.Duration) { g.raft.RemoveServer(id, prev, wait) })
}

// changeTime is how long a change may wait for Raft's main goroutine where ctx sets no limit.
const changeTime = 10 * time.Second

// change makes one change of the configuration and waits until it is committed. ask gives it to Raft, which refuses it where the
// configuration is no longer the one that was looked at.
//
// The library's future is not waited for, since some are never answered at a shutdown: what becomes of the change is seen where
// it is stored and committed.
func (g *Group) change(
	ctx context.Context, what string, id ServerID, done func(*membership, ServerID) bool, ask func(prev uint64, wait time.Duration),
) error {
	term := g.serving.Load()
	m := g.members.newest.Load()
	switch {
	case term == 0:
		return fmt.Errorf("%s %s: %w", what, id, ErrNotLeader)
	case !g.settled(m) || !g.changing.CompareAndSwap(false, true):
		return fmt.Errorf("%s %s: %w", what, id, ErrChangeUnderWay)
	}
	defer g.changing.Store(false)
	if done(m, id) {
		return nil
	}
	wait := changeTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Until(deadline), time.Millisecond)
	}
	ask(uint64(m.index), wait) // a store under way is waited for
	err := g.awaitMove(ctx, func() (bool, error) {
		now := g.members.newest.Load()
		switch {
		case done(now, id) && g.settled(now):
			return true, nil
		case g.serving.Load() != term:
			return true, ErrUnknownOutcome
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}

// awaitMove waits until check, which is asked again at each move of the group, says that it is so; ErrUnknownOutcome when ctx ends
// first.
func (g *Group) awaitMove(ctx context.Context, check func() (bool, error)) error {
	for {
		moved := g.moves.next()
		if ok, err := check(); ok {
			return err
		}
		select {
		case <-moved:
		case <-g.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
		}
	}
}

const (
	// drainTime is how long a leader that hands over waits for what is under way. What is not committed by then ends in doubt.
	drainTime = 500 * time.Millisecond
	// transferTime is how long the other may take to be elected.
	transferTime = 2 * time.Second
)

// Transfer hands the leadership to another voter: this server stops serving, lets what is under way come through, brings the other up to its
// log's end and has it elected. It returns when this server no longer leads. Where that takes more than 2.5 s this server stands for election in a
// later term, since in this one the other may still win; when it is elected it serves again.
//
// Errors: ErrNotLeader, ErrNoMember, ErrClosed, and ErrUnknownOutcome where the other did not take over in time, or ctx ended.
func (g *Group) Transfer(ctx context.Context, to ServerID) error {
	term := segment.Term(g.serving.Load())
	switch {
	case term == 0:
		return fmt.Errorf("hand over to %s: %w", to, ErrNotLeader)
	case to == g.node.options.Self || !g.members.newest.Load().votes(to):
		return fmt.Errorf("hand over to %s: %w", to, ErrNoMember)
	}
	g.pause(ctx, term)
	if g.peers != nil {
		g.peers.HandOver(uint64(term))
	}
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	if err := g.handOver(ctx, uint64(term), to); err != nil {
		if g.leads(uint64(term)) {
			g.stand(0)
		}
		return fmt.Errorf("hand over to %s: %w", to, err)
	}
	return nil
}

// handOver has Raft hand over once the other has the whole log, and again where that came to nothing: the library gives up at the first hitch, and
// would ask the other to stand for election before its last entries have arrived. The future is not waited for: the role tells.
func (g *Group) handOver(ctx context.Context, term uint64, to ServerID) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		moved := g.moves.next()
		if !g.leads(term) {
			return nil
		}
		if match, _ := g.Match(to); match == g.log.LastIndex() {
			g.raft.LeadershipTransferToServer(to, raft.ServerAddress(to)) // refused while one is under way
		}
		select {
		case <-moved:
		case <-again.C:
		case <-g.closed:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
		}
	}
}

// pause stops serving and waits a moment for what is under way, which is still committed. Nothing new comes in.
func (g *Group) pause(ctx context.Context, term segment.Term) {
	g.applyMu.Lock()
	if g.leading == term && g.announced {
		g.proposals.refuse(ErrNotLeader)
		g.serving.Store(0)
		g.announced = false
		g.machine.Leading(false, term)
	}
	g.applyMu.Unlock()
	waiting, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	_ = g.awaitMove(waiting, func() (bool, error) { return g.proposals.empty(), nil }) // what is left is lost to its producers
	g.lost()
}

// moves is closed and made anew whenever something of a group has moved that somebody may wait for.
type moves struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

func (m *moves) next() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ch == nil {
		m.ch = make(chan struct{})
	}
	return m.ch
}

func (m *moves) signal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ch != nil {
		close(m.ch)
		m.ch = nil
	}
}

// changed tells whoever waits, and whoever follows the group, that its role, leader, term or members may have moved.
func (g *Group) changed() {
	g.moves.signal()
	if g.options.Changed != nil {
		g.options.Changed()
	}
}
