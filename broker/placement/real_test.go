package placement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// realCluster has one partition on real Raft groups, on loopback, which Keepers look after. The metadata is world's.
type realCluster struct {
	*world
	dir     string
	id      ID
	mu      sync.Mutex // guards brokers
	brokers map[ServerID]*realBroker
}

// realBroker runs one replica. It implements Groups and Peers.
type realBroker struct {
	c         *realCluster
	self      ServerID
	addr      string
	transport *transport.Transport
	node      *replication.Node
	group     *replication.Group
	machine   *ends
	keeper    *Keeper
	stop      context.CancelFunc
	stopped   chan struct{}

	mu    sync.Mutex // guards moved
	moved chan struct{}
}

// changed is called by the group when its role, term or members move.
func (b *realBroker) changed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.moved)
	b.moved = make(chan struct{})
}

func (b *realBroker) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.moved
}

// ends is a machine that knows where the committed log ends.
type ends struct {
	mu  sync.Mutex
	end segment.Offset
}

func (m *ends) Commit(batches []replication.Committed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = max(m.end, batches[len(batches)-1].Header.Next())
}

func (m *ends) at() segment.Offset {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end
}

func (m *ends) Capture() ([]byte, error)   { return []byte("ends"), nil }
func (m *ends) Restore([]byte) error       { return nil }
func (m *ends) Leading(bool, segment.Term) {}

func newRealCluster(t *testing.T, n int) *realCluster {
	c := &realCluster{world: newWorld(t, brokers(make([]string, n)...)), dir: t.TempDir(), brokers: map[ServerID]*realBroker{}}
	c.id = ID{Topic: c.topic("t", on(1)).ID}
	c.groups[c.id] = &model{} // the world's own group is not used
	t.Cleanup(func() {
		for id := range c.brokers {
			c.end(id)
		}
	})
	for i := range n {
		var voters []ServerID
		if i == 0 {
			voters = c.servers(1)
		}
		c.begin(c.server(int32(i+1)), voters)
	}
	c.watch()
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts a broker on an empty directory.
func (c *realCluster) begin(self ServerID, voters []ServerID) {
	c.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(c.t, err)
	b := &realBroker{c: c, self: self, addr: l.Addr().String(), machine: &ends{}, stopped: make(chan struct{}), moved: make(chan struct{})}
	var log *slog.Logger
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(c.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("server", self)
	}
	b.transport, err = transport.New(transport.Options{
		Self: self, Cluster: "test", Secret: []byte("secret"), Listener: l, Resolve: c.resolve, Logger: log,
	})
	must(c.t, err)
	dir := filepath.Join(c.dir, string(self))
	segments, err := segment.Open(filepath.Join(dir, "t-0"), segment.Options{})
	must(c.t, err)
	b.node, err = replication.OpenNode(replication.NodeOptions{
		Dir: dir, Self: self, Transport: func(id replication.GroupID) raft.Transport { return b.transport.Group(id) }, Logger: log,
	})
	must(c.t, err)
	b.group, err = b.node.OpenGroup(replication.GroupOptions{ID: c.id, Log: segments, Voters: voters, Machine: b.machine, Changed: b.changed})
	must(c.t, err)
	b.keeper = New(Options{Self: self, Groups: b, Controller: controllerView{&worldView{c.world, self}}, Peers: b, Logger: log})
	b.transport.Handle(transport.MethodTransfer, b.keeper.HandleTransfer)
	b.transport.Handle(transport.MethodReset, b.keeper.HandleReset)
	b.transport.Handle(transport.MethodReplicas, b.keeper.HandleReplicas)
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() {
		defer close(b.stopped)
		b.keeper.Run(ctx)
	}()
	c.mu.Lock()
	c.brokers[self] = b
	c.mu.Unlock()
}

// end stops a broker.
func (c *realCluster) end(self ServerID) {
	c.mu.Lock()
	b := c.brokers[self]
	delete(c.brokers, self)
	c.mu.Unlock()
	b.stop()
	<-b.stopped
	if err := errors.Join(b.group.Close(context.Background()), b.node.Close(), b.transport.Close()); err != nil {
		c.t.Errorf("close %s: %v", self, err)
	}
}

func (c *realCluster) watch() {
	for self, b := range c.brokers {
		var others []ServerID
		for id := range c.brokers {
			if id != self {
				others = append(others, id)
			}
		}
		b.transport.Watch(others)
	}
}

func (c *realCluster) resolve(id ServerID) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.brokers[id]; b != nil {
		return b.addr, nil
	}
	return "", fmt.Errorf("%s does not run", id)
}

func (c *realCluster) broker(id ServerID) *realBroker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.brokers[id]
}

// leader is the broker that leads and serves; nil: nobody.
func (c *realCluster) leader() *realBroker {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.brokers {
		if b.group.Status().Serves {
			return b
		}
	}
	return nil
}

