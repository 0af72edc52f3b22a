package controller

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

	"github.com/quirelog/quire/replication/transport"
)

// wire is a cluster whose brokers have nothing in common but the transport between them, over TCP on loopback.
type wire struct {
	t    *testing.T
	base string

	mu    sync.Mutex
	addrs map[raft.ServerID]string
	nodes map[int32]*node
}

// node is a broker that runs.
type node struct {
	self Broker
	dir  string
	tr   *transport.Transport
	c    *Controller
}

func newWire(t *testing.T) *wire {
	w := &wire{t: t, base: t.TempDir(), addrs: map[raft.ServerID]string{}, nodes: map[int32]*node{}}
	t.Cleanup(func() {
		for id := range w.nodes {
			w.stop(id)
		}
	})
	return w
}

func (w *wire) resolve(id raft.ServerID) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.addrs[id] == "" {
		return "", fmt.Errorf("%s is not known", id)
	}
	return w.addrs[id], nil
}

// broker says what a new broker is. It has an incarnation, and later an address.
func (w *wire) broker(id int32) Broker {
	return Broker{ID: id, Host: "localhost", Port: 9092, RPCAddr: fmt.Sprint("broker-", id, ":1"), Incarnation: newUUID().String()}
}

// start runs a broker whose directory is there. It returns before it is ready.
func (w *wire) start(self Broker) *node {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	server := serverOf(self).ID
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(w.t.Output(), nil)).With("server", server)
	}
	n := &node{self: self, dir: filepath.Join(w.base, string(server))}
	n.tr, err = transport.New(transport.Options{
		Self: server, Cluster: "c", Secret: []byte("secret"), Listener: l, Resolve: w.resolve, Timeout: 2 * time.Second,
		Coalesce: 5 * time.Millisecond, PingEvery: 50 * time.Millisecond, DeadAfter: 500 * time.Millisecond, Logger: log,
	})
	must(w.t, err)
	n.c, err = Open(testContext(w.t), Options{
		Dir: n.dir, Self: self, Transport: n.tr.Group(transport.ControllerGroup), Alive: n.tr.Alive, Logger: log,
		Forward: func(ctx context.Context, to raft.ServerID, body []byte) ([]byte, error) {
			return n.tr.Call(ctx, to, transport.MethodCommand, body)
		},
	})
	must(w.t, err)
	n.tr.Handle(transport.MethodCommand, n.c.HandleCommand)
	n.tr.Handle(transport.MethodJoin, n.c.HandleJoin)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs[server], w.nodes[self.ID] = l.Addr().String(), n
	for _, other := range w.nodes {
		other.watch(w)
	}
	return n
}

// watch has a node ping all brokers that there are. w.mu is held.
func (n *node) watch(w *wire) {
	var ids []raft.ServerID
	for id := range w.addrs {
		if id != serverOf(n.self).ID {
			ids = append(ids, id)
		}
	}
	n.tr.Watch(ids)
}

func (w *wire) stop(id int32) {
	w.t.Helper()
	n := w.nodes[id]
	w.mu.Lock()
	delete(w.nodes, id)
	w.mu.Unlock()
	must(w.t, errors.Join(n.tr.Close(), n.c.Close(testContext(w.t))))
}

// leader waits until a broker leads that all others know of.
func (w *wire) leader() *node {
	w.t.Helper()
	var leader *node
	eventually(w.t, "all know who leads", func() bool {
		leader = nil
		for _, n := range w.nodes {
			if n.c.Status().Serves {
				leader = n
			}
		}
		return leader != nil && !slices.ContainsFunc(w.list(), func(n *node) bool { return n.c.Leader() != leader.self.ID })
	})
	return leader
}

// list are the brokers that run, by id.
func (w *wire) list() []*node {
	var list []*node
	for _, n := range w.nodes {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *node) int { return int(a.self.ID - b.self.ID) })
	return list
}

