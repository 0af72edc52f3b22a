package interop

import (
	"errors"
	"testing"
	"time"

	ibm "github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sarama is IBM's Go client, in this process.
type sarama struct{}

func (sarama) name() string   { return "sarama" }
func (sarama) can() abilities { return everything }

func (sarama) config(o order) *ibm.Config {
	c := ibm.NewConfig()
	c.Version = ibm.MaxVersion
	c.Producer.Compression = map[string]ibm.CompressionCodec{"": ibm.CompressionNone, "none": ibm.CompressionNone, "gzip": ibm.CompressionGZIP,
		"snappy": ibm.CompressionSnappy, "lz4": ibm.CompressionLZ4, "zstd": ibm.CompressionZSTD}[o.codec]
	c.Producer.RequiredAcks = map[string]ibm.RequiredAcks{"": ibm.WaitForAll, "all": ibm.WaitForAll, "1": ibm.WaitForLocal, "0": ibm.NoResponse}[o.acks]
	c.Producer.Idempotent = o.idempotent
	c.Producer.Partitioner = ibm.NewManualPartitioner // its own hash is another than murmur2
	if o.large {
		c.Producer.MaxMessageBytes = 4 << 20
	}
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	c.Producer.Flush.Bytes = 64 << 10
	c.Producer.Return.Successes = true
	c.Net.MaxOpenRequests = 1
	return c
}

func (s sarama) open(t *testing.T, broker string, o order) producer {
	t.Helper()
	cl, err := ibm.NewClient([]string{broker}, s.config(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cl.Close() }) // an error says that it is closed
	all, err := cl.Partitions(o.topic)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ibm.NewSyncProducerFromClient(cl)
	if err != nil {
		t.Fatal(err)
	}
	return &saramaProducer{p, o.topic, int32(len(all))}
}

type saramaProducer struct {
	p          ibm.SyncProducer
	topic      string
	partitions int32
}

func (s *saramaProducer) close() { _ = s.p.Close() }

func (s *saramaProducer) send(rs []record) ([]stored, error) {
	msgs := make([]*ibm.ProducerMessage, len(rs))
	for i, r := range rs {
		m := &ibm.ProducerMessage{Topic: s.topic, Partition: int32(i) % s.partitions}
		if r.key != nil {
			m.Key, m.Partition = ibm.ByteEncoder(r.key), murmur2(r.key)&0x7fffffff%s.partitions
		}
		if r.value != nil {
			m.Value = ibm.ByteEncoder(r.value)
		}
		if r.timestamp != anyTime {
			m.Timestamp = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			m.Headers = append(m.Headers, ibm.RecordHeader{Key: []byte(h.key), Value: []byte(h.value)})
		}
		msgs[i] = m
	}
	if err := s.p.SendMessages(msgs); err != nil {
		if errs := (ibm.ProducerErrors)(nil); errors.As(err, &errs) {
			return nil, errs[0]
		}
		return nil, err
	}
	got := make([]stored, len(msgs))
	for i, m := range msgs {
		got[i] = stored{partition: m.Partition, offset: m.Offset}
	}
	return got, nil
}

func (s sarama) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	consumer, err := ibm.NewConsumer([]string{broker}, s.config(order{}))
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	var got []stored
	for partition, end := range endsOf(t, broker, topic) {
		pc, err := consumer.ConsumePartition(topic, partition, ibm.OffsetOldest)
		if err != nil {
			t.Fatal(err)
		}
		late := time.After(time.Minute)
		for next := int64(0); next < end; {
			select {
			case m := <-pc.Messages():
				got = append(got, fromSarama(m))
				next = m.Offset + 1
			case <-late:
				t.Fatalf("sarama stands at %d of %d in partition %d", next, end, partition)
			}
		}
		if err := pc.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func fromSarama(m *ibm.ConsumerMessage) stored {
	s := stored{partition: m.Partition, offset: m.Offset}
	s.key, s.value, s.timestamp = m.Key, m.Value, m.Timestamp.UnixMilli()
	for _, h := range m.Headers {
		s.headers = append(s.headers, header{string(h.Key), string(h.Value)})
	}
	return s
}

func (s sarama) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	cl, err := ibm.NewClient([]string{broker}, s.config(order{}))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	names, err := cl.Topics()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, name := range names {
		ids, err := cl.Partitions(name)
		if err != nil {
			t.Fatal(err)
		}
		found[name] = len(ids)
	}
	return found
}

// refusal is what the client makes of the broker's answer to a transactional id.
func (s sarama) refusal(t *testing.T, broker string) string {
	t.Helper()
	c := s.config(order{idempotent: true})
	c.Producer.Transaction.ID, c.Producer.Transaction.Retry.Max = "refused", 1
	p, err := ibm.NewSyncProducer([]string{broker}, c)
	if err == nil {
		_ = p.Close()
		t.Fatal("a transactional id was accepted")
	}
	return err.Error()
}

// endsOf asks with franz-go where each partition that has records ends.
func endsOf(t *testing.T, broker, topic string) map[int32]int64 {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	return endOffsets(t, cl, topic)
}