// eventually polls, with a deadline.
func (c *realCluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// produce has a batch committed, whoever leads.
func (c *realCluster) produce() {
	c.t.Helper()
	c.eventually("a batch is committed", func() bool {
		b := c.leader()
		if b == nil {
			return false
		}
		data, err := (&batch.Builder{}).Build([]batch.Record{{Value: []byte("v"), Timestamp: 1000}})
		must(c.t, err)
		before := b.machine.at()
		failed := make(chan error, 1)
		tired := time.After(10 * time.Second)
		b.group.Propose(data, nil, func(err error) { failed <- err })
		for {
			select {
			case <-failed:
				return false
			case <-tired:
				return false
			case <-time.After(time.Millisecond):
				if b.machine.at() > before {
					return true
				}
			}
		}
	})
}

// settled waits until the group's voters are these, nothing is under way and all of them have what is committed.
func (c *realCluster) settled(voters ...ServerID) {
	c.t.Helper()
	c.produce()
	var last string
	defer func() {
		if c.t.Failed() {
			c.t.Logf("last seen: %s", last)
		}
	}()
	c.eventually(fmt.Sprintf("voters %v", voters), func() bool {
		b := c.leader()
		if b == nil {
			last = "no leader"
			return false
		}
		st := b.group.Status()
		c.world.mu.Lock()
		p := c.partition(c.id)
		c.world.mu.Unlock()
		last = fmt.Sprintf("%+v under %s, %+v", st, b.self, p)
		if reassigning(&p) || len(st.Learners) > 0 || !sameSet(st.Voters, voters) {
			return false
		}
		for _, id := range voters {
			if v := c.broker(id); v == nil || v.machine.at() != b.machine.at() {
				return false
			}
		}
		return true
	})
}

func (b *realBroker) Get(id ID) Group {
	if id != b.c.id {
		return nil
	}
	return b.group
}

func (b *realBroker) Each(f func(ID, Group) bool)             { f(b.c.id, b.group) }
func (b *realBroker) Reset(context.Context, ID, string) error { return ErrNotFenced }
func (b *realBroker) Fenced() map[Replica]string              { return nil }
func (b *realBroker) Alive(id ServerID) bool                  { return id == b.self || b.transport.Alive(id) }
func (b *realBroker) call(ctx context.Context, to ServerID, m transport.Method, body []byte) ([]byte, error) {
	return b.transport.Call(ctx, to, m, body)
}

func (b *realBroker) Leader(ID) int32 {
	if l := b.c.leader(); l != nil {
		id, _ := BrokerOf(l.self)
		return id
	}
	return -1
}

func (b *realBroker) CallTransfer(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.call(ctx, to, transport.MethodTransfer, body)
}

func (b *realBroker) CallReset(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.call(ctx, to, transport.MethodReset, body)
}

func (b *realBroker) CallReplicas(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return b.call(ctx, to, transport.MethodReplicas, body)
}

// TestRealGroups takes a partition of one replica through the life of a cluster: more replicas, a move of its leader, a replaced
// disk, an election on request, and a broker that stops. What was produced is on all replicas each time.
func TestRealGroups(t *testing.T) {
	c := newRealCluster(t, 4)
	c.settled("1-a")
	move := func(target ...int32) {
		c.world.mu.Lock()
		c.reassign(c.id, target...)
		c.world.mu.Unlock()
		c.tell()
	}
	move(1, 2, 3)
	c.settled("1-a", "2-a", "3-a")
	move(4, 2, 3)
	c.settled("2-a", "3-a", "4-a")

	other := func() ServerID { // one of the first two that does not lead
		return slices.DeleteFunc(c.servers(2, 3), func(id ServerID) bool { return id == c.leader().self })[0]
	}
	broker, _ := BrokerOf(other())
	c.end(c.server(broker))
	c.register(broker, "b")
	c.tell()
	c.begin(c.server(broker), nil)
	c.watch()
	c.settled(c.servers(2, 3, 4)...)

	asked := c.broker(other())
	c.eventually("broker 4 leads", func() bool {
		err := asked.keeper.Elect(t.Context(), []ID{c.id})[c.id]
		if err != nil && !errors.Is(err, ErrNotNeeded) {
			t.Logf("elect: %v", err)
		}
		return errors.Is(err, ErrNotNeeded)
	})
	c.settled(c.servers(2, 3, 4)...)
	if got := asked.keeper.Replicas(t.Context(), []ID{c.id})[c.id]; len(got) != 3 {
		t.Errorf("replicas: %+v", got)
	}
	if left := c.broker(c.server(4)).keeper.Drain(t.Context()); left != 0 {
		t.Errorf("%d left", left)
	}
	c.settled(c.servers(2, 3, 4)...)
	if c.leader().self == "4-a" {
		t.Error("broker 4 leads, though it was drained")
	}
}
