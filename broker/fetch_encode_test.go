package broker

import (
	"bytes"
	"testing"

	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sampleResults are two topics: a partition with records, one with an error and a leader, one that diverges, and an empty one.
func sampleResults() []*fetchResult {
	one, two := fetchKey{topic: "one", id: controller.TopicID{1}}, fetchKey{topic: "two-τ", id: controller.TopicID{2}}
	at := func(k fetchKey, n int32) fetchKey { k.partition = n; return k }
	return []*fetchResult{
		{
			key: at(one, 0), highWatermark: 10, lastStable: 9, logStart: 1, chunk: segment.Chunk{Len: 300},
			divergeEpoch: -1, leader: -1, leaderEpoch: -1,
		},
		{key: at(one, 7), code: 6, highWatermark: -1, lastStable: -1, logStart: -1, divergeEpoch: -1, leader: 3, leaderEpoch: 12},
		{key: at(one, 8), highWatermark: 4, lastStable: 4, divergeEpoch: 2, divergeEnd: 3, leader: -1, leaderEpoch: -1},
		{
			key: at(two, 0), highWatermark: 1 << 40, lastStable: 1 << 40, chunk: segment.Chunk{Len: 5},
			divergeEpoch: 1, divergeEnd: 9, leader: 4, leaderEpoch: 1,
		},
		{key: at(two, 1), divergeEpoch: -1, leader: -1, leaderEpoch: -1, preferred: 5},
	}
}

// fakeRecords stands for a chunk's bytes.
func fakeRecords(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }

// asKmsg is the same response in kmsg's terms.
func asKmsg(r *fetchResponse) *kmsg.FetchResponse {
	k := kmsg.NewPtrFetchResponse()
	k.Version, k.ErrorCode, k.SessionID = r.version, r.code, r.session
	for _, f := range r.results {
		if n := len(k.Topics); n == 0 || k.Topics[n-1].Topic != f.key.topic {
			t := kmsg.NewFetchResponseTopic()
			t.Topic, t.TopicID = f.key.topic, f.key.id
			k.Topics = append(k.Topics, t)
		}
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.ErrorCode = f.key.partition, f.code
		p.HighWatermark, p.LastStableOffset, p.LogStartOffset = int64(f.highWatermark), int64(f.lastStable), int64(f.logStart)
		if f.preferred > 0 {
			p.PreferredReadReplica = f.preferred
		}
		p.RecordBatches = fakeRecords(f.chunk.Len)
		if f.diverging() {
			p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = f.divergeEpoch, int64(f.divergeEnd)
		}
		if f.leader >= 0 {
			p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = f.leader, f.leaderEpoch
		}
		t := &k.Topics[len(k.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	if r.version >= 16 {
		for _, n := range r.nodes {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, nullable(n.Rack)
			k.Brokers = append(k.Brokers, b)
		}
	}
	return k
}

func joined(parts []part) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p.head...)
		b = append(b, fakeRecords(p.chunk.Len)...)
	}
	return b
}

func TestFetchEncodesAsKmsg(t *testing.T) {
	nodes := []controller.Broker{{ID: 3, Host: "three", Port: 9092}, {ID: 4, Host: "four", Port: 9093, Rack: "r"}}
	for _, c := range []struct {
		name string
		resp fetchResponse
	}{
		{"empty", fetchResponse{session: 5}},
		{"error", fetchResponse{code: 71}},
		{"full", fetchResponse{session: 1 << 30, results: sampleResults(), nodes: nodes}},
		{"no nodes", fetchResponse{results: sampleResults()[:1]}},
	} {
		for version := int16(4); version <= 18; version++ {
			c.resp.version = version
			got, want := joined(c.resp.parts()), asKmsg(&c.resp).AppendTo(nil)
			if !bytes.Equal(got, want) {
				t.Errorf("%s, version %d:\n got %x\nwant %x", c.name, version, got, want)
			}
		}
	}
}

func BenchmarkFetchEncode(b *testing.B) {
	r := fetchResponse{version: 16, session: 9}
	for n := range int32(100) {
		key := fetchKey{id: controller.TopicID{1}, partition: n}
		r.results = append(r.results, &fetchResult{key: key, chunk: segment.Chunk{Len: 100}, divergeEpoch: -1, leader: -1})
	}
	b.ReportAllocs()
	for b.Loop() {
		r.parts()
	}
}
