package controller

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func TestGrowsFromABrokerThatRanAlone(t *testing.T) {
	tc := newTestCluster(t)
	b := tc.add(1)
	// Its directory is of a time when addresses in the group's configuration were broker ids.
	must(t, os.MkdirAll(b.dir, 0o755))
	server := serverOf(b.self)
	server.Address = "1"
	must(t, found(b.dir, founding{
		server: server, servers: []raft.Server{server}, history: []command{&foundCluster{ClusterID: "c"}, &registerBroker{Broker: b.self}},
	}))
	alone, err := Open(testContext(t), Options{Dir: b.dir, Self: b.self})
	must(t, err)
	_, err = alone.CreateTopic(testContext(t), NewTopic{Name: "old", Partitions: partitions(3)})
	must(t, err)
	mustClose(t, alone)

	must(t, tc.start(1).Ready(testContext(t)))
	tc.voters(1)
	tc.grow(2, 1)
	tc.voters(1) // two voters withstand less than one
	tc.grow(3, 2)
	tc.voters(1, 2, 3)
	tc.grow(4, 3)
	tc.voters(1, 2, 3)
	tc.agree()
	if tc.get(4).Image().Topics["old"] == nil {
		t.Fatal("the new broker lacks a topic")
	}

	tc.stop(1)
	tc.elect(2)
	tc.create(4, "new", 2, 3, 4)
	must(t, tc.start(1).Ready(testContext(t)))
	tc.agree()
	tc.voters(1, 2, 3)
}

func TestFounders(t *testing.T) {
	for n, want := range map[int32][]int32{1: {1}, 2: {1}, 3: {1, 2, 3}, 4: {1, 2, 3}, 5: {1, 2, 3, 4, 5}, 7: {1, 2, 3, 4, 5}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			tc := newTestCluster(t)
			tc.found(n)
			tc.voters(want...)
			if got := tc.leader().Image(); got.ClusterID != "c" || len(got.Brokers) != int(n) {
				t.Fatalf("%+v", got)
			}
			for id := range tc.brokers {
				s := tc.get(id).Status()
				if learns := !slices.Contains(want, id); learns != (s.State == Learner) || s.Term < 2 || s.Leader != tc.leader().store.server {
					t.Errorf("broker %d: %+v", id, s)
				}
			}
		})
	}
}

func TestFoundRefuses(t *testing.T) {
	tc := newTestCluster(t)
	a, b := tc.add(1), tc.add(2)
	both := []Broker{a.self, b.self}
	if err := Found(a.dir, "c", both[1:], a.self); err == nil {
		t.Error("a broker founded a cluster without itself")
	}
	if err := Found(a.dir, "c", append(both, b.self), a.self); err == nil {
		t.Error("a broker founds a cluster twice")
	}
	if err := Found(a.dir, "c", []Broker{a.self, {ID: 2}}, a.self); err == nil {
		t.Error("a founder without an incarnation")
	}
	if err := Enroll(a.dir, Broker{ID: 1}); err == nil {
		t.Error("enrolled without an incarnation")
	}
	if there, err := Exists(a.dir); there || err != nil {
		t.Fatal(there, err)
	}
	must(t, Found(a.dir, "c", both, a.self))
	for what, err := range map[string]error{"founded": Found(a.dir, "c", both, a.self), "enrolled": Enroll(a.dir, a.self)} {
		if err == nil {
			t.Errorf("a directory was %s twice", what)
		}
	}
	if there, err := Exists(a.dir); !there || err != nil {
		t.Fatal(there, err)
	}
	net := &struct{ raft.Transport }{}
	if _, err := Open(testContext(t), Options{Dir: filepath.Join(a.dir, "none"), Self: a.self, Transport: net}); err == nil {
		t.Error("a directory that nobody has founded was opened")
	}
}

