package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/quirelog/quire/broker/quiretest"
)

// aState is a cluster of brokers 1 to n, the dead ones among them, with partition 0, 1, ... of topic t.
func aState(n int32, dead []int32, parts ...kadm.PartitionDetail) clusterState {
	s := clusterState{Metadata: kadm.Metadata{Controller: 1, Topics: kadm.TopicDetails{"t": {Topic: "t", Partitions: kadm.PartitionDetails{}}}}}
	for id := range n {
		s.brokers = append(s.brokers, brokerView{ID: id + 1, Alive: !slices.Contains(dead, id+1)})
	}
	for i, p := range parts {
		p.Topic, p.Partition = "t", int32(i)
		s.Topics["t"].Partitions[int32(i)] = p
	}
	s.count()
	return s
}

func replicated(leader int32, replicas, isr []int32, offline ...int32) kadm.PartitionDetail {
	return kadm.PartitionDetail{Leader: leader, Replicas: replicas, ISR: isr, OfflineReplicas: offline}
}

func TestHealthView(t *testing.T) {
	two, one := []int32{1, 2}, []int32{1}
	for name, tc := range map[string]struct {
		controller int32
		dead       []int32
		p          kadm.PartitionDetail
		want       string
	}{
		"well":             {1, nil, replicated(1, two, two), "healthy: 2 brokers, 1 partition\n"},
		"no controller":    {-1, nil, replicated(1, two, two), "UNHEALTHY: 2 brokers, 1 partition\nno controller\n"},
		"no leader":        {1, nil, replicated(-1, two, two), "UNHEALTHY: 2 brokers, 1 partition\nwithout a leader: t/0\n"},
		"a replica behind": {1, nil, replicated(1, two, one), "UNHEALTHY: 2 brokers, 1 partition\nlacking replicas: t/0\n"},
		"damaged":          {1, nil, replicated(1, one, nil, 1), "UNHEALTHY: 2 brokers, 1 partition\ndamaged, read-only: t/0\n"},
		"a dead broker": {1, []int32{2}, replicated(1, two, one, 2),
			"UNHEALTHY: 1 broker, 1 partition\nbrokers that do not answer: 2\nlacking replicas: t/0\n"},
		"a fenced replica": {1, nil, replicated(1, two, one, 2),
			"UNHEALTHY: 2 brokers, 1 partition\nlacking replicas: t/0\nfenced: t/0 on broker 2, whose log says why\n"},
	} {
		s := aState(2, tc.dead, tc.p)
		s.Controller = tc.controller
		var out bytes.Buffer
		writeHealth(&out, viewHealth(s, nil))
		if out.String() != tc.want {
			t.Errorf("%s: %s, want %s", name, &out, tc.want)
		}
	}
}

func TestHealthOfDisks(t *testing.T) {
	dirs := kadm.DescribedAllLogDirs{
		1: {"/a": {Broker: 1, Dir: "/a", UsableBytes: 64 << 20}, "/b": {Broker: 1, Dir: "/b", UsableBytes: 64<<20 - 1}},
		2: {"/c": {Broker: 2, Dir: "/c", UsableBytes: -1}, "/d": {Broker: 2, Dir: "/d", Err: kerr.KafkaStorageError}},
	}
	v := viewHealth(aState(0, nil), dirs)
	var out bytes.Buffer
	writeHealth(&out, v)
	want := "UNHEALTHY: 0 brokers, 0 partitions\ndisk of broker 1 at /b: nearly full, records are refused\n" +
		"disk of broker 2 at /d: failed: " + kerr.KafkaStorageError.Error() + "\n"
	if v.Healthy || out.String() != want {
		t.Errorf("got %s, want %s", &out, want)
	}
}

func TestPlanMoves(t *testing.T) {
	three := []int32{1, 2, 3}
	s := aState(4, nil, replicated(1, three, three), replicated(2, []int32{2, 3, 1}, three), replicated(3, []int32{3, 1, 2, 4}, three))
	under := kadm.ListPartitionReassignmentsResponses{"t": {2: { // from 3,1,2 to 3,1,4
		Topic: "t", Partition: 2, Replicas: []int32{3, 1, 4, 2}, AddingReplicas: []int32{4}, RemovingReplicas: []int32{2},
	}}}
	for _, tc := range []struct {
		args string
		goal goal
		want string // or the error's text
	}{
		{"t", goal{from: -1, to: []int32{4, 1, 2}}, "t/0:4,1,2 t/1:1,2,4 t/2:2,4,1"},
		{"t/1", goal{from: -1, to: []int32{4, 1, 2}}, "t/1:4,1,2"},
		{"t/0", goal{from: -1, to: three}, ""},
		{"t/2", goal{from: -1, to: []int32{3, 1, 4}}, ""}, // it is going there
		{"t", goal{from: 2, to: []int32{4}}, "t/0:1,4,3 t/1:4,3,1"},
		{"t", goal{from: 1, to: []int32{4}}, "t/2 has a replica on broker 4 already: name another broker with --to, or none"},
		{"t/0 t/1", goal{from: 2}, "t/0:1,3,4 t/1:4,3,1"},
		{"t", goal{from: 7}, "there is no broker 7"},
		{"t", goal{from: -1, to: []int32{1, 1}}, "--to names broker 1 more than once"},
		{"t/3", goal{from: -1, to: three}, "topic t has no partition 3: its partitions are 0 to 2"},
		{"u", goal{from: -1, to: three}, "topic u: there is no such topic"},
	} {
		l := newLayout(s, under)
		chosen, err := l.choose(words(tc.args))
		var moves []moveView
		if err == nil {
			moves, err = l.plan(chosen, tc.goal)
		}
		got := planText(moves)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s %+v: %s, want %s", tc.args, tc.goal, got, tc.want)
		}
	}
}

