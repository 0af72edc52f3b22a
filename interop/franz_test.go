package interop

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is franz-go, in this process.
type franz struct{}

func (franz) name() string   { return "franz-go" }
func (franz) can() abilities { return everything }

func (f franz) produce(t *testing.T, broker, topic, codec string, idempotent bool, rs []record) []stored {
	t.Helper()
	return produceAll(t, f, broker, order{topic: topic, codec: codec, idempotent: idempotent}, rs)
}

func (franz) open(t *testing.T, broker string, o order) producer {
	t.Helper()
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	acks := map[string]kgo.Acks{"": kgo.AllISRAcks(), "all": kgo.AllISRAcks(), "1": kgo.LeaderAck(), "0": kgo.NoAck()}
	opts := []kgo.Opt{kgo.SeedBrokers(broker), kgo.ProducerBatchCompression(codecs[o.codec]), kgo.DefaultProduceTopic(o.topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.RequiredAcks(acks[o.acks]), kgo.MetadataMinAge(100 * time.Millisecond)}
	if o.large {
		opts = append(opts, kgo.ProducerBatchMaxBytes(4<<20))
	}
	if !o.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return franzProducer{t, cl}
}

type franzProducer struct {
	t  *testing.T
	cl *kgo.Client
}

func (p franzProducer) close() { p.cl.Close() }

// forget drops what the client knows of the topic, so that it may be another one with the same name.
func (p franzProducer) forget(topic string) { p.cl.PurgeTopicsFromProducing(topic) }

func (p franzProducer) send(rs []record) ([]stored, error) {
	records := make([]*kgo.Record, len(rs))
	for i, r := range rs {
		records[i] = &kgo.Record{Key: r.key, Value: r.value}
		if r.timestamp != anyTime {
			records[i].Timestamp = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
		}
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, err
	}
	got := make([]stored, len(records))
	for i, r := range records {
		got[i] = stored{partition: r.Partition, offset: r.Offset}
	}
	return got, nil
}

func (franz) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	all, err := kadm.NewClient(cl).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for name, topic := range all {
		found[name] = len(topic.Partitions)
	}
	return found
}

// refusal is what the client makes of the broker's answer to a transactional id.
func (franz) refusal(t *testing.T, broker string) string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID("refused"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	createTopic(t, broker, "refused", 1)
	if err := cl.BeginTransaction(); err != nil {
		return err.Error()
	}
	err = cl.ProduceSync(ctx, &kgo.Record{Topic: "refused", Value: []byte("v")}).FirstErr()
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a transactional record got %v", err)
	}
	return err.Error()
}

func (franz) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	left := endOffsets(t, cl, topic)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []stored
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("franz-go: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := stored{partition: r.Partition, offset: r.Offset}
			s.key, s.value, s.timestamp = r.Key, r.Value, r.Timestamp.UnixMilli()
			for _, h := range r.Headers {
				s.headers = append(s.headers, header{h.Key, string(h.Value)})
			}
			got = append(got, s)
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return got
}
