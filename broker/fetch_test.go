package broker

import (
	"bytes"
	"testing"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchRequest is a sessionless fetch of partition 0 of topic from offset on, which does not wait.
func fetchRequest(topic string, offset int64) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.MinBytes, r.SessionEpoch = 12, -1, 1<<20, 1, sessionEpochFinal
	addFetch(r, topic, controller.TopicID{}, 0, offset)
	return r
}

func addFetch(r *kmsg.FetchRequest, topic string, id controller.TopicID, partition int32, offset int64) {
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1<<20
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
}

func (c *testClient) fetch(r *kmsg.FetchRequest) *kmsg.FetchResponse {
	c.t.Helper()
	return c.do(r).(*kmsg.FetchResponse)
}

// waiting is how long a fetch waits that a test expects to be woken.
const waiting = int32(testWait / time.Millisecond)

func TestFetchReturnsWhatWasProduced(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	sent := testBatch(t, 5)
	c.mustProduce("t", 0, sent)
	for version := int16(4); version <= 18; version++ {
		r := fetchRequest("t", 2)
		r.Version, r.Topics[0].TopicID = version, topic.ID
		p := c.fetch(r).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || p.HighWatermark != 5 || p.LastStableOffset != 5 {
			t.Fatalf("version %d: %+v", version, p)
		}
		if len(p.RecordBatches) != len(sent) || !bytes.Equal(p.RecordBatches[16:], sent[16:]) {
			t.Fatalf("version %d: %d bytes come back of %d", version, len(p.RecordBatches), len(sent))
		}
	}
}

func TestFetchErrors(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	epoch := func() int32 { m, _ := b.partitions.Get("t", 0).Marks(-1); return m.Epoch }()
	c := newTestClient(t, b)
	c.mustProduce("t", 0, testBatch(t, 1))
	for _, f := range []struct {
		name   string
		change func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition)
		code   int16
	}{
		{"unknown topic", func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Topics[0].Topic = "none" }, 3},
		{"unknown partition", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.Partition = 1 }, 3},
		{"unknown topic id", func(r *kmsg.FetchRequest, _ *kmsg.FetchRequestTopicPartition) { r.Version = 13 }, 100},
		{"above the end", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 9 }, 1},
		{"below the start", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }, 1},
		{"old leader epoch", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch - 1 }, 74},
		{"new leader epoch", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch + 1 }, 75},
		{"its leader epoch", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch }, 0},
		{"fetched of an epoch to come", func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) { p.LastFetchedEpoch = epoch + 1 }, 1},
	} {
		r := fetchRequest("t", 0)
		r.MaxWaitMillis, r.MinBytes = waiting, 1 // an error does not wait
		f.change(r, &r.Topics[0].Partitions[0])
		resp := c.fetch(r)
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != f.code {
			t.Errorf("%s: code %d, want %d", f.name, p.ErrorCode, f.code)
		} else if f.code != 0 && (p.HighWatermark != -1 || p.LastStableOffset != -1 || p.LogStartOffset != -1) {
			t.Errorf("%s: marks beside an error: %+v", f.name, p)
		}
	}
	// An error beside a partition that has nothing to give ends the wait, too.
	r := fetchRequest("t", 1)
	r.MaxWaitMillis = waiting
	addFetch(r, "none", controller.TopicID{}, 0, 0)
	if resp := c.fetch(r); resp.Topics[0].Partitions[0].ErrorCode != 0 || resp.Topics[1].Partitions[0].ErrorCode != 3 {
		t.Errorf("%+v", resp)
	}
}

