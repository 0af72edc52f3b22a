package quiretest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quirelog/quire/broker/config"
)

// TestClusterSurvivesOne stops each of three brokers in turn and starts it again: what was acknowledged is there, writing goes on meanwhile, and
// the one that comes back catches up.
func TestClusterSurvivesOne(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	const partitions = 6
	s := newSession(t, c, "orders", partitions)
	s.await(3)
	s.produce(partitions, 20)
	s.verify()
	for node := 1; node <= 3; node++ {
		c.Stop(node)
		s.produce(partitions, 20)
		s.await(2, int32(node))
		s.verify()
		c.Start(node)
		s.produce(partitions, 20)
		s.await(3)
		s.verify()
	}
}

// TestClusterStartsAgain stops all brokers at once and starts them again: none of them has anybody to ask but the others, and the first one,
// which the others joined, names no seeds.
func TestClusterStartsAgain(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 1, func(c *config.Config) { c.Seeds = nil })
	c.Join()
	c.Join()
	s := newSession(t, c, "orders", 3)
	s.await(3)
	s.produce(3, 10)
	c.StopAll()
	c.StartAll()
	s.produce(3, 10)
	s.await(3)
	s.verify()
}

// TestClusterGrowsFromOne has two brokers join one that was a cluster of its own: what it had goes on, the groups' journal and the controller come
// to three voters by themselves, and a topic is moved to the new ones.
func TestClusterGrowsFromOne(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 1)
	s := newSession(t, c, "orders", 2)
	s.produce(2, 10)
	s.commitOffset("readers", 7)
	c.Join()
	c.Join()
	s.eventually("three voters of the controller", func() bool { return len(s.quorum().CurrentVoters) == 3 }, func() any { return s.quorum() })
	s.eventually("three replicas of the journal", func() bool { return s.replicas("__consumer_offsets", 3) }, func() any { return s.topicOf("__consumer_offsets") })
	if got := s.committedOffset("readers"); got != 7 {
		t.Errorf("the group has committed %d", got)
	}
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign("orders", 0, []int32{2, 3, 1})
	req.Assign("orders", 1, []int32{3, 2})
	resp, err := s.adm.AlterPartitionAssignments(s.ctx, req)
	if err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	s.eventually("the topic has moved", func() bool {
		ps := s.partitions()
		moving, err := s.adm.ListPartitionReassignments(s.ctx, nil)
		return err == nil && len(moving.Sorted()) == 0 && slices.Equal(ps[0].Replicas, []int32{2, 3, 1}) && slices.Equal(ps[1].Replicas, []int32{3, 2})
	}, func() any { return s.partitions() })
	c.Stop(1)
	s.produce(2, 10)
	s.verify()
	if got := s.committedOffset("readers"); got != 7 {
		t.Errorf("the group has committed %d", got)
	}
}

// TestClusterReplacesADisk starts a broker on an empty directory under its old id: it gets all of its replicas anew.
func TestClusterReplacesADisk(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	s := newSession(t, c, "orders", 3)
	s.await(3)
	s.produce(3, 10)
	c.Stop(2)
	s.produce(3, 10)
	c.Brokers[1].cfg.DataDir = t.TempDir()
	c.Start(2)
	s.await(3)
	c.Stop(1)
	s.produce(3, 10)
	s.verify()
}

