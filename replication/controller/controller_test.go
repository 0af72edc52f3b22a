package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

var testSelf = Broker{ID: 1, Host: "localhost", Port: 9092, RPCAddr: "127.0.0.1:9192"}

func mustOpen(t testing.TB, dir string, self Broker) *Controller {
	t.Helper()
	c, err := Open(testContext(t), Options{Dir: dir, Self: self})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, c) })
	return c
}

func mustClose(t testing.TB, c *Controller) {
	t.Helper()
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func ptr(s string) *string { return &s }

func partitions(n int) []Partition {
	p := make([]Partition, n)
	for i := range p {
		p[i].Replicas = []int32{1}
	}
	return p
}

// waitFor waits until the image fulfils cond.
func waitFor(t testing.TB, c *Controller, cond func(*Image) bool) {
	t.Helper()
	ctx := testContext(t)
	for i := c.Image(); !cond(i); i = c.Image() {
		select {
		case <-c.Changed(i):
		case <-ctx.Done():
			t.Fatalf("condition not met at version %d", i.Version)
		}
	}
}

func TestFoundsAClusterAndRestarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data", "controller")
	c := mustOpen(t, dir, testSelf)
	first := c.Image()
	if len(first.ClusterID) != 22 || c.Leader() != 1 {
		t.Fatalf("cluster id %q, leader %d", first.ClusterID, c.Leader())
	}
	self := first.Brokers[1]
	if self.Incarnation == "" || self.Host != "localhost" || self.Port != 9092 {
		t.Fatalf("registered as %+v", self)
	}
	mustClose(t, c)

	c = mustOpen(t, dir, testSelf)
	if !reflect.DeepEqual(c.Image(), first) {
		t.Fatalf("an unchanged restart changed the image:\n%+v\n%+v", c.Image(), first)
	}
	mustClose(t, c)

	moved := Broker{ID: 1, Host: "example.org", Port: 1, RPCAddr: "10.0.0.1:1", Incarnation: "ignored"}
	c = mustOpen(t, dir, moved)
	moved.Incarnation = self.Incarnation
	if got := c.Image().Brokers[1]; got != moved {
		t.Fatalf("registered as %+v, want %+v", got, moved)
	}
	if c.Image().ClusterID != first.ClusterID {
		t.Fatal("the cluster id changed")
	}
}

func TestGivenClusterID(t *testing.T) {
	c, err := Open(testContext(t), Options{Dir: t.TempDir(), Self: testSelf, ClusterID: "MkU3OEVBNTcwNTJENDM2Qg"})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, c)
	if got := c.Image().ClusterID; got != "MkU3OEVBNTcwNTJENDM2Qg" {
		t.Fatal(got)
	}
}

func TestEveryCommandSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	ctx := testContext(t)
	c := mustOpen(t, dir, testSelf)
	orders, err := c.CreateTopic(ctx, NewTopic{Name: "orders", Partitions: partitions(4), Configs: map[string]string{"retention.ms": "5"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Image().Topics["orders"] != orders || c.Image().TopicsByID[orders.ID] != orders {
		t.Fatal("CreateTopic returned before the image had it")
	}
	gone, err := c.CreateTopic(ctx, NewTopic{Name: "gone", Partitions: partitions(1)})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func() error
		want error
	}{
		{"exists", func() error { _, err := c.CreateTopic(ctx, NewTopic{Name: "orders"}); return err }, ErrTopicExists},
		{"delete", func() error { return c.DeleteTopic(ctx, gone.ID) }, nil},
		{"delete again", func() error { return c.DeleteTopic(ctx, gone.ID) }, ErrUnknownTopic},
		{"grow", func() error { return c.AddPartitions(ctx, orders.ID, 4, partitions(2)) }, nil},
		{"grow from a stale count", func() error { return c.AddPartitions(ctx, orders.ID, 4, partitions(2)) }, ErrPartitions},
		{"grow by nothing", func() error { return c.AddPartitions(ctx, orders.ID, 6, nil) }, ErrPartitions},
		{"grow unknown", func() error { return c.AddPartitions(ctx, gone.ID, 1, partitions(2)) }, ErrUnknownTopic},
		{"configure", func() error {
			return c.AlterTopicConfigs(ctx, orders.ID, []ConfigChange{{"retention.ms", nil}, {"cleanup.policy", ptr("compact")}})
		}, nil},
		{"configure unknown", func() error { return c.AlterTopicConfigs(ctx, gone.ID, nil) }, ErrUnknownTopic},
		{"default", func() error { return c.AlterBrokerConfigs(ctx, -1, []ConfigChange{{"a", ptr("")}}) }, nil},
		{"broker", func() error { return c.AlterBrokerConfigs(ctx, 1, []ConfigChange{{"b", ptr("2")}}) }, nil},
		{"broker back", func() error { return c.AlterBrokerConfigs(ctx, 1, []ConfigChange{{"b", nil}}) }, nil},
	}
	for _, s := range steps {
		if err := s.do(); !errors.Is(err, s.want) {
			t.Fatalf("%s: %v, want %v", s.name, err, s.want)
		}
	}
	last := c.Image()
	if len(orders.Partitions) != 4 || orders.Configs["retention.ms"] != "5" {
		t.Fatal("a topic of an older image was changed")
	}
	now := last.TopicsByID[orders.ID]
	if len(last.Topics) != 1 || len(now.Partitions) != 6 || !reflect.DeepEqual(now.Configs, map[string]string{"cleanup.policy": "compact"}) ||
		!reflect.DeepEqual(last.BrokerConfigs, map[int32]map[string]string{-1: {"a": ""}}) {
		t.Fatalf("%+v %+v", last, now)
	}
	mustClose(t, c)
	if c = mustOpen(t, dir, testSelf); !reflect.DeepEqual(c.Image(), last) {
		t.Fatalf("after a restart:\n%+v\n%+v", c.Image(), last)
	}
}

func TestATopicMadeAgainHasAnotherID(t *testing.T) {
	c := mustOpen(t, t.TempDir(), testSelf)
	ctx := testContext(t)
	a, err := c.CreateTopic(ctx, NewTopic{Name: "t", Partitions: partitions(1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteTopic(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	b, err := c.CreateTopic(ctx, NewTopic{Name: "t", Partitions: partitions(1)})
	if err != nil {
		t.Fatal(err)
	}
	if a.ID == b.ID || c.Image().TopicsByID[a.ID] != nil || c.Image().TopicsByID[b.ID] != b {
		t.Fatalf("%v, then %v", a.ID, b.ID)
	}
}

func TestProducerIDsNeverRepeat(t *testing.T) {
	dir := t.TempDir()
	next := int64(0)
	for range 3 {
		c := mustOpen(t, dir, testSelf)
		for _, n := range []int32{1000, 1, 7} {
			first, err := c.ProducerIDs(testContext(t), n)
			if err != nil || first != next {
				t.Fatalf("block at %d, %v; want %d", first, err, next)
			}
			next += int64(n)
		}
		mustClose(t, c)
	}
	c := mustOpen(t, dir, testSelf)
	if _, err := c.ProducerIDs(testContext(t), 0); err == nil {
		t.Fatal("an empty block was granted")
	}
}

func TestManyTopicsAtOnceShareImagesAndSurviveCompaction(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, testSelf)
	ctx := testContext(t)
	const workers, each = 30, 100
	start := c.Image().Version
	images, stop := make(chan int), make(chan struct{})
	go func() {
		n := 0
		for i := c.Image(); ; i = c.Image() {
			select {
			case <-c.Changed(i):
				n++
			case <-stop:
				images <- n
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				if _, err := c.CreateTopic(ctx, NewTopic{Name: fmt.Sprintf("t-%d-%d", w, n), Partitions: partitions(4)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	if n := <-images; n < 1 || n > workers*each {
		t.Errorf("%d images were seen", n)
	}
	if got := c.Image(); len(got.Topics) != workers*each || len(got.TopicsByID) != workers*each || got.Version-start < workers*each {
		t.Fatalf("%d topics at version %d", len(got.Topics), got.Version)
	}
	if err := c.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	last, err := c.store.db.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if first, err := c.store.db.FirstIndex(); err != nil || first != last-trailingLogs+1 {
		t.Fatalf("the log begins at %d and ends at %d, %v", first, last, err)
	}
	if _, err := c.ProducerIDs(ctx, 5); err != nil { // after the snapshot
		t.Fatal(err)
	}
	want := c.Image()
	mustClose(t, c)
	if c = mustOpen(t, dir, testSelf); !reflect.DeepEqual(c.Image(), want) {
		t.Fatal("the image is another one after snapshot and restart")
	}
	if first, err := c.ProducerIDs(ctx, 1); err != nil || first != 5 {
		t.Fatalf("producer ids after a snapshot: %d, %v", first, err)
	}
}

func TestChanged(t *testing.T) {
	c := mustOpen(t, t.TempDir(), testSelf)
	i := c.Image()
	ch := c.Changed(i)
	select {
	case <-ch:
		t.Fatal("nothing has changed")
	default:
	}
	if _, err := c.ProducerIDs(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	<-ch
	<-c.Changed(i)
	<-c.Changed(nil)
}

func TestRefusesForeignAndDamagedDirectories(t *testing.T) {
	ctx := testContext(t)
	made := func(t *testing.T) string {
		dir := t.TempDir()
		c := mustOpen(t, dir, testSelf)
		if err := c.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		mustClose(t, c)
		return dir
	}
	snapshotFile := func(t *testing.T, dir, name string) string {
		found, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", name))
		if err != nil || len(found) != 1 {
			t.Fatalf("snapshots: %v, %v", found, err)
		}
		return found[0]
	}
	cases := []struct {
		name   string
		self   Broker
		damage func(t *testing.T, dir string)
		want   string
	}{
		{"another broker's", Broker{ID: 2}, func(*testing.T, string) {}, "belongs to broker 1"},
		{"raft.db lost", testSelf, func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, dbFile)) }, "is gone"},
		{"snapshot damaged", testSelf, func(t *testing.T, dir string) {
			os.WriteFile(snapshotFile(t, dir, "state.bin"), []byte("QCTL\x01{}"), 0o600)
		}, "CRC"},
		{"snapshot lost", testSelf, func(t *testing.T, dir string) {
			editLog(t, dir, func(db *raftboltdb.BoltStore, _ uint64) error { return db.DeleteRange(1, 2) })
			os.RemoveAll(filepath.Dir(snapshotFile(t, dir, "state.bin")))
		}, "begins at index"},
		{"in use", testSelf, func(t *testing.T, dir string) { mustOpen(t, dir, testSelf) }, "in use"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := made(t)
			tc.damage(t, dir)
			if _, err := Open(ctx, Options{Dir: dir, Self: tc.self}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, want %q", err, tc.want)
			}
		})
	}
}

// editLog changes a closed controller's raft.db.
func editLog(t *testing.T, dir string, edit func(db *raftboltdb.BoltStore, last uint64) error) {
	t.Helper()
	db, err := raftboltdb.NewBoltStore(filepath.Join(dir, dbFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	last, err := db.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := edit(db, last); err != nil {
		t.Fatal(err)
	}
}

func TestUnreadableCommandsStopTheLog(t *testing.T) {
	for name, data := range map[string]string{
		"unknown type":  "\xc8\x01{}",
		"newer version": "\x08\x02{\"count\":1}",
		"unknown field": "\x08\x01{\"count\":1,\"colour\":2}",
		"empty":         "",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustClose(t, mustOpen(t, dir, testSelf))
			var at uint64
			editLog(t, dir, func(db *raftboltdb.BoltStore, last uint64) error {
				at = last + 1
				return db.StoreLogs([]*raft.Log{
					{Index: at, Term: 2, Type: raft.LogCommand, Data: []byte(data)},
					{Index: last + 2, Term: 2, Type: raft.LogCommand, Data: []byte("\x08\x01{\"count\":1}")},
				})
			})
			_, err := Open(testContext(t), Options{Dir: dir, Self: testSelf})
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("controller log stops at index %d", at)) {
				t.Fatal(err)
			}
		})
	}
}

func TestContextsEnd(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ended, Options{Dir: t.TempDir(), Self: testSelf}); !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	c := mustOpen(t, t.TempDir(), testSelf)
	if _, err := c.ProducerIDs(ended, 1); !errors.Is(err, ErrTimeout) || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	mustClose(t, c)
	if _, err := c.ProducerIDs(testContext(t), 1); !errors.Is(err, ErrNotController) {
		t.Fatal(err)
	}
	if c.Image().ClusterID == "" {
		t.Fatal("a closed controller still has its image")
	}
}

func TestTooLargeCommand(t *testing.T) {
	c := mustOpen(t, t.TempDir(), testSelf)
	if _, err := c.CreateTopic(testContext(t), NewTopic{Name: "t", Partitions: partitions(100_000)}); !errors.Is(err, errTooLarge) {
		t.Fatal(err)
	}
}

func TestQuorum(t *testing.T) {
	c := mustOpen(t, t.TempDir(), testSelf)
	q, err := c.Quorum(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	self := c.Image().Brokers[1]
	if q.Leader != 1 || q.Epoch < 1 || q.Committed < int64(c.Image().Version) || len(q.Voters) != 1 ||
		q.Voters[0].Broker != 1 || q.Voters[0].Incarnation.String() != self.Incarnation || q.Voters[0].LogEnd < q.Committed {
		t.Errorf("%+v, image %+v", q, c.Image())
	}
}