// TestChangesOnAnyBroker makes every change on a follower, at first with an answer that is lost: the change is made once, and told as made.
func TestChangesOnAnyBroker(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	tc.leader()
	ctx, c := testContext(t), tc.get(tc.follower())
	var topic, gone *Topic
	create := func(into **Topic, name string) func() error {
		return func() (err error) {
			*into, err = c.CreateTopic(ctx, NewTopic{Name: name, Partitions: []Partition{{Replicas: []int32{1, 2}}}})
			return err
		}
	}
	reassign := func(moves ...Reassignment) error {
		each, err := c.Reassign(ctx, moves)
		return errors.Join(append(each, err)...)
	}
	for _, s := range []struct {
		name  string
		do    func() error
		wants error
	}{
		{"create", create(&topic, "t"), nil},
		{"create another", create(&gone, "gone"), nil},
		{"create a known one", create(new(*Topic), "t"), ErrTopicExists},
		{"delete", func() error { return c.DeleteTopic(ctx, gone.ID) }, nil},
		{"grow", func() error { return c.AddPartitions(ctx, topic.ID, 1, []Partition{{Replicas: []int32{3, 1}}}) }, nil},
		{"grow from a stale count", func() error { return c.AddPartitions(ctx, topic.ID, 1, []Partition{{Replicas: []int32{2, 1}}}) }, ErrPartitions},
		{"configure", func() error { return c.AlterTopicConfigs(ctx, topic.ID, []ConfigChange{{"a", ptr("b")}}) }, nil},
		{"configure an unknown one", func() error { return c.AlterTopicConfigs(ctx, gone.ID, nil) }, ErrUnknownTopic},
		{"configure brokers", func() error { return c.AlterBrokerConfigs(ctx, -1, []ConfigChange{{"a", ptr("b")}}) }, nil},
		{"configure a group", func() error { return c.AlterGroupConfigs(ctx, "g", []ConfigChange{{"a", ptr("b")}}) }, nil},
		{"reassign", func() error { return reassign(Reassignment{topic.ID, 0, []int32{1, 3}}) }, nil},
		{"reassign to nobody", func() error { return reassign(Reassignment{topic.ID, 1, []int32{1, 9}}) }, ErrUnknownBroker},
		{"complete another", func() error { return c.CompleteReassignment(ctx, topic.ID, 0, []int32{1, 2}) }, ErrOtherTarget},
		{"complete", func() error { return c.CompleteReassignment(ctx, topic.ID, 0, []int32{1, 3}) }, nil},
		{"reassign again", func() error { return reassign(Reassignment{topic.ID, 0, []int32{2}}) }, nil},
		{"take back", func() error { return reassign(Reassignment{topic.ID, 0, nil}) }, nil},
		{"unregister one that has replicas", func() error { return c.UnregisterBroker(ctx, 3) }, ErrHasReplicas},
	} {
		tc.mu.Lock()
		tc.lose = 1
		tc.mu.Unlock()
		if err := s.do(); !errors.Is(err, s.wants) {
			t.Fatalf("%s: %v, want %v", s.name, err, s.wants)
		}
		if tc.lose != 0 {
			t.Fatalf("%s: nothing was forwarded", s.name)
		}
	}
	i := c.Image()
	want := Topic{Name: "t", ID: topic.ID, Configs: map[string]string{"a": "b"}, Partitions: []Partition{
		{Replicas: []int32{1, 3, 2}, Removing: []int32{2}, Target: []int32{1, 3}, Before: []int32{1, 3}},
		{Replicas: []int32{3, 1}, Founders: founders([]int32{3, 1}, i.Brokers)},
	}}
	if got := i.Topics["t"]; len(i.Topics) != 1 || !reflect.DeepEqual(*got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	first, err := c.ProducerIDs(ctx, 10)
	must(t, err)
	if second, err := tc.leader().ProducerIDs(ctx, 10); err != nil || second != first+10 {
		t.Fatal(first, second, err)
	}
	tc.agree()
}

// TestAnAttemptThatEndsIsNotTheEnd: the controller that a command is sent to may be out of time, because the sender has given up on it (another one
// leads, it took long). The caller has more.
func TestAnAttemptThatEndsIsNotTheEnd(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	id := tc.follower()
	tc.mu.Lock()
	tc.late = 2
	tc.mu.Unlock()
	for _, name := range []string{"a", "b"} {
		tc.create(id, name, 1, 2, 3)
	}
	if tc.late != 0 || len(tc.get(id).Image().Topics) != 2 {
		t.Fatalf("%d more come late; %+v", tc.late, tc.get(id).Image().Topics)
	}
}

func TestChangesWaitForAController(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	leader := tc.leader().o.Self.ID
	a, b := tc.follower(), int32(0)
	for id := range tc.brokers {
		if id != leader && id != a {
			b = id
		}
	}
	tc.stop(leader)
	done := make(chan error)
	for _, id := range []int32{a, b} {
		go func() {
			_, err := tc.get(id).CreateTopic(testContext(t), NewTopic{Name: fmt.Sprint(id), Partitions: partitions(1)})
			done <- err
		}()
	}
	tc.elect(b)
	must(t, errors.Join(<-done, <-done))
	if n := len(tc.get(b).Image().Topics); n != 2 {
		t.Fatalf("%d topics", n)
	}
	if err := tc.get(a).Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := tc.get(a).DeleteTopic(testContext(t), TopicID{}); !errors.Is(err, ErrNotController) {
		t.Fatalf("a closed controller: %v", err)
	}
}

func TestADeadVoterIsReplaced(t *testing.T) {
	tc := newTestCluster(t)
	tc.replace = time.Millisecond
	tc.found(3)
	tc.grow(4, 1)
	tc.voters(1, 2, 3)
	away := tc.follower()
	left := slices.DeleteFunc([]int32{1, 2, 3, 4}, func(id int32) bool { return id == away })
	tc.stop(away)
	tc.voters(left...)
	tc.create(4, "t", 1)
	must(t, tc.start(away).Ready(testContext(t)))
	tc.agree()
	tc.voters(left...) // who comes back learns
}

// TestANewIncarnationReplacesTheOldOne is trap 13: a voter that lost its directory never votes as itself. It comes back as another member,
// and the group forgets what it was; but not while that is alive.
func TestANewIncarnationReplacesTheOldOne(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	id := tc.follower()
	other := tc.leader().o.Self.ID
	old := tc.brokers[id]
	lost := tc.add(id)
	must(t, Enroll(lost.dir, lost.self))
	body, err := JoinRequest(lost.self)
	must(t, err)
	tc.mu.Lock()
	tc.brokers[-1] = old // both run
	tc.mu.Unlock()
	if _, err := tc.get(other).HandleJoin(testContext(t), serverOf(lost.self).ID, body); !errors.Is(err, ErrIDInUse) {
		t.Fatalf("the place of a broker that is alive: %v", err)
	}
	tc.stop(-1)
	delete(tc.brokers, -1)

	c := tc.start(id)
	must(t, tc.join(id, other))
	must(t, c.Ready(testContext(t)))
	tc.voters(1, 2, 3)
	eventually(t, "it votes in the place of the old one", func() bool {
		s := c.Status()
		return !slices.Contains(s.Voters, serverOf(old.self).ID) && slices.Contains(s.Voters, serverOf(lost.self).ID)
	})
	tc.agree()
}

func TestAnUnregisteredBrokerLeavesTheGroup(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	tc.grow(4, 1)
	id := tc.leader().o.Self.ID // the worst of all
	rest := slices.DeleteFunc([]int32{1, 2, 3, 4}, func(n int32) bool { return n == id })
	must(t, tc.get(4).UnregisterBroker(testContext(t), id))
	eventually(t, "another one leads", func() bool { l := tc.get(rest[0]).Leader(); return l != id && l >= 0 })
	gone := tc.brokers[id]
	tc.stop(id)
	delete(tc.brokers, id)
	tc.voters(rest...)

	// It comes back with what it had.
	tc.brokers[id] = gone
	c := tc.start(id)
	must(t, tc.join(id, rest[0]))
	waitFor(t, c, func(i *Image) bool { return i.Version >= tc.leader().Image().Version })
	must(t, c.Ready(testContext(t)))
	tc.voters(rest...)
	tc.agree()
}

func TestABrokerRegistersItselfAnew(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	id := tc.follower()
	tc.stop(id)
	tc.brokers[id].self.Rack, tc.brokers[id].self.Port = "r2", 9999
	must(t, tc.start(id).Ready(testContext(t)))
	tc.agree()
	if got := tc.leader().Image().Brokers[id]; got != tc.brokers[id].self {
		t.Fatalf("%+v", got)
	}
}

// TestReadyWaitsForWhatWasKnown: a broker that acted on an image that is older than the one it had before would delete the partitions
// of topics that it has forgotten.
func TestReadyWaitsForWhatWasKnown(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	compactAll(t, tc.get(1)) // so that broker 1 begins with an image
	tc.create(1, "t", 1, 2, 3)
	tc.agree()
	for id := range tc.brokers {
		tc.stop(id)
	}
	c := tc.start(1)
	if c.Image().ClusterID == "" || c.Image().Topics["t"] != nil {
		t.Fatalf("begins with %+v", c.Image())
	}
	short, cancel := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer cancel()
	if err := c.Ready(short); !errors.Is(err, ErrTimeout) {
		t.Fatalf("ready without %d entries: %v", c.store.known.index.Load(), err)
	}
	tc.start(2)
	tc.elect(1)
	must(t, c.Ready(testContext(t)))
	if c.Image().Topics["t"] == nil {
		t.Fatal("ready without a topic that it had")
	}
}

// TestReadyForgetsWhatWasNeverCommitted: a command that only this broker had, and that is truncated, is not waited for.
func TestReadyForgetsWhatWasNeverCommitted(t *testing.T) {
	for name, compact := range map[string]bool{"by the log": false, "by a snapshot": true} {
		t.Run(name, func(t *testing.T) {
			tc := newTestCluster(t)
			tc.found(3)
			id := tc.follower()
			tc.agree()
			tc.stop(id)
			editLog(t, tc.brokers[id].dir, func(db *raftboltdb.BoltStore, last uint64) error {
				var logs []*raft.Log
				for i := range uint64(6) {
					logs = append(logs, &raft.Log{Index: last + 1 + i, Term: tc.leader().Status().Term, Type: raft.LogCommand, Data: []byte("\x08\x01{\"count\":1}")})
				}
				return db.StoreLogs(logs)
			})
			leader := tc.leader()
			other := slices.DeleteFunc([]int32{1, 2, 3}, func(n int32) bool { return n == id || n == leader.o.Self.ID })[0]
			tc.elect(other) // in the new term the old entries of the term before cannot be
			eventually(t, "the other leads", func() bool { return tc.get(other).Status().Serves })
			for beyond := leader.raft.LastIndex() + 6; compact && tc.get(other).raft.LastIndex() < beyond; {
				must(t, tc.get(other).raft.Barrier(0).Error()) // no commands
			}
			if compact {
				compactAll(t, tc.get(other))
			}
			c := tc.start(id)
			if c.store.known.index.Load() == 0 {
				t.Fatal("it knows of no command")
			}
			must(t, c.Ready(testContext(t)))
			tc.agree()
		})
	}
}

func TestStrangersChangeNothing(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(1)
	c := tc.leader()
	before := c.Image()
	stranger := tc.add(9).self
	encode := func(cmd command) []byte {
		b, err := encodeCommand(cmd)
		must(t, err)
		return b
	}
	ask := func(from Broker, body []byte) error {
		reply, err := c.HandleCommand(testContext(t), serverOf(from).ID, body)
		if err != nil {
			return err
		}
		if string(reply) == "" || reply[0] != '{' {
			t.Fatalf("%q", reply)
		}
		return errors.New(string(reply))
	}
	other := before.Brokers[1]
	other.Incarnation = newUUID().String()
	for what, err := range map[string]error{
		"a command of a broker that is not registered": ask(stranger, encode(&reserveProducerIDs{Count: 1})),
		"a command of a former incarnation":            ask(other, encode(&reserveProducerIDs{Count: 1})),
		"another foundation":                           ask(before.Brokers[1], encode(&foundCluster{ClusterID: "x"})),
		"a registration in place of one that is alive": ask(stranger, encode(&registerBroker{Broker: other})),
		"a registration without an incarnation":        ask(stranger, encode(&registerBroker{Broker: Broker{ID: 9}})),
		"nothing":                                      ask(before.Brokers[1], nil),
		"noise":                                        ask(before.Brokers[1], []byte("\xff\xff")),
	} {
		if err == nil {
			t.Errorf("%s was taken", what)
		}
		t.Log(what, ":", err)
	}
	for what, body := range map[string]string{
		"noise": "x", "nothing": "", "no address": fmt.Sprintf(`{"id":9,"incarnation":%q}`, stranger.Incarnation),
		"another's": fmt.Sprintf(`{"id":8,"incarnation":%q,"rpc_addr":"a:1"}`, stranger.Incarnation),
		"no uuid":   `{"id":9,"incarnation":"x","rpc_addr":"a:1"}`,
	} {
		if _, err := c.HandleJoin(testContext(t), serverOf(stranger).ID, []byte(body)); err == nil {
			t.Errorf("a join request with %s was taken", what)
		}
	}
	if c.Image() != before {
		t.Fatalf("%+v", c.Image())
	}
}

func TestTransfer(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	tc.grow(4, 1)
	ctx := testContext(t)
	leader := tc.leader()
	if err := leader.Transfer(ctx, 4); !errors.Is(err, ErrNoVoter) {
		t.Fatalf("to a learner: %v", err)
	}
	if err := leader.Transfer(ctx, leader.o.Self.ID); !errors.Is(err, ErrNoVoter) {
		t.Fatalf("to itself: %v", err)
	}
	to := tc.follower()
	must(t, leader.Transfer(ctx, to))
	if got := tc.leader().o.Self.ID; got != to {
		t.Fatalf("broker %d leads, not %d", got, to)
	}
	if err := leader.Transfer(ctx, to); !errors.Is(err, ErrNotController) {
		t.Fatalf("by a follower: %v", err)
	}
	away := tc.follower()
	tc.stop(away)
	must(t, tc.get(to).Transfer(ctx, -1))
	if got := tc.leader().o.Self.ID; got == to || got == away || got == 4 {
		t.Fatalf("broker %d leads", got)
	}
}

func TestQuorumOfSeveral(t *testing.T) {
	tc := newTestCluster(t)
	tc.found(3)
	tc.grow(4, 1)
	tc.voters(1, 2, 3)
	leader := tc.leader()
	for id := range tc.brokers {
		q, err := tc.get(id).Quorum(testContext(t))
		must(t, err)
		if q.Leader != leader.o.Self.ID || q.Epoch < 2 || len(q.Voters) != 3 || len(q.Observers) != 1 || q.Observers[0].Broker != 4 {
			t.Errorf("broker %d: %+v", id, q)
		}
		for _, m := range q.Voters { // on every broker the leader's view
			if (m.Broker == q.Leader) != (m.LogEnd >= q.Committed) || (m.Broker == q.Leader) == m.LastCaught.IsZero() {
				t.Errorf("broker %d: %+v of %+v", id, m, q)
			}
		}
	}
	id := tc.follower()
	for other := range tc.brokers {
		if other != id {
			tc.stop(other)
		}
	}
	if q, err := tc.get(id).Quorum(testContext(t)); err != nil || len(q.Voters) != 3 {
		t.Errorf("alone: %+v, %v", q, err)
	}
}