func TestFetchTellsWhereTheLogsPart(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	c.mustProduce("t", 0, testBatch(t, 2))
	r := fetchRequest("t", 1)
	r.Topics[0].Partitions[0].LastFetchedEpoch = 0
	p := c.fetch(r).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != 0 || p.DivergingEpoch.EndOffset != 0 || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestFetchWaits(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	producer, c := newTestClient(t, b), newTestClient(t, b)
	one := testBatch(t, 1)

	r := fetchRequest("t", 0)
	r.MaxWaitMillis, r.MinBytes = waiting, int32(2*len(one))
	c.send(r)
	producer.mustProduce("t", 0, one) // not enough
	producer.mustProduce("t", 0, one)
	p := c.receive(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if len(p.RecordBatches) != 2*len(one) {
		t.Errorf("woken with %d bytes, want %d", len(p.RecordBatches), 2*len(one))
	}

	r = fetchRequest("t", 2)
	r.MaxWaitMillis = 20
	begin := time.Now()
	p = c.fetch(r).Topics[0].Partitions[0]
	if waited := time.Since(begin); waited < 20*time.Millisecond || p.ErrorCode != 0 || len(p.RecordBatches) != 0 {
		t.Errorf("after %v at the end: %+v", waited, p)
	}
}

func TestFetchWaitEndsWithTheTopic(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	r := fetchRequest("t", 0)
	r.Version, r.Topics[0].TopicID, r.MaxWaitMillis = 13, topic.ID, waiting
	c.send(r)
	if err := b.controller.DeleteTopic(testContext(t), topic.ID); err != nil {
		t.Fatal(err)
	}
	if p := c.receive(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 100 {
		t.Errorf("code %d", p.ErrorCode)
	}
}

func TestFetchLimits(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "a", 1)
	makeTopic(t, b, "b", 1)
	c := newTestClient(t, b)
	one := testBatch(t, 1)
	for range 4 {
		c.mustProduce("a", 0, one)
		c.mustProduce("b", 0, one)
	}
	for _, l := range []struct {
		name         string
		max, maxA    int
		wantA, wantB int // batches
	}{
		{"none", 1 << 20, 1 << 20, 4, 4},
		{"one batch at least", 1, 1 << 20, 1, 0},
		{"one batch over the partition's limit", 1 << 20, 1, 1, 4},
		{"whole batches", 3*len(one) + 5, 2*len(one) + 5, 2, 1},
		{"nothing at all asked for", 0, 0, 1, 0},
	} {
		r := fetchRequest("a", 0)
		addFetch(r, "b", controller.TopicID{}, 0, 0)
		r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = int32(l.max), int32(l.maxA)
		resp := c.fetch(r)
		gotA, gotB := len(resp.Topics[0].Partitions[0].RecordBatches), len(resp.Topics[1].Partitions[0].RecordBatches)
		if gotA != l.wantA*len(one) || gotB != l.wantB*len(one) {
			t.Errorf("%s: %d and %d bytes, want %d and %d batches of %d", l.name, gotA, gotB, l.wantA, l.wantB, len(one))
		}
	}
}

// TestFetchTellsErrorsWithoutRoom: a partition that has no room in the response is not read, but what is wrong with it is told.
func TestFetchTellsErrorsWithoutRoom(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	for _, topic := range []string{"a", "b"} {
		makeTopic(t, b, topic, 1)
		c.mustProduce(topic, 0, testBatch(t, 1))
	}
	for offset, want := range map[int64]int16{0: 0, 1: 0, 2: errorCode(partition.ErrOffsetOutOfRange), -1: errorCode(partition.ErrOffsetOutOfRange)} {
		r := fetchRequest("a", 0)
		addFetch(r, "b", controller.TopicID{}, 0, offset)
		r.MaxBytes = 1
		p := c.fetch(r).Topics[1].Partitions[0]
		if p.ErrorCode != want || want == 0 && (p.HighWatermark != 1 || len(p.RecordBatches) > 0) {
			t.Errorf("offset %d: code %d, high watermark %d, %d bytes", offset, p.ErrorCode, p.HighWatermark, len(p.RecordBatches))
		}
	}
}

// TestFetchSessionServesAll has room for one batch a response only: no partition may starve.
func TestFetchSessionServesAll(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 3)
	c := newTestClient(t, b)
	for n := range int32(3) {
		for range 5 {
			c.mustProduce("t", n, testBatch(t, 1))
		}
	}
	r := fetchRequest("t", 0)
	r.SessionEpoch, r.MaxBytes = sessionEpochInitial, 1
	addFetch(r, "t", controller.TopicID{}, 1, 0)
	addFetch(r, "t", controller.TopicID{}, 2, 0)
	offsets := map[int32]int64{}
	for range 15 {
		resp := c.fetch(r)
		if resp.ErrorCode != 0 || resp.SessionID == 0 {
			t.Fatalf("%+v", resp)
		}
		r.SessionID, r.Topics = resp.SessionID, nil
		r.SessionEpoch++
		for _, rt := range resp.Topics {
			for _, p := range rt.Partitions {
				if len(p.RecordBatches) > 0 {
					offsets[p.Partition]++
					addFetch(r, "t", controller.TopicID{}, p.Partition, offsets[p.Partition])
				}
			}
		}
	}
	if offsets[0] != 5 || offsets[1] != 5 || offsets[2] != 5 {
		t.Errorf("15 responses served %v", offsets)
	}
	if resp := c.fetch(r); len(resp.Topics) != 0 || resp.ErrorCode != 0 {
		t.Errorf("nothing is new, but the response says %+v", resp)
	}
	r.SessionID++
	if resp := c.fetch(r); resp.ErrorCode != 70 || resp.SessionID != 0 {
		t.Errorf("an unknown session gets %+v", resp)
	}
}

func listRequest(version int16, topic string, partition int32, ts int64) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = version, -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition, rp.Timestamp, rp.MaxNumOffsets = partition, ts, 1
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

func TestListOffsets(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	c.mustProduce("t", 0, testBatch(t, 3)) // timestamps 1000, 1001, 1002
	c.mustProduce("t", 0, testBatch(t, 2)) // 1000, 1001
	for _, l := range []struct {
		version    int16
		topic      string
		n          int32
		ts         int64
		code       int16
		offset, at int64
	}{
		{11, "t", 0, -1, 0, 5, -1}, {11, "t", 0, -2, 0, 0, -1}, {11, "t", 0, -3, 0, 2, 1002}, {11, "t", 0, -4, 0, 0, -1},
		{11, "t", 0, -5, 0, -1, -1}, {11, "t", 0, -6, 0, -1, -1}, {10, "t", 0, -6, 35, -1, -1},
		{11, "t", 0, -7, 35, -1, -1}, {6, "t", 0, -3, 35, -1, -1}, {7, "t", 0, -4, 35, -1, -1},
		{8, "t", 0, -5, 35, -1, -1}, {11, "t", 0, 0, 0, 0, 1000}, {11, "t", 0, 1001, 0, 1, 1001}, {11, "t", 0, 1003, 0, -1, -1},
		{1, "t", 0, 1002, 0, 2, 1002}, {11, "t", 1, -1, 0, 0, -1}, {11, "t", 1, -3, 0, -1, -1}, {11, "none", 0, -1, 3, -1, -1},
		{11, "t", 2, -1, 3, -1, -1},
	} {
		got := c.do(listRequest(l.version, l.topic, l.n, l.ts)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
		if got.ErrorCode != l.code || got.Offset != l.offset || got.Timestamp != l.at {
			t.Errorf("%+v: code %d offset %d timestamp %d", l, got.ErrorCode, got.Offset, got.Timestamp)
		}
	}
	old := c.do(listRequest(0, "t", 0, -1)).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if len(old.OldStyleOffsets) != 1 || old.OldStyleOffsets[0] != 5 {
		t.Errorf("version 0: %+v", old)
	}
	twice := listRequest(11, "t", 0, -1)
	twice.Topics = append(twice.Topics, twice.Topics[0])
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
	if got := c.do(twice).(*kmsg.ListOffsetsResponse).Topics; len(got) != 1 || len(got[0].Partitions) != 1 || got[0].Partitions[0].ErrorCode != 42 {
		t.Errorf("asked twice: %+v", got)
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	c.mustProduce("t", 0, testBatch(t, 3))
	marks, _ := b.partitions.Get("t", 0).Marks(-1)
	for _, l := range []struct {
		topic          string
		current, epoch int32
		code           int16
		want           int32
		end            int64
	}{
		{"t", -1, marks.Epoch, 0, marks.Epoch, 3},
		{"t", marks.Epoch, marks.Epoch, 0, marks.Epoch, 3},
		{"t", marks.Epoch + 1, marks.Epoch, 75, -1, -1},
		{"t", marks.Epoch - 1, marks.Epoch, 74, -1, -1},
		{"t", -5, marks.Epoch, 74, -1, -1},
		{"t", -1, 0, 0, 0, 0}, // before the first: it ends where the first begins
		{"t", -1, marks.Epoch + 1, 0, -1, -1},
		{"none", -1, 0, 3, -1, -1},
	} {
		r := kmsg.NewPtrOffsetForLeaderEpochRequest()
		r.Version = 4
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = l.topic
		rp := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rp.CurrentLeaderEpoch, rp.LeaderEpoch = l.current, l.epoch
		rt.Partitions = append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
		got := c.do(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		if got.ErrorCode != l.code || got.LeaderEpoch != l.want || got.EndOffset != l.end {
			t.Errorf("%+v: %+v", l, got)
		}
	}
}
