package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rig is several brokers of a test, connected by calls of functions.
type rig struct {
	t       *testing.T
	brokers []*broker
	wg      sync.WaitGroup

	mu     sync.Mutex
	cut    map[[2]ServerID]bool // from, to
	gossip map[[2]ServerID]int  // messages taken
	asking map[[2]ServerID]int  // calls of an elector under way
	most   int                  // of them between two
}

// broker is a fake of what cluster needs of one.
type broker struct {
	rig  *rig
	id   ServerID
	c    *Cluster
	stop context.CancelFunc

	mu       sync.Mutex
	groups   map[ID]*fakeGroup
	fenced   map[ID]string
	dead     map[ServerID]bool
	promised map[ServerID]time.Duration
}

// fakeGroup wins every election at once, if others can be reached that are a majority with it.
type fakeGroup struct {
	b      *broker
	id     ID
	s      Status
	inSync []ServerID
	called int
	deaf   bool // it does not stand
}

func serverID(n int) ServerID { return ServerID(fmt.Sprintf("%d-x", n)) }

// newRig makes n brokers with ids from 1, which know each other and run.
func newRig(t *testing.T, n int) *rig {
	r := &rig{t: t, cut: map[[2]ServerID]bool{}, gossip: map[[2]ServerID]int{}, asking: map[[2]ServerID]int{}}
	for i := range n {
		r.brokers = append(r.brokers, r.start(serverID(i+1)))
	}
	for _, b := range r.brokers {
		b.c.SetMembers(r.ids())
	}
	t.Cleanup(func() {
		for _, b := range r.brokers {
			b.stop()
		}
		r.wg.Wait()
	})
	return r
}

func (r *rig) start(id ServerID) *broker {
	b := &broker{
		rig: r, id: id, groups: map[ID]*fakeGroup{}, fenced: map[ID]string{}, dead: map[ServerID]bool{}, promised: map[ServerID]time.Duration{},
	}
	b.c = New(Options{Self: id, Groups: (*brokerGroups)(b), Peers: (*brokerPeers)(b)})
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	r.wg.Go(func() { b.c.Run(ctx) })
	return b
}

func (r *rig) ids() (ids []ServerID) {
	for _, b := range r.brokers {
		ids = append(ids, b.id)
	}
	return ids
}

func (r *rig) broker(id ServerID) *broker {
	for _, b := range r.brokers {
		if b.id == id {
			return b
		}
	}
	return nil
}

// restart replaces a broker by a new process of it that knows nothing.
func (r *rig) restart(i int) *broker {
	r.brokers[i].stop()
	b := r.start(r.brokers[i].id)
	r.mu.Lock()
	r.brokers[i] = b
	r.mu.Unlock()
	b.c.SetMembers(r.ids())
	return b
}

// isolate cuts a broker off, or mends that. Nobody is told.
func (r *rig) isolate(cut bool, id ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.brokers {
		r.cut[[2]ServerID{b.id, id}], r.cut[[2]ServerID{id, b.id}] = cut, cut
	}
}

// tell tells all others that a broker has died or come alive, and it the same of them.
func (r *rig) tell(alive bool, id ServerID) {
	for _, b := range r.brokers {
		if b.id != id {
			b.onPeer(id, alive)
			r.broker(id).onPeer(b.id, alive)
		}
	}
}

func (b *broker) onPeer(id ServerID, alive bool) {
	b.mu.Lock()
	b.dead[id] = !alive
	b.mu.Unlock()
	b.c.OnPeer(id, alive)
}

// open opens a group on all brokers, in state s but for what a broker is in it.
func (r *rig) open(id ID, s Status, leader ServerID) {
	s.Voters, s.Leader = r.ids(), leader
	for _, b := range r.brokers {
		g := &fakeGroup{b: b, id: id, s: s, inSync: r.ids()}
		if b.id == leader {
			g.s.State, g.s.Serves = Leader, true
		}
		b.mu.Lock()
		b.groups[id] = g
		b.mu.Unlock()
		b.c.Touch(id)
	}
}

func (b *broker) set(id ID, change func(*fakeGroup)) {
	b.mu.Lock()
	change(b.groups[id])
	b.mu.Unlock()
	b.c.Touch(id)
}

func (b *broker) group(id ID) fakeGroup {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[id]; g != nil {
		return *g
	}
	return fakeGroup{}
}

func (b *broker) leader(id ID) int32 {
	if l, ok := b.c.Leaders.Lookup(id); ok {
		return l.Broker
	}
	return -1
}