func planText(moves []moveView) string {
	var parts []string
	for _, m := range moves {
		parts = append(parts, fmt.Sprintf("%s:%s", m.spot(), joinIDs(m.To)))
	}
	return strings.Join(parts, " ")
}

func TestPlanLeaders(t *testing.T) {
	s := aState(3, []int32{3}, replicated(1, []int32{1, 2, 3}, nil), replicated(1, []int32{2, 1}, nil), replicated(1, []int32{1, 3}, nil),
		replicated(2, []int32{2, 1}, nil))
	moves, alone := newLayout(s, nil).planLeaders(1)
	if got := planText(moves) + fmt.Sprint(alone); got != "t/0:2,3,1[t/2]" {
		t.Errorf("planned %s", got)
	}
}

// A move that somebody takes back ends the watching; a broker that has not heard of a move yet does not.
func TestMoveTakenBack(t *testing.T) {
	p, begun := spot{"a", 0}, time.Now()
	m := migration{c: &cli{self: "quire"}, open: map[spot][]int32{p: {1, 3}}, stray: map[spot]time.Time{}}
	still, moving := map[spot][]int32{p: {1, 2}}, map[spot][]int32{}
	for at, placed := range []map[spot][]int32{still, moving, still} { // the move is heard of in between
		if err := m.settle(placed, begun.Add(time.Duration(at)*strayTime)); err != nil || len(m.open) != 1 {
			t.Errorf("look %d: %v, open %v", at, err, m.open)
		}
	}
	err := m.settle(still, begun.Add(3*strayTime+time.Second))
	if err == nil || !strings.Contains(err.Error(), "a/0 is on brokers 1,2 and not being moved to 1,3") {
		t.Errorf("taken back: %v", err)
	}
	if err := m.settle(map[spot][]int32{p: {1, 3}}, begun); err != nil || len(m.open) != 0 {
		t.Errorf("moved: %v, open %v", err, m.open)
	}
}

func TestClusterMoves(t *testing.T) {
	cluster := quiretest.StartCluster(t, 3)
	s := shell{t, strings.Join(cluster.Addrs(), ",")}
	s.ok("", words("topic create orders -p 3 -r 2")...)
	s.ok("a\nb\n", words("produce orders -p 0")...)
	s.ok("", words("cluster health --wait=20s")...)

	v := decode[clusterView](t, s.ok("", words("cluster info -o json")...))
	leaders, replicas := 0, 0
	for _, b := range v.Brokers {
		leaders, replicas = leaders+b.Leaders, replicas+b.Replicas
	}
	if len(v.Brokers) != 3 || v.Controller < 1 || leaders != 3 || replicas != 6 {
		t.Errorf("info: %+v", v)
	}
	s.fails(exitUsage, "", words("cluster move orders --to 1,2,3"), "refusing to move replicas of 3 partitions: there is no terminal",
		"hint: quire cluster move orders --to 1,2,3 -y")
	s.fails(exitUsage, "", words("cluster move orders"), "say where the replicas are to be")
	s.fails(exitFailed, "", words("cluster move orders --to 1,9 -y"), "there is no broker 9")
	s.ok("", words("cluster move orders --to 1,2,3 -y")...)
	waitFor(t, "each partition has three replicas, and another preferred leader", func() bool {
		list := decode[[]placedView](t, s.ok("", words("cluster partitions orders -o json")...))
		return !slices.ContainsFunc(list, func(p placedView) bool { return len(p.Replicas) != 3 || p.Replicas[0] != p.Partition+1 })
	})
	// Whoever is asked may hear of a change a moment after another broker.
	waitFor(t, "all is where it is to be", func() bool { return s.ok("", words("cluster move orders --to 1,2,3 -y")...) == "nothing to move\n" })
	s.ok("", words("cluster drain 1 --leaders -y")...)
	waitFor(t, "broker 1 leads nothing", func() bool { return s.ok("", words("cluster partitions orders --leader 1 -o json")...) == "[]\n" })
	s.fails(exitFailed, "", words("cluster drain 3 -y"), "fewer brokers than replicas")
	s.fails(exitFailed, "", words("cluster unregister 3"), "unregister broker 3: ", "hint: quire cluster drain 3")
	s.ok("", words("cluster move orders --to 1,2 -y")...)
	s.fails(exitFailed, "", words("cluster unregister 3"), "broker 3 is running: stop it first")

	cluster.Stop(3)
	waitFor(t, "broker 3 is missed", func() bool { // the others notice within a second or so
		r := s.run("", words("cluster health")...)
		return r.code == exitUnhealthy && strings.Contains(r.out, "brokers that do not answer: 3\n")
	})
	waitFor(t, "broker 3 is forgotten", func() bool { return s.run("", words("cluster unregister 3")...).out == "broker 3 is forgotten\n" })
	s.ok("", words("cluster health --wait=20s")...)
	if got := s.ok("", words("consume orders -o :end -p 0")...); got != "a\nb\n" {
		t.Errorf("the records are %q", got)
	}
}
