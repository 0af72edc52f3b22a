package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/replication/transport/cutproxy"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
)

// realCluster is replication nodes with transports between them, in one process: from each to each other there is a wire that can be cut.
type realCluster struct {
	t     *testing.T
	nodes []*realNode
	wires map[[2]ServerID]*cutproxy.Proxy // from, to
	addrs map[ServerID]string
}

// realNode is a broker as far as elections go.
type realNode struct {
	t       *testing.T
	id      ServerID
	dir     string
	tr      *transport.Transport
	node    *replication.Node
	flusher *flush.Flusher
	c       *Cluster
	stop    func()

	mu     sync.Mutex
	groups map[ID]*realGroup
}

// realGroup is a group and its machine, which counts.
type realGroup struct {
	*replication.Group
	mu      sync.Mutex
	batches int
}

func (g *realGroup) Commit(b []replication.Committed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches += len(b)
}

func (g *realGroup) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.batches
}

func (g *realGroup) Capture() ([]byte, error)   { return nil, nil }
func (g *realGroup) Restore([]byte) error       { return nil }
func (g *realGroup) Leading(bool, segment.Term) {}

func (g *realGroup) Status() Status {
	s := g.Group.Status()
	return Status{
		State: State(s.State), Serves: s.Serves, Leader: s.Leader, Term: uint64(s.Term), LastTerm: uint64(s.LastTerm),
		LastIndex: uint64(s.LastIndex), Voters: s.Voters, Fresh: s.Fresh,
	}
}

func (g *realGroup) CallElection(over uint64) { g.Group.CallElection(segment.Term(over)) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newRealCluster starts n brokers, which know each other.
func newRealCluster(t *testing.T, n int) *realCluster {
	rc := &realCluster{t: t, wires: map[[2]ServerID]*cutproxy.Proxy{}, addrs: map[ServerID]string{}}
	var listeners []net.Listener
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		listeners = append(listeners, l)
		rc.addrs[serverID(i+1)] = l.Addr().String()
	}
	for _, from := range rc.ids() {
		for _, to := range rc.ids() {
			if from != to {
				w, err := cutproxy.New(rc.addrs[to])
				must(t, err)
				t.Cleanup(func() { _ = w.Close() })
				rc.wires[[2]ServerID{from, to}] = w
			}
		}
	}
	for i, l := range listeners {
		rc.nodes = append(rc.nodes, rc.start(serverID(i+1), l))
	}
	for _, b := range rc.nodes {
		b.tr.Watch(rc.ids())
		b.c.SetMembers(rc.ids())
	}
	return rc
}

func (rc *realCluster) ids() []ServerID { return slices.Sorted(maps.Keys(rc.addrs)) }

func (rc *realCluster) start(id ServerID, l net.Listener) *realNode {
	t, dir := rc.t, rc.t.TempDir()
	b := &realNode{t: t, id: id, dir: dir, groups: map[ID]*realGroup{}, flusher: flush.New(flush.Options{Dir: dir})}
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})).With("server", id)
	}
	b.c = New(Options{Self: id, Groups: (*realGroups)(b), Peers: (*realPeers)(b), Logger: logger})
	var err error
	b.tr, err = transport.New(transport.Options{
		Self: id, Cluster: "test", Secret: []byte("secret"), Listener: l, Logger: logger, OnPeer: b.c.OnPeer,
		Resolve: func(to ServerID) (string, error) { return rc.wires[[2]ServerID{id, to}].Addr(), nil },
		OnDeserted: func(id ID, term uint64) {
			if g := b.group(id); g != nil {
				g.Deserted(segment.Term(term))
			}
		},
	})
	must(t, err)
	b.tr.Handle(transport.MethodGossip, b.c.Leaders.HandleGossip)
	b.tr.Handle(transport.MethodStates, b.c.Elector.HandleStates)
	b.tr.Handle(transport.MethodElect, b.c.Elector.HandleElect)
	b.node, err = replication.OpenNode(replication.NodeOptions{Dir: dir, Self: id, Logger: logger, Transport: b.tr.Raft})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { b.c.Run(ctx) })
	b.stop = func() {
		cancel()
		wg.Wait()
		var closing errgroup.Group
		for _, g := range b.groups {
			closing.Go(func() error { return g.Close(context.Background()) })
		}
		if err := errors.Join(closing.Wait(), b.tr.Close(), b.node.Close(), b.flusher.Close(context.Background())); err != nil {
			t.Errorf("close %s: %v", id, err)
		}
	}
	t.Cleanup(b.stop)
	return b
}

func (b *realNode) group(id ID) *realGroup {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.groups[id]
}