// leaders is who leads, as each broker sees it.
func (r *rig) leaders(id ID) (all []int32) {
	for _, b := range r.brokers {
		all = append(all, b.leader(id))
	}
	return all
}

// within waits in the bubble's time until ok, and fails after d.
func (r *rig) within(d time.Duration, what string, ok func() bool) time.Duration {
	r.t.Helper()
	begun := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		synctest.Wait()
		if ok() {
			return time.Since(begun)
		}
		if time.Since(begun) > d {
			r.t.Fatalf("not within %v: %s", d, what)
		}
		<-tick.C
	}
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (g *fakeGroup) Status() Status {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	return g.s
}

func (g *fakeGroup) InSync(time.Time) []ServerID {
	g.b.mu.Lock()
	defer g.b.mu.Unlock()
	return g.inSync
}

func (g *fakeGroup) CallElection(uint64) {
	g.b.mu.Lock()
	g.called++
	deaf, voters, term := g.deaf, g.s.Voters, g.s.Term+1
	g.b.mu.Unlock()
	if deaf {
		return
	}
	var reached []*broker
	for _, v := range voters {
		if o := g.b.rig.broker(v); g.b.rig.reaches(g.b.id, v) && o.group(g.id).s.Voters != nil {
			reached = append(reached, o)
			term = max(term, o.group(g.id).s.Term+1)
		}
	}
	if 2*len(reached) <= len(voters) {
		g.b.set(g.id, func(g *fakeGroup) { g.s.State, g.s.Term, g.s.Leader = Candidate, term, "" })
		return
	}
	for _, o := range reached {
		o.set(g.id, func(other *fakeGroup) {
			other.s.State, other.s.Serves, other.s.Term, other.s.Leader = Follower, false, term, g.b.id
			if o == g.b {
				other.s.State, other.s.Serves = Leader, true
			}
		})
	}
}

func (r *rig) reaches(from, to ServerID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return from == to || !r.cut[[2]ServerID{from, to}] && !r.cut[[2]ServerID{to, from}]
}

type brokerGroups broker

func (b *brokerGroups) Get(id ID) Group {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.groups[id]; g != nil {
		return g
	}
	return nil
}

func (b *brokerGroups) Each(f func(ID, Group) bool) {
	b.mu.Lock()
	var all []*fakeGroup
	for _, g := range b.groups {
		all = append(all, g)
	}
	b.mu.Unlock()
	for _, g := range all {
		if !f(g.id, g) {
			return
		}
	}
}

func (b *brokerGroups) Preferred(id ID) int32 { return id.Partition%int32(len(b.rig.brokers)) + 1 }

func (b *brokerGroups) Fenced() map[ID]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	fenced := map[ID]string{}
	for id, why := range b.fenced {
		fenced[id] = why
	}
	return fenced
}

type brokerPeers broker

func (b *brokerPeers) Alive(id ServerID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.dead[id]
}

func (b *brokerPeers) Promised(id ServerID) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.promised[id]
}

var errUnreachable = errors.New("unreachable")

func (b *brokerPeers) call(ctx context.Context, to ServerID, handle func(*Cluster) ([]byte, error)) ([]byte, error) {
	if !b.rig.reaches(b.id, to) {
		<-ctx.Done()
		return nil, errUnreachable
	}
	b.rig.mu.Lock()
	i := slices.IndexFunc(b.rig.brokers, func(o *broker) bool { return o.id == to })
	peer := b.rig.brokers[i]
	b.rig.mu.Unlock()
	return handle(peer.c)
}

func (b *brokerPeers) CallGossip(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.call(ctx, to, func(c *Cluster) ([]byte, error) {
		b.rig.mu.Lock()
		b.rig.gossip[[2]ServerID{b.id, to}]++
		b.rig.mu.Unlock()
		return c.Leaders.HandleGossip(ctx, b.id, body)
	})
}

func (b *brokerPeers) CallStates(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	count := func(n int) {
		b.rig.mu.Lock()
		defer b.rig.mu.Unlock()
		b.rig.asking[[2]ServerID{b.id, to}] += n
		b.rig.most = max(b.rig.most, b.rig.asking[[2]ServerID{b.id, to}])
	}
	count(1)
	defer count(-1)
	return b.call(ctx, to, func(c *Cluster) ([]byte, error) { return c.Elector.HandleStates(ctx, b.id, body) })
}

func (b *brokerPeers) CallElect(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.call(ctx, to, func(c *Cluster) ([]byte, error) { return c.Elector.HandleElect(ctx, b.id, body) })
}
