package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testCluster is a controller group in one process. Its brokers forward to each other by plain calls.
type testCluster struct {
	t       *testing.T
	base    string
	replace time.Duration // Options.ReplaceAfter

	mu      sync.Mutex
	brokers map[int32]*testBroker
	lose    int // so many answers to forwarded commands are lost
	late    int // so many forwarded commands run out of time at the controller
}

// testBroker is a broker of a testCluster.
type testBroker struct {
	self Broker
	dir  string
	c    *Controller // nil: it does not run
	net  *raft.InmemTransport
}

func newTestCluster(t *testing.T) *testCluster {
	return &testCluster{t: t, base: t.TempDir(), brokers: map[int32]*testBroker{}}
}

// add makes a broker that neither has a directory nor runs; in place of an older one of that id, which has lost its disk.
func (tc *testCluster) add(id int32) *testBroker {
	inc := newUUID().String()
	b := &testBroker{
		self: Broker{ID: id, Host: "localhost", Port: 9092, RPCAddr: fmt.Sprint("broker-", id, ":1"), Incarnation: inc},
		dir:  filepath.Join(tc.base, fmt.Sprint(id, "-", inc)),
	}
	tc.mu.Lock()
	defer tc.mu.Unlock()
	tc.brokers[id] = b
	return b
}

// found makes a cluster of n founders and starts them.
func (tc *testCluster) found(n int32) {
	tc.t.Helper()
	var all []Broker
	for id := int32(1); id <= n; id++ {
		all = append(all, tc.add(id).self)
	}
	for _, b := range all {
		dir := tc.brokers[b.ID].dir
		if b.ID == 1 {
			must(tc.t, Found(dir, "c", all, b))
		} else {
			must(tc.t, Enroll(dir, b))
		}
	}
	for _, b := range slices.Backward(all) { // the founder last: it asks for votes at once
		tc.start(b.ID)
	}
	for _, b := range all {
		must(tc.t, tc.get(b.ID).Ready(testContext(tc.t)))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start opens a broker's member and connects it to the others that run.
func (tc *testCluster) start(id int32) *Controller {
	tc.t.Helper()
	tc.mu.Lock()
	b := tc.brokers[id]
	tc.mu.Unlock()
	server := serverOf(b.self)
	_, net := raft.NewInmemTransportWithTimeout(server.Address, 2*time.Second)
	o := Options{
		Dir: b.dir, Self: b.self, Transport: net, ReplaceAfter: tc.replace, electionTimeout: time.Second,
		Forward: func(ctx context.Context, to raft.ServerID, body []byte) ([]byte, error) {
			return tc.call(ctx, server.ID, to, body)
		},
		Alive: func(id raft.ServerID) bool { return tc.running(id) != nil },
	}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(tc.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})).With("server", server.ID)
	}
	c, err := Open(testContext(tc.t), o)
	must(tc.t, err)
	tc.mu.Lock()
	defer tc.mu.Unlock()
	b.c, b.net = c, net
	for _, other := range tc.brokers {
		if other != b && other.c != nil {
			net.Connect(serverOf(other.self).Address, other.net)
			other.net.Connect(server.Address, net)
		}
	}
	tc.t.Cleanup(func() { mustClose(tc.t, c) })
	return c
}

func (tc *testCluster) stop(id int32) {
	tc.t.Helper()
	tc.mu.Lock()
	b := tc.brokers[id]
	c := b.c
	b.c = nil
	for _, other := range tc.brokers {
		if other != b && other.net != nil {
			other.net.Disconnect(serverOf(b.self).Address)
		}
	}
	tc.mu.Unlock()
	mustClose(tc.t, c)
}

func (tc *testCluster) get(id int32) *Controller {
	tc.mu.Lock()
	defer tc.mu.Unlock()
	return tc.brokers[id].c
}

// running is a server's controller; nil: it does not run.
func (tc *testCluster) running(id raft.ServerID) *Controller {
	tc.mu.Lock()
	defer tc.mu.Unlock()
	for _, b := range tc.brokers {
		if serverOf(b.self).ID == id {
			return b.c
		}
	}
	return nil
}

var errDown = errors.New("connection refused")

