package broker

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func batchCRC(raw []byte) uint32 { return crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)) }

// edited is a batch of two records, changed by edit and with a right checksum.
func edited(t *testing.T, edit func(b []byte) []byte) []byte { return fixCRC(edit(testBatch(t, 2))) }

// badBatches are batches with Kafka 4.1's answers to them, asked of it at produce version 12 (and 6 for zstd).
func badBatches(t *testing.T) []badBatch {
	set := func(at int, v byte) func([]byte) []byte { return func(b []byte) []byte { b[at] = v; return b } }
	length := func(delta int) []byte {
		b := testBatch(t, 2)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12+delta))
		return b
	}
	crc := testBatch(t, 2)
	crc[len(crc)-1]++
	large := testBatch(t, 20000)
	return []badBatch{
		{"null", nil, 12, 87},
		{"empty", []byte{}, 12, 87},
		{"bad CRC", crc, 12, 2},
		{"magic 0", edited(t, set(16, 0)), 12, 87},
		{"magic 1", edited(t, set(16, 1)), 12, 87},
		{"magic 3", edited(t, set(16, 3)), 12, 2},
		{"magic 1 from an old client", edited(t, set(16, 1)), 2, 43},
		{"length too large", length(+1), 12, 87},
		{"length too small", length(-1), 12, 2},
		{"length negative", length(-1 << 20), 12, 2},
		{"truncated", testBatch(t, 2)[:80], 12, 87},
		{"a header's part", testBatch(t, 2)[:20], 12, 87},
		{"two batches", append(testBatch(t, 1), testBatch(t, 1)...), 12, 87},
		{"zeros behind it", append(testBatch(t, 1), make([]byte, 12)...), 12, 2},
		{"unknown format behind it", append(testBatch(t, 1), edited(t, set(16, 9))[:17]...), 12, 2},
		{"oversize", large, 12, 10},
		{"record count", edited(t, set(60, 3)), 12, 87},
		{"last offset delta", edited(t, set(26, 5)), 12, 87},
		{"control", edited(t, set(22, 1<<5)), 12, 87},
		{"transactional", edited(t, func(b []byte) []byte { b[22] = 1 << 4; copy(b[43:], make([]byte, 14)); return b }), 12, 53},
		{"zstd before version 7", edited(t, set(22, 4)), 6, 76},
		{"base offset", edited(t, set(7, 5)), 12, 87},
		{"producer id without a sequence", edited(t, func(b []byte) []byte { copy(b[43:], make([]byte, 10)); return b }), 12, 87},
	}
}

type badBatch struct {
	name    string
	records []byte
	version int16
	code    int16
}

func TestBadBatchesGetKafkasAnswer(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	for _, bad := range badBatches(t) {
		r := produceRequest(bad.version, "t", 0, bad.records)
		good := kmsg.NewProduceRequestTopicPartition() // goes on beside the bad one
		good.Partition, good.Records = 1, testBatch(t, 1)
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, good)
		got := c.do(r).(*kmsg.ProduceResponse).Topics[0].Partitions
		if got[0].ErrorCode != bad.code || got[0].BaseOffset != -1 {
			t.Errorf("%s: code %d offset %d, want code %d", bad.name, got[0].ErrorCode, got[0].BaseOffset, bad.code)
		}
		if bad.version >= 8 && got[0].ErrorMessage == nil {
			t.Errorf("%s: no message", bad.name)
		}
		if got[1].ErrorCode != 0 {
			t.Errorf("%s: the good batch beside it got code %d", bad.name, got[1].ErrorCode)
		}
	}
	if marks, err := b.partitions.Get("t", 0).Marks(-1); err != nil || marks.HighWatermark != 0 {
		t.Errorf("something bad was stored: %+v, %v", marks, err)
	}
	if marks, _ := b.partitions.Get("t", 1).Marks(-1); int(marks.HighWatermark) != len(badBatches(t)) {
		t.Errorf("%d good batches of %d were stored", marks.HighWatermark, len(badBatches(t)))
	}
}