func (w *wire) agree() {
	w.t.Helper()
	want := w.leader().c.Image()
	for _, n := range w.list() {
		waitFor(w.t, n.c, func(i *Image) bool { return i.Version >= want.Version })
		if got := n.c.Image(); got.Version == want.Version && spell(w.t, got) != spell(w.t, want) {
			w.t.Fatalf("broker %d has %s, want %s", n.self.ID, spell(w.t, got), spell(w.t, want))
		}
	}
}

func (w *wire) ready() {
	w.t.Helper()
	for _, n := range w.list() {
		must(w.t, n.c.Ready(testContext(w.t)))
	}
}

func (n *node) create(t *testing.T, name string, replicas ...int32) {
	t.Helper()
	_, err := n.c.CreateTopic(testContext(t), NewTopic{Name: name, Partitions: []Partition{{Replicas: replicas}}})
	must(t, err)
}

func TestOverTheWire(t *testing.T) {
	w := newWire(t)
	all := []Broker{w.broker(1), w.broker(2), w.broker(3)}
	for _, b := range all {
		dir := filepath.Join(w.base, string(serverOf(b).ID))
		if b.ID == 1 {
			must(t, Found(dir, "c", all, b))
		} else {
			must(t, Enroll(dir, b))
		}
	}
	for _, b := range slices.Backward(all) {
		w.start(b)
	}
	w.ready()
	for _, n := range w.list() {
		n.create(t, fmt.Sprint("by-", n.self.ID), 1, 2, 3)
	}
	w.agree()

	// A fourth one is introduced by whoever is asked.
	four := w.broker(4)
	must(t, Enroll(filepath.Join(w.base, string(serverOf(four).ID)), four))
	n := w.start(four)
	body, err := JoinRequest(four)
	must(t, err)
	_, err = n.tr.Call(testContext(t), serverOf(all[2]).ID, transport.MethodJoin, body)
	must(t, err)
	w.ready()
	n.create(t, "by-4", 4)
	w.agree()
	w.caughtUp()

	leader := w.leader()
	must(t, leader.c.Transfer(testContext(t), -1))
	if next := w.leader(); next == leader {
		t.Fatal("nothing was handed over")
	}
	w.farBehind(4)
	w.leaderDies()
}

// caughtUp looks at the quorum on every broker: what the leader knows of the others.
func (w *wire) caughtUp() {
	for _, n := range w.list() {
		eventually(w.t, fmt.Sprintf("broker %d tells that all have caught up", n.self.ID), func() bool {
			q, err := n.c.Quorum(testContext(w.t))
			must(w.t, err)
			for _, m := range slices.Concat(q.Voters, q.Observers) {
				if m.LogEnd < q.Committed || m.LastCaught.IsZero() || m.LastHeard.IsZero() {
					return false
				}
			}
			return len(q.Voters) == 3 && len(q.Observers) == 1
		})
	}
}

// farBehind has a broker come back that lacks what nobody's log has any more, so the leader's snapshot goes over the wire.
func (w *wire) farBehind(id int32) {
	self := w.nodes[id].self
	w.stop(id)
	for n := range 50 {
		w.leader().create(w.t, fmt.Sprint("far-", n), 1)
	}
	w.agree()
	for _, n := range w.list() {
		compactAll(w.t, n.c)
	}
	n := w.start(self)
	w.ready()
	w.agree()
	if n.c.Image().Topics["far-49"] == nil {
		w.t.Fatal("what it missed is missing")
	}
}

// leaderDies has the survivors go on as soon as one of them is told to stand.
func (w *wire) leaderDies() {
	leader := w.leader()
	w.stop(leader.self.ID)
	var best *node
	eventually(w.t, "the leader is found dead", func() bool {
		best = nil
		for _, n := range w.list() {
			if n.tr.Alive(serverOf(leader.self).ID) {
				return false
			}
			if s := n.c.Status(); s.State != Learner && (best == nil || s.LastIndex > best.c.Status().LastIndex) {
				best = n
			}
		}
		return true
	})
	best.c.CallElection()
	for _, n := range w.list() {
		n.create(w.t, fmt.Sprint("after-", n.self.ID), 1)
	}
	w.agree()
	w.start(leader.self)
	w.ready()
	w.agree()
}