// TestClusterReadsFromTheNearest has a consumer name its rack: it reads from the replica there, also records that are not everywhere yet.
func TestClusterReadsFromTheNearest(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, func(c *config.Config) { c.Rack = fmt.Sprint("rack-", c.NodeID) })
	s := newSession(t, c, "orders", 1)
	s.await(3)
	s.produce(1, 10)
	leader := s.partitions()[0].Leader
	rack := fmt.Sprint("rack-", leader%3+1)
	read := map[int32]int{} // fetches with records, by broker
	var mu sync.Mutex
	hook := fetchHook(func(meta kgo.BrokerMetadata) {
		mu.Lock()
		defer mu.Unlock()
		read[meta.NodeID]++
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.Rack(rack), kgo.WithHooks(hook),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"orders": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	near := leader%3 + 1
	served := func() int {
		mu.Lock()
		defer mu.Unlock()
		return read[near]
	}
	// On a busy machine the replica in the rack may be taken for dead for a moment: then the leader serves.
	for got, want := 0, 10; served() == 0; want += 10 {
		for got < want {
			got += cl.PollFetches(s.ctx).NumRecords()
			if s.ctx.Err() != nil {
				t.Fatalf("%d of %d records were read; broker %d leads, a consumer in %s was served by %v", got, want, leader, rack, read)
			}
		}
		s.produce(1, 10)
	}
}

// fetchHook is told of fetches that had records.
type fetchHook func(kgo.BrokerMetadata)

func (h fetchHook) OnFetchBatchRead(meta kgo.BrokerMetadata, _ string, _ int32, _ kgo.FetchBatchMetrics) {
	h(meta)
}

// TestClusterMovesGroups consumes in a group while each broker is stopped in turn: the group goes on with another coordinator, and every record
// is read.
func TestClusterMovesGroups(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	s := newSession(t, c, "orders", 3)
	s.await(3)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("orders"), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.AutoCommitInterval(100*time.Millisecond), kgo.HeartbeatInterval(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	seen := map[string]bool{}
	read := func() {
		t.Helper()
		want := 0
		for _, values := range s.sent {
			want += len(values)
		}
		for len(seen) < want {
			cl.PollFetches(s.ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
			if s.ctx.Err() != nil {
				t.Fatalf("%d of %d records were read", len(seen), want)
			}
		}
	}
	for node := 1; node <= 3; node++ {
		s.produce(3, 10)
		read()
		c.Stop(node)
		s.produce(3, 10)
		read()
		c.Start(node)
	}
}

// TestClusterElectsPreferred hands leaderships to the preferred replicas on request, through a broker that leads none of them.
func TestClusterElectsPreferred(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	s := newSession(t, c, "orders", 3)
	s.await(3)
	c.Stop(1)
	s.await(2, 1)
	c.Start(1)
	s.await(3)
	if _, err := s.adm.ElectLeaders(s.ctx, kadm.ElectPreferredReplica, nil); err != nil {
		t.Fatal(err)
	}
	s.eventually("the preferred replicas lead", func() bool {
		ps := s.partitions()
		for _, p := range ps {
			if p.Leader != p.Replicas[0] {
				return false
			}
		}
		return len(ps) == 3
	}, func() any { return s.partitions() })
}

// TestClusterForgetsABroker moves everything away from a broker that is gone, and unregisters it.
func TestClusterForgetsABroker(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3)
	c.Join()
	s := newSession(t, c, "orders", 4)
	s.await(3)
	s.produce(4, 10)
	if !slices.ContainsFunc(slices.Collect(maps.Values(s.partitions())), func(p kadm.PartitionDetail) bool { return slices.Contains(p.Replicas, 4) }) {
		t.Fatalf("broker 4 has no replica: %+v", s.partitions())
	}
	unregister := func(id int32) int16 {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = id
		resp, err := req.RequestWith(s.ctx, s.kgo)
		if err != nil {
			t.Logf("unregister: %v", err)
			return -1
		}
		return resp.ErrorCode
	}
	if code := unregister(4); code != 42 {
		t.Errorf("a broker that runs: code %d", code)
	}
	c.Stop(4)
	s.eventually("broker 4 is gone", func() bool { return len(s.brokers()) == 3 }, func() any { return s.brokers() })
	if code := unregister(4); code != 42 {
		t.Errorf("a broker with replicas: code %d", code)
	}
	var req kadm.AlterPartitionAssignmentsReq
	for n := range int32(4) {
		req.Assign("orders", n, []int32{n%3 + 1, (n+1)%3 + 1, (n+2)%3 + 1})
	}
	if resp, err := s.adm.AlterPartitionAssignments(s.ctx, req); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	s.eventually("broker 4 is forgotten", func() bool { return unregister(4) == 0 }, func() any { return s.partitions() })
	if code := unregister(4); code != 102 {
		t.Errorf("a broker that is forgotten: code %d", code)
	}
	s.produce(4, 10)
	s.verify()
}