func TestProduceRefusals(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 1)
	two := "2"
	if err := b.controller.AlterTopicConfigs(testContext(t), makeTopic(t, b, "strict", 1).ID,
		[]controller.ConfigChange{{Key: "min.insync.replicas", Value: &two}}); err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, b)
	for _, p := range []struct {
		name   string
		change func(r *kmsg.ProduceRequest)
		code   int16
	}{
		{"none", func(*kmsg.ProduceRequest) {}, 0},
		{"acks 1", func(r *kmsg.ProduceRequest) { r.Acks = 1 }, 0},
		{"acks 2", func(r *kmsg.ProduceRequest) { r.Acks = 2 }, 21},
		{"unknown topic", func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "none" }, 3},
		{"unknown partition", func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = 1 }, 3},
		{"negative partition", func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = -1 }, 3},
		{"transactional id, plain batch", func(r *kmsg.ProduceRequest) { r.TransactionID = &two }, 0},
		{"too few replicas", func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "strict" }, 19},
		{"too few replicas, acks 1", func(r *kmsg.ProduceRequest) { r.Topics[0].Topic, r.Acks = "strict", 1 }, 0},
		{"topic id", func(r *kmsg.ProduceRequest) { r.Version, r.Topics[0].TopicID = 13, topic.ID }, 0},
		{"unknown topic id", func(r *kmsg.ProduceRequest) { r.Version, r.Topics[0].TopicID = 13, [16]byte{1} }, 100},
	} {
		r := produceRequest(12, "t", 0, testBatch(t, 1))
		p.change(r)
		if got := c.produce(r); got.ErrorCode != p.code {
			t.Errorf("%s: code %d, want %d", p.name, got.ErrorCode, p.code)
		}
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	r := produceRequest(12, "t", 0, testBatch(t, 3))
	r.Acks = 0
	c.send(r) // unanswered: the next response is the next request's
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 1))); got.BaseOffset != 3 {
		t.Errorf("base offset %d after 3 records without acks", got.BaseOffset)
	}
	r.Topics[0].Topic = "none"
	c.send(r)
	wantClosed(t, c.nc)
}

// A client that leaves no time for replicas still hears of what the leader has written.
func TestProduceWithoutTime(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	for offset, timeout := range []int32{0, -1} {
		r := produceRequest(12, "t", 0, testBatch(t, 1))
		r.TimeoutMillis = timeout
		if got := c.produce(r); got.ErrorCode != 0 || got.BaseOffset != int64(offset) {
			t.Errorf("timeout %d: code %d, offset %d, want %d", timeout, got.ErrorCode, got.BaseOffset, offset)
		}
	}
}

// A topic takes nothing from the moment its deletion is answered.
func TestProduceAfterDeletion(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	c.mustProduce("t", 0, testBatch(t, 1))
	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Version, remove.TimeoutMillis, remove.TopicNames = 5, waiting, []string{"t"}
	if got := c.do(remove).(*kmsg.DeleteTopicsResponse).Topics[0]; got.ErrorCode != 0 {
		t.Fatalf("delete: code %d", got.ErrorCode)
	}
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 1))); got.ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("produce to a deleted topic: code %d", got.ErrorCode)
	}
}

// TestProduceInOrder pipelines requests and expects their offsets in order.
func TestProduceInOrder(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	const n = 50
	for range n {
		c.send(produceRequest(12, "t", 0, testBatch(t, 2)))
	}
	for i := range n {
		got := c.receive(produceRequest(12, "t", 0, nil)).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if got.ErrorCode != 0 || got.BaseOffset != int64(2*i) {
			t.Fatalf("request %d: code %d, base offset %d", i, got.ErrorCode, got.BaseOffset)
		}
	}
}

// What follows the batch and is less than another one is dropped, as Kafka does, and not stored.
func TestTrailingBytesAreDropped(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	whole := testBatch(t, 1)
	for i, rest := range [][]byte{{1}, whole[:11], whole[:14], whole[:17], whole[:len(whole)-1]} {
		got := c.produce(produceRequest(12, "t", 0, append(testBatch(t, 1), rest...)))
		if got.ErrorCode != 0 || got.BaseOffset != int64(i) {
			t.Errorf("%d bytes behind the batch: code %d, offset %d", len(rest), got.ErrorCode, got.BaseOffset)
		}
	}
	if size := b.partitions.Get("t", 0).Size(); size != int64(5*len(whole)) {
		t.Errorf("%d bytes are stored, want %d", size, 5*len(whole))
	}
}
