package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// testGroup is a controller group of three in one process.
type testGroup struct {
	dirs    [3]string
	voters  []raft.Server
	members [3]*Controller
	nets    [3]*raft.InmemTransport
}

func newTestGroup(t *testing.T) *testGroup {
	g := &testGroup{}
	base := t.TempDir()
	for i := range g.dirs {
		id := int32(i + 1)
		g.dirs[i] = filepath.Join(base, fmt.Sprint(id))
		g.voters = append(g.voters, raft.Server{ID: serverID(id, "x"), Address: serverAddress(id)})
	}
	for i, dir := range g.dirs {
		f := founding{server: g.voters[i]}
		if i == 0 {
			f.voters = g.voters
			f.history = []command{&foundCluster{ClusterID: "c"}, &registerBroker{Broker: testSelf}}
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := found(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// start opens member i and connects it to the others that run.
func (g *testGroup) start(t *testing.T, i int) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := openStorage(g.dirs[i], newRaftLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	_, net := raft.NewInmemTransportWithTimeout(g.voters[i].Address, 5*time.Second)
	for j, other := range g.nets {
		if j != i && other != nil && g.members[j] != nil {
			net.Connect(g.voters[j].Address, other)
			other.Connect(g.voters[i].Address, net)
		}
	}
	c, err := start(store, net, log)
	if err != nil {
		t.Fatal(err)
	}
	g.nets[i], g.members[i] = net, c
	t.Cleanup(func() { mustClose(t, c) })
}

func (g *testGroup) stop(t *testing.T, i int) {
	t.Helper()
	for j, other := range g.nets {
		if j != i && other != nil {
			other.Disconnect(g.voters[i].Address)
		}
	}
	mustClose(t, g.members[i])
	g.members[i] = nil
}

// leader waits for the running members to agree on a leader among them.
func (g *testGroup) leader(t *testing.T) *Controller {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-again.C {
		for i, c := range g.members {
			if c == nil || c.raft.State() != raft.Leader {
				continue
			}
			if err := c.raft.Barrier(5 * time.Second).Error(); err == nil && c.Leader() == int32(i+1) {
				return c
			}
		}
	}
	t.Fatal("nobody leads")
	return nil
}

// agree waits until every running member has the leader's image.
func (g *testGroup) agree(t *testing.T, leader *Controller) {
	t.Helper()
	want := leader.Image()
	for i, c := range g.members {
		if c == nil {
			continue
		}
		waitFor(t, c, func(i *Image) bool { return i.Version >= want.Version })
		if !reflect.DeepEqual(c.Image(), want) {
			t.Fatalf("member %d has %+v, the leader %+v", i+1, c.Image(), want)
		}
	}
}

func TestGroupOfThree(t *testing.T) {
	g := newTestGroup(t)
	for i := range g.members {
		g.start(t, i)
	}
	ctx := testContext(t)
	leader := g.leader(t)
	create := func(n int) {
		t.Helper()
		if _, err := leader.CreateTopic(ctx, NewTopic{Name: fmt.Sprint("t", n), Partitions: partitions(3)}); err != nil {
			t.Fatal(err)
		}
	}
	create(1)
	g.agree(t, leader)
	if leader.Image().ClusterID != "c" {
		t.Fatalf("cluster id %q", leader.Image().ClusterID)
	}
	away := int(leader.Leader()) % 3 // the member after the leader
	if _, err := g.members[away].ProducerIDs(ctx, 1); !errors.Is(err, ErrNotController) {
		t.Fatalf("a follower answered %v", err)
	}

	// A member that was away comes back to a log that no longer holds what it missed.
	g.stop(t, away)
	for n := 2; n < 20; n++ {
		create(n)
	}
	if first, err := leader.ProducerIDs(ctx, 10); err != nil || first != 0 {
		t.Fatal(first, err)
	}
	compactAll(t, leader)
	create(20)
	g.start(t, away)
	g.agree(t, leader)

	// A new leader, which has its producer ids from the snapshot, goes on where the old one was.
	g.stop(t, int(leader.Leader()-1))
	leader = g.leader(t)
	if first, err := leader.ProducerIDs(ctx, 10); err != nil || first != 10 {
		t.Fatal(first, err)
	}
	create(21)
	g.agree(t, leader)

	// Alone of three, nothing can be decided.
	g.stop(t, g.follower(leader))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := leader.ProducerIDs(short, 1); !errors.Is(err, ErrTimeout) && !errors.Is(err, ErrNotController) {
		t.Fatalf("without a majority: %v", err)
	}
}

// follower is a running member that is not the leader.
func (g *testGroup) follower(leader *Controller) int {
	for i, c := range g.members {
		if c != nil && c != leader {
			return i
		}
	}
	return -1
}

func TestOpenWithoutAMajorityTimesOut(t *testing.T) {
	g := newTestGroup(t)
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Dir: g.dirs[0], Self: testSelf}); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	g.start(t, 0) // which could not lock the directory if Open had left it in use
}

// compactAll takes a snapshot and drops the log up to it.
func compactAll(t *testing.T, c *Controller) {
	t.Helper()
	conf := c.raft.ReloadableConfig()
	conf.TrailingLogs = 0
	if err := c.raft.ReloadConfig(conf); err != nil {
		t.Fatal(err)
	}
	if err := c.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	if first, err := c.store.db.FirstIndex(); err != nil || first != 0 {
		t.Fatalf("the log still begins at %d, %v", first, err)
	}
}