// open opens a group here, whose voters are all brokers.
func (b *realNode) open(id ID, voters []ServerID) error {
	log, err := segment.Open(filepath.Join(b.dir, strconv.Itoa(int(id.Partition))), segment.Options{Flusher: b.flusher})
	if err != nil {
		return err
	}
	g := &realGroup{}
	g.Group, err = b.node.OpenGroup(replication.GroupOptions{
		ID: id, Log: log, Voters: voters, Machine: g, Changed: func() { b.c.Touch(id) },
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	b.mu.Lock()
	b.groups[id] = g
	b.mu.Unlock()
	b.c.Touch(id)
	return nil
}

// open opens groups on all brokers side by side.
func (rc *realCluster) open(ids []ID) {
	var g errgroup.Group
	g.SetLimit(64)
	for _, id := range ids {
		for _, b := range rc.nodes {
			g.Go(func() error { return b.open(id, rc.ids()) })
		}
	}
	must(rc.t, g.Wait())
}

// set changes the wires of a broker, in both directions.
func (rc *realCluster) set(b *realNode, s cutproxy.State) {
	for ends, w := range rc.wires {
		if ends[0] == b.id || ends[1] == b.id {
			w.Set(s)
		}
	}
}

// await polls until ok, and says how long that took.
func (rc *realCluster) await(what string, ok func() bool) time.Duration {
	rc.t.Helper()
	begun := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if <-tick.C; time.Since(begun) > time.Minute {
			rc.t.Fatalf("not within a minute: %s", what)
		}
	}
	return time.Since(begun)
}

// agree says whether these brokers know the same leader for a group, not gone; and whether its group there serves.
func agree(brokers []*realNode, id ID, gone int32) bool {
	var first Lead
	for i, b := range brokers {
		l, ok := b.c.Leaders.Lookup(id)
		if i == 0 {
			first = l
		}
		if !ok || l.Broker == gone || l.Broker != first.Broker || l.Epoch != first.Epoch {
			return false
		}
	}
	return true
}

// produce has whoever leads each group, as the first of these brokers knows, commit a batch. A busy machine may look dead for a moment, so
// it is tried until it succeeds.
func (rc *realCluster) produce(brokers []*realNode, ids []ID) {
	rc.t.Helper()
	b, err := (&batch.Builder{}).Build([]batch.Record{{Timestamp: 1000, Value: []byte("x")}})
	must(rc.t, err)
	for _, id := range ids {
		rc.await(fmt.Sprintf("a record of group %d is committed", id.Partition), func() bool {
			l, ok := brokers[0].c.Leaders.Lookup(id)
			if !ok {
				return false
			}
			g := rc.nodes[l.Broker-1].group(id)
			before, failed := g.count(), make(chan error, 1)
			g.Propose(slices.Clone(b), nil, func(err error) { failed <- err })
			for {
				select {
				case err := <-failed:
					rc.t.Logf("group %d on broker %d: %v", id.Partition, l.Broker, err)
					return false
				case <-time.After(time.Millisecond):
					if g.count() > before {
						return true
					}
				}
			}
		})
	}
}

type realGroups realNode

func (b *realGroups) Get(id ID) Group {
	if g := (*realNode)(b).group(id); g != nil {
		return g
	}
	return nil
}

func (b *realGroups) Each(f func(ID, Group) bool) {
	b.mu.Lock()
	all := maps.Clone(b.groups)
	b.mu.Unlock()
	for id, g := range all {
		if !f(id, g) {
			return
		}
	}
}

func (b *realGroups) Preferred(id ID) int32 { return id.Partition%3 + 1 }
func (b *realGroups) Fenced() map[ID]string { return nil }

type realPeers realNode

func (b *realPeers) Alive(id ServerID) bool                 { return b.tr.Alive(id) }
func (b *realPeers) Promised(leader ServerID) time.Duration { return b.tr.Promised(leader) }

func (b *realPeers) CallGossip(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.tr.Call(ctx, to, transport.MethodGossip, body)
}

func (b *realPeers) CallStates(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.tr.Call(ctx, to, transport.MethodStates, body)
}

func (b *realPeers) CallElect(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.tr.Call(ctx, to, transport.MethodElect, body)
}

// Three brokers over real Raft, transports and disks: new groups get their preferred leaders; when the wires of one break, or swallow
// everything, the others lead its groups and commit; when it is back all agree. QUIRE_ELECT_GROUPS sets how many groups.
func TestRealElections(t *testing.T) {
	n := 24
	if s := os.Getenv("QUIRE_ELECT_GROUPS"); s != "" {
		var err error
		n, err = strconv.Atoi(s)
		must(t, err)
	}
	rc := newRealCluster(t, 3)
	var ids []ID
	for i := range n {
		ids = append(ids, group(i))
	}
	everywhere := func(brokers []*realNode, gone int32) func() bool {
		return func() bool {
			return !slices.ContainsFunc(ids, func(id ID) bool { return !agree(brokers, id, gone) })
		}
	}
	rc.await("all are alive", func() bool {
		for _, b := range rc.nodes {
			for _, id := range rc.ids() {
				if id != b.id && !b.tr.Alive(id) {
					return false
				}
			}
		}
		return true
	})
	rc.open(ids)
	took := rc.await("all lead", everywhere(rc.nodes, -1))
	t.Logf("%d groups: led %v after they were opened", n, took)
	preferred := 0
	for _, id := range ids {
		if l, _ := rc.nodes[0].c.Leaders.Lookup(id); l.Broker == id.Partition%3+1 {
			preferred++
		}
	}
	t.Logf("%d groups are led by their preferred broker", preferred)
	rc.produce(rc.nodes, ids[:min(n, 24)])
	for i, state := range []cutproxy.State{cutproxy.Cut, cutproxy.Stall} {
		victim := rc.nodes[i]
		others := slices.DeleteFunc(slices.Clone(rc.nodes), func(b *realNode) bool { return b == victim })
		rc.set(victim, state)
		took := rc.await("the others lead", everywhere(others, brokerOf(victim.id)))
		t.Logf("%d groups: all led %v after the wires of %s were set to %d", n, took, victim.id, state)
		rc.produce(others, ids[:min(n, 24)])
		rc.set(victim, cutproxy.Open)
		took = rc.await("all agree", everywhere(rc.nodes, -1))
		t.Logf("%d groups: all agree %v after they were mended", n, took)
		rc.produce(rc.nodes, ids[:min(n, 24)])
	}
}
