package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

// GroupOptions of OpenGroup.
type GroupOptions struct {
	ID  GroupID
	Log *segment.Log // the group owns it until Close, but for reads
	// Voters is the group's first configuration, used only where neither the log nor the votes know of any.
	Voters  []ServerID
	Machine Machine
	// FarBehind is told that this replica needs entries up to index that leader no longer has one by one: its files must be
	// pulled with Install and the group opened again. It is called again until that is done, and must not block. nil: nobody.
	FarBehind func(leader ServerID, index segment.Index)
	// Changed is told that the group's role, leader, term or members may have changed. It may be called by any goroutine, with
	// locks held, and must not block or call the group. nil: nobody.
	Changed func()
	// Broken is told that the log was found to be damaged, or takes no more writes, while there are other members: the group is to be closed. It may be
	// called by any goroutine, more than once, and must not block. nil: nobody.
	Broken func(err error)
	// Matched is told, where this server leads, that a follower may have more of the log: see Confirmed. It must not block. nil: nobody.
	Matched func()
}

// Group is one partition's Raft group on this broker.
//
// What always holds:
//   - The machine has been given exactly the batches up to applied, once each and in order; all of them are committed.
//   - applied goes up by one of two ways: where Raft applies, on its FSM goroutine; or, where this server leads as the only
//     voter, right after storing, on the goroutine that stored (a store by the only voter is the commit). The second is
//     taken only when nothing below is left for the first, and the first skips what the second has done.
//   - Proposals are taken only between Leading(true) and Leading(false).
//
// Who owns what: Raft's main goroutine alone stores and truncates (logStore, members). leading, applied and what goes with
// them belong to whoever holds applyMu, proposals to whoever holds their lock.
//
// Lock order: proposing, then the proposals' lock; checkpointing, then applyMu, then the machine's own locks, the
// proposals' lock, members.mu or that of moves. Propose, Leader, Voters and Status never wait for applyMu.
type Group struct {
	node      *Node
	options   GroupOptions
	log       *segment.Log
	machine   Machine
	logger    *slog.Logger
	members   members
	store     logStore
	snapshots snapshotStore
	transport raft.Transport
	lone      *loneTransport // transport, if it is one
	peers     peers          // else transport
	lag       lag
	raft      *raft.Raft
	started   chan struct{} // closed when raft may be used

	proposing sync.Mutex // held while a proposal is enqueued: keeps the order
	proposals proposals

	applyMu      sync.Mutex // guards what follows and is held while the machine is called
	applied      segment.Index
	appliedTerm  segment.Term
	end          segment.Offset // after the last applied record
	sinceBytes   int            // committed since the last checkpoint
	sinceEntries int
	leading      segment.Term // the term in which this server leads, 0: it does not
	announced    bool         // the machine knows that it leads
	batches      []Committed  // reused between calls of Commit

	serving    atomic.Uint64 // the term in which the machine knows that it leads, 0: it does not; written under applyMu
	deserted   atomic.Uint64 // the newest term in which a voter is known to have voted for another: see Deserted
	configured atomic.Uint64 // index of the newest configuration that was applied
	changing   atomic.Bool   // a change of the members is under way
	moves      moves

	marked        atomic.Bool // the votes say that the group had a log
	checkpointDue atomic.Bool
	checkpointing sync.Mutex // held while a checkpoint is written; guards stopped
	stopped       bool

	lifeMu   sync.Mutex    // guards what follows; a leaf
	barrier  chan struct{} // closed when the last barrier was answered; nil: there was none
	regain   *time.Timer   // a lone voter's next attempt to lead; nil: none
	closing  bool
	closed   chan struct{} // closed when Close is done
	closeErr error
}

// Leader says who leads as far as this broker knows ("" nobody) and in which term.
func (g *Group) Leader() (ServerID, segment.Term) {
	_, id := g.raft.LeaderWithID()
	return ServerID(id), segment.Term(g.raft.CurrentTerm())
}

// Voters lists the voters of the newest configuration. The slice is shared: it must not be changed.
func (g *Group) Voters() []ServerID { return g.members.newest.Load().voters }

// String names the group for logs.
func (g *Group) String() string { return g.options.ID.String() }

// Close writes a checkpoint if records came since the last, stops Raft and closes the log cleanly. Proposals under way fail. When ctx ends first, closing
// goes on, and a second call waits for it.
func (g *Group) Close(ctx context.Context) error {
	g.lifeMu.Lock()
	if !g.closing {
		g.closing = true
		if g.regain != nil {
			g.regain.Stop()
		}
		go func() {
			defer close(g.closed)
			g.closeErr = g.shutdown()
		}()
	}
	g.lifeMu.Unlock()
	select {
	case <-g.closed:
		return g.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close group %s: %w", g, ctx.Err())
	}
}

func (g *Group) shutdown() error {
	g.node.closed(g)
	g.awaitBarrier()
	down := g.raft.Shutdown()
	if c, ok := g.transport.(raft.WithClose); ok {
		_ = c.Close() // the library waits for what is under way to its peers, and closes the transport only then
	}
	err := down.Error()
	g.lost() // a proposal may have come in between
	g.store.tail.truncateAfter(0)

	g.checkpointing.Lock()
	defer g.checkpointing.Unlock()
	g.stopped = true
	err = errors.Join(err, g.finalCheckpoint(), g.log.Close())
	if err != nil {
		return fmt.Errorf("close group %s: %w", g, err)
	}
	return nil
}

// awaitBarrier gives a new leader's barrier the time to come through: at a shutdown the library forgets what waits for its
// FSM goroutine, and whoever waits for that would wait for ever. Without a majority it does not come through, and the
// library then answers it.
func (g *Group) awaitBarrier() {
	g.lifeMu.Lock()
	barrier := g.barrier
	g.lifeMu.Unlock()
	if barrier == nil {
		return
	}
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-barrier:
	case <-t.C:
	}
}

// Broken tells that the log was found to be damaged, or takes no more writes. A group without other members goes on as long as it can: there is
// nobody to copy from.
func (g *Group) Broken(err error) {
	if m := g.members.newest.Load(); g.options.Broken != nil && !m.lone && len(m.voters) > 0 {
		g.options.Broken(err)
	}
}

// farBehind is called on Raft's main goroutine.
func (g *Group) farBehind(i segment.Index) {
	if g.options.FarBehind != nil {
		leader, _ := g.Leader()
		g.options.FarBehind(leader, i)
	}
}

// markBootstrapped makes it durable that the group has had a log.
func (g *Group) markBootstrapped() error {
	if g.marked.Load() {
		return nil
	}
	if err := g.node.votes.update(g.options.ID, func(v *vote) { v.bootstrapped = true }); err != nil {
		return err
	}
	g.marked.Store(true)
	return nil
}