func (tc *testCluster) call(ctx context.Context, from, to raft.ServerID, body []byte) ([]byte, error) {
	c := tc.running(to)
	if c == nil {
		return nil, errDown
	}
	tc.mu.Lock()
	if tc.late > 0 {
		tc.late--
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	tc.mu.Unlock()
	reply, err := c.HandleCommand(ctx, from, body)
	tc.mu.Lock()
	defer tc.mu.Unlock()
	if tc.lose > 0 {
		tc.lose--
		return nil, errDown
	}
	return reply, err
}

// join introduces an enrolled broker through another one.
func (tc *testCluster) join(id, through int32) error {
	tc.t.Helper()
	b := tc.brokers[id]
	body, err := JoinRequest(b.self)
	must(tc.t, err)
	_, err = tc.get(through).HandleJoin(testContext(tc.t), serverOf(b.self).ID, body)
	return err
}

// grow enrolls, starts and introduces a broker, and waits until it is ready.
func (tc *testCluster) grow(id, through int32) *Controller {
	tc.t.Helper()
	b := tc.add(id)
	must(tc.t, Enroll(b.dir, b.self))
	c := tc.start(id)
	must(tc.t, tc.join(id, through))
	must(tc.t, c.Ready(testContext(tc.t)))
	return c
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(30 * time.Second); !cond(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// elect has a running voter stand for election, as a broker does that has noticed that the leader is dead.
func (tc *testCluster) elect(id int32) {
	tc.t.Helper()
	to := serverOf(tc.brokers[id].self)
	ask := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	var err error
	for _, b := range tc.brokers {
		if b.c != nil && b.self.ID != id {
			if err = b.net.TimeoutNow(to.ID, to.Address, ask, &raft.TimeoutNowResponse{}); err == nil {
				return
			}
		}
	}
	tc.t.Fatalf("nobody reaches broker %d: %v", id, err)
}

// leader waits for a running member that leads and serves, and is known to all that run.
func (tc *testCluster) leader() *Controller {
	tc.t.Helper()
	var leader *Controller
	eventually(tc.t, "all know who leads", func() bool {
		tc.mu.Lock()
		defer tc.mu.Unlock()
		leader = nil
		for _, b := range tc.brokers {
			if b.c != nil && b.c.Status().Serves {
				leader = b.c
			}
		}
		for _, b := range tc.brokers {
			if leader == nil || b.c != nil && b.c.Leader() != leader.o.Self.ID {
				return false
			}
		}
		return true
	})
	return leader
}

// voters waits until those vote and all other running brokers learn.
func (tc *testCluster) voters(want ...int32) {
	tc.t.Helper()
	var got []int32
	defer func() {
		if tc.t.Failed() {
			tc.t.Logf("voters %v, want %v", got, want)
		}
	}()
	eventually(tc.t, fmt.Sprint("voters ", want), func() bool {
		got = nil
		s := tc.leader().Status()
		for _, id := range s.Voters {
			n, _, _ := splitServerID(id)
			got = append(got, n)
		}
		slices.Sort(got)
		tc.mu.Lock()
		defer tc.mu.Unlock()
		return slices.Equal(got, want) && len(s.Voters)+len(s.Learners) == len(tc.brokers)
	})
}

// agree waits until every running member has the leader's image.
func (tc *testCluster) agree() {
	tc.t.Helper()
	want := tc.leader().Image()
	for _, id := range slices.Sorted(maps.Keys(tc.brokers)) {
		c := tc.get(id)
		if c == nil {
			continue
		}
		waitFor(tc.t, c, func(i *Image) bool { return i.Version >= want.Version })
		if got := c.Image(); got.Version == want.Version && spell(tc.t, got) != spell(tc.t, want) {
			tc.t.Fatalf("member %d has %s, the leader %s", id, spell(tc.t, got), spell(tc.t, want))
		}
	}
}

// spell is an image in words: nothing and an empty map are the same.
func spell(t testing.TB, i *Image) string {
	t.Helper()
	b, err := encodeSnapshot(i)
	must(t, err)
	return strings.ReplaceAll(string(b), ":null", ":{}")
}

func (tc *testCluster) create(through int32, name string, replicas ...int32) *Topic {
	tc.t.Helper()
	c := tc.get(through)
	topic, err := c.CreateTopic(testContext(tc.t), NewTopic{Name: name, Partitions: []Partition{{Replicas: replicas}}})
	must(tc.t, err)
	if c.Image().Topics[name] == nil {
		tc.t.Fatalf("topic %s was created, and broker %d's image lacks it", name, through)
	}
	return topic
}

// follower is a running member that is not the leader.
func (tc *testCluster) follower() int32 {
	leader := tc.leader().o.Self.ID
	for _, id := range slices.Sorted(maps.Keys(tc.brokers)) {
		if id != leader && tc.get(id) != nil {
			return id
		}
	}
	tc.t.Fatal("no follower runs")
	return 0
}

func TestGroupOfThree(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	ctx := testContext(t)
	leader := tc.leader().o.Self.ID
	away := tc.follower()
	tc.create(leader, "t1", 1, 2, 3)
	tc.agree()

	// A member that was away comes back to a log that no longer holds what it missed.
	tc.stop(away)
	for n := range 20 {
		tc.create(leader, fmt.Sprint("away", n), 1)
	}
	if first, err := tc.get(leader).ProducerIDs(ctx, 10); err != nil || first != 0 {
		t.Fatal(first, err)
	}
	compactAll(t, tc.get(leader))
	tc.create(leader, "after", 1)
	must(t, tc.start(away).Ready(ctx))
	tc.agree()

	// A new leader, which has its producer ids from the snapshot, goes on where the old one was.
	tc.stop(leader)
	tc.elect(away)
	if first, err := tc.get(away).ProducerIDs(ctx, 10); err != nil || first != 10 {
		t.Fatal(first, err)
	}
	tc.create(away, "t2", 1)
	tc.agree()

	// Alone of three, nothing can be decided.
	tc.stop(tc.follower())
	for id, b := range tc.brokers {
		if b.c == nil {
			continue
		}
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		if _, err := b.c.ProducerIDs(short, 1); !errors.Is(err, ErrTimeout) {
			t.Fatalf("broker %d without a majority: %v", id, err)
		}
	}
}

func TestOpenWithoutAMajorityTimesOut(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	dir := tc.brokers[1].dir
	for id := range tc.brokers {
		tc.stop(id)
	}
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Dir: dir, Self: tc.brokers[1].self}); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	tc.start(1) // which could not lock the directory if Open had left it in use
}

// compactAll takes a snapshot and drops the log up to it.
func compactAll(t *testing.T, c *Controller) {
	t.Helper()
	conf := c.raft.ReloadableConfig()
	conf.TrailingLogs = 0
	must(t, c.raft.ReloadConfig(conf))
	must(t, c.raft.Snapshot().Error())
	if first, err := c.store.db.FirstIndex(); err != nil || first != 0 {
		t.Fatalf("the log still begins at %d, %v", first, err)
	}
}
