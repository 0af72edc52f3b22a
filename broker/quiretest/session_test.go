package quiretest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// patience is how long a test waits for what takes a second at most on a machine that does nothing else.
const patience = 30 * time.Second

// session is a test's use of a cluster: what it has written is there, once and in order.
type session struct {
	t   *testing.T
	ctx context.Context
	c   *Cluster
	kgo *kgo.Client
	adm *kadm.Client

	topic string
	sent  map[int32][]string // values, by partition
}

func newSession(t *testing.T, c *Cluster, topic string, partitions int32) *session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.RetryTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	s := &session{t: t, ctx: ctx, c: c, kgo: cl, adm: kadm.NewClient(cl), topic: topic, sent: map[int32][]string{}}
	resp, err := s.adm.CreateTopic(ctx, partitions, -1, nil, topic)
	if err != nil {
		t.Fatal(err)
	}
	if want := int16(min(3, len(c.Brokers))); resp.ReplicationFactor != want {
		t.Errorf("the replication factor is %d, want %d", resp.ReplicationFactor, want)
	}
	return s
}

// produce writes n records to each partition, with acks=all and idempotence.
func (s *session) produce(partitions int32, n int) {
	s.t.Helper()
	var records []*kgo.Record
	for range n {
		for p := range partitions {
			v := fmt.Sprintf("%d-%d", p, len(s.sent[p]))
			s.sent[p] = append(s.sent[p], v)
			records = append(records, &kgo.Record{Partition: p, Value: []byte(v)})
		}
	}
	if err := s.kgo.ProduceSync(s.ctx, records...).FirstErr(); err != nil {
		s.t.Fatalf("produce: %v", err)
	}
}

// verify reads everything from the beginning.
func (s *session) verify() {
	s.t.Helper()
	from := map[int32]kgo.Offset{}
	left := 0
	for p, values := range s.sent {
		from[p] = kgo.NewOffset().AtStart()
		left += len(values)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.c.Addrs()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: from}),
		kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	got := map[int32][]string{}
	for left > 0 {
		fetches := cl.PollFetches(s.ctx)
		if s.ctx.Err() != nil {
			s.t.Fatalf("%d records are missing: %v", left, fetches.Errors())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Partition] = append(got[r.Partition], string(r.Value))
			left--
		})
	}
	for p, want := range s.sent {
		if !slices.Equal(got[p], want) {
			s.t.Errorf("partition %d: read %d records, written %d", p, len(got[p]), len(want))
		}
	}
}

// partitions are what the brokers tell of the topic; none while the client tries a broker that is gone.
func (s *session) partitions() kadm.PartitionDetails { return s.topicOf(s.topic).Partitions }

// await waits until all partitions have a leader, none of them on a broker that is gone, and inSync replicas in sync.
func (s *session) await(inSync int, gone ...int32) {
	s.t.Helper()
	var last kadm.PartitionDetails
	s.eventually(fmt.Sprintf("%d replicas in sync", inSync), func() bool {
		last = s.partitions()
		for _, p := range last {
			if p.Leader < 0 || slices.Contains(gone, p.Leader) || len(p.ISR) != inSync {
				return false
			}
		}
		return len(last) > 0
	}, func() any { return last })
}

func (s *session) eventually(what string, ok func() bool, state func() any) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) || s.ctx.Err() != nil {
			s.t.Fatalf("not within %v: %s: %+v", patience, what, state())
		}
	}
}

// topicOf is what the brokers tell of a topic; nothing while the client tries a broker that is gone.
func (s *session) topicOf(name string) kadm.TopicDetail {
	md, err := s.adm.Metadata(s.ctx, name)
	if err != nil {
		s.t.Logf("metadata of %s: %v", name, err)
	}
	return md.Topics[name]
}

// replicas says whether all partitions of a topic have n replicas, all in sync.
func (s *session) replicas(topic string, n int) bool {
	detail := s.topicOf(topic)
	for _, p := range detail.Partitions {
		if len(p.Replicas) != n || len(p.ISR) != n || p.Leader < 0 {
			return false
		}
	}
	return len(detail.Partitions) > 0
}

// brokers are the ids of those that clients are told of.
func (s *session) brokers() (ids []int32) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(s.ctx, s.kgo)
	if err != nil {
		s.t.Logf("metadata: %v", err)
		return nil
	}
	for _, b := range resp.Brokers {
		ids = append(ids, b.NodeID)
	}
	return ids
}

// quorum is the controller group.
func (s *session) quorum() kmsg.DescribeQuorumResponseTopicPartition {
	req := kmsg.NewPtrDescribeQuorumRequest()
	rt, rp := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
	rt.Topic, rt.Partitions = "__cluster_metadata", append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(s.ctx, s.kgo)
	if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		s.t.Fatalf("describe quorum: %+v, %v", resp, err)
	}
	return resp.Topics[0].Partitions[0]
}

func (s *session) commitOffset(group string, at int64) {
	var offsets kadm.Offsets
	offsets.AddOffset(s.topic, 0, at, -1)
	if err := s.adm.CommitAllOffsets(s.ctx, group, offsets); err != nil {
		s.t.Fatal(err)
	}
}

// committedOffset is what a client that has just come is told; one that was there before goes on asking a coordinator that is gone.
func (s *session) committedOffset(group string) int64 {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.c.Addrs()...))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).FetchOffsets(s.ctx, group)
	if err != nil {
		s.t.Fatal(err)
	}
	o, _ := offsets.Lookup(s.topic, 0)
	return o.At
}
