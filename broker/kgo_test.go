package broker

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func kgoClient(t *testing.T, b *Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// TestClientRoundTrip produces with an idempotent franz-go client in every codec, and reads all of it back, in order in
// each partition and from offset 0 on.
func TestClientRoundTrip(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	const n = 500
	for name, codec := range codecs {
		topic := "codec-" + name
		producer := kgoClient(t, b, kgo.ProducerBatchCompression(codec), kgo.DefaultProduceTopic(topic))
		var records []*kgo.Record
		for i := range n {
			r := &kgo.Record{Key: fmt.Appendf(nil, "k%d", i%7), Value: fmt.Appendf(nil, "%s value %d", name, i)}
			if i%50 == 0 {
				r.Value = nil
			}
			r.Headers = []kgo.RecordHeader{{Key: "i", Value: fmt.Append(nil, i)}}
			records = append(records, r)
		}
		if err := producer.ProduceSync(testContext(t), records...).FirstErr(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkConsumed(t, kgoClient(t, b, kgo.ConsumeTopics(topic)), records)
	}
}

// checkConsumed reads as many records as were sent and holds each against what was sent at its place.
func checkConsumed(t *testing.T, cl *kgo.Client, sent []*kgo.Record) {
	t.Helper()
	type place struct {
		partition int32
		offset    int64
	}
	want := map[place]*kgo.Record{}
	for _, r := range sent {
		want[place{r.Partition, r.Offset}] = r
	}
	if len(want) != len(sent) {
		t.Fatalf("%d records share %d offsets", len(sent), len(want))
	}
	next := map[int32]int64{}
	for got := 0; got < len(sent); {
		fetches := cl.PollFetches(testContext(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got++
			s := want[place{r.Partition, r.Offset}]
			if s == nil || string(s.Key) != string(r.Key) || string(s.Value) != string(r.Value) || (s.Value == nil) != (r.Value == nil) ||
				string(s.Headers[0].Value) != string(r.Headers[0].Value) {
				t.Errorf("partition %d offset %d: %s, want %v", r.Partition, r.Offset, r.Value, s)
			}
			if r.Offset != next[r.Partition] {
				t.Errorf("partition %d: offset %d after %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
		})
	}
}

// TestClientReadsAcrossARestart goes on consuming and producing after the broker was closed and started again.
func TestClientReadsAcrossARestart(t *testing.T) {
	cfg := testConfig(t.TempDir())
	b := startBroker(t, cfg)
	producer := kgoClient(t, b, kgo.DefaultProduceTopic("t"))
	records := make([]*kgo.Record, 20)
	for i := range records {
		records[i] = &kgo.Record{Value: fmt.Append(nil, i), Headers: []kgo.RecordHeader{{Key: "h"}}}
	}
	if err := producer.ProduceSync(testContext(t), records[:10]...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	cfg.KafkaAddr = b.Addr()
	closeBroker(t, b)
	b = startBroker(t, cfg)
	if err := producer.ProduceSync(testContext(t), records[10:]...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	checkConsumed(t, kgoClient(t, b, kgo.ConsumeTopics("t")), records)
}
