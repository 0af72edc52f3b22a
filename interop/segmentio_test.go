package interop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// segmentio is segmentio/kafka-go, in this process.
type segmentio struct{}

func (segmentio) name() string { return "kafka-go" }

// can leaves out batches without records: kafka-go 0.4.51 panics on them.
func (segmentio) can() abilities {
	return abilities{binary: true, transaction: true, wideBatch: true, longLived: true}
}

func (segmentio) open(t *testing.T, broker string, o order) producer {
	t.Helper()
	acks := map[string]kafkago.RequiredAcks{"": kafkago.RequireAll, "all": kafkago.RequireAll, "1": kafkago.RequireOne, "0": kafkago.RequireNone}
	codecs := map[string]kafkago.Compression{"none": 0, "gzip": kafkago.Gzip, "snappy": kafkago.Snappy, "lz4": kafkago.Lz4, "zstd": kafkago.Zstd}
	p := &segmentioProducer{t: t, transport: &kafkago.Transport{MetadataTTL: 500 * time.Millisecond}}
	limit := int64(1 << 20)
	if o.large {
		limit = 4 << 20
	}
	p.w = &kafkago.Writer{
		Addr: kafkago.TCP(broker), Topic: o.topic, Balancer: kafkago.Murmur2Balancer{}, RequiredAcks: acks[o.acks],
		Compression: codecs[o.codec], BatchSize: 500, BatchBytes: limit, BatchTimeout: 5 * time.Millisecond,
		Transport: p.transport, Completion: p.completed,
	}
	return p
}

type segmentioProducer struct {
	t         *testing.T
	transport *kafkago.Transport
	w         *kafkago.Writer
	got       chan []stored
}

func (p *segmentioProducer) close() {
	_ = p.w.Close()
	p.transport.CloseIdleConnections()
}

// forget drops the metadata: read between deletion and creation it has no leader, and kafka-go does not ask again in time.
func (p *segmentioProducer) forget(string) {
	p.transport.CloseIdleConnections()
	p.transport = &kafkago.Transport{MetadataTTL: 500 * time.Millisecond}
	p.w.Transport = p.transport
}

// completed takes where a batch went; a record's number in the send travels in WriterData.
func (p *segmentioProducer) completed(ms []kafkago.Message, err error) {
	if err != nil {
		return // WriteMessages returns it
	}
	batch := make([]stored, len(ms))
	for i, m := range ms {
		batch[i] = stored{partition: int32(m.Partition), offset: m.Offset, record: record{timestamp: int64(m.WriterData.(int))}}
	}
	p.got <- batch
}

func (p *segmentioProducer) send(rs []record) ([]stored, error) {
	msgs := make([]kafkago.Message, len(rs))
	for i, r := range rs {
		msgs[i] = kafkago.Message{Key: r.key, Value: r.value, WriterData: i}
		if r.timestamp != anyTime {
			msgs[i].Time = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			msgs[i].Headers = append(msgs[i].Headers, kafkago.Header{Key: h.key, Value: []byte(h.value)})
		}
	}
	p.got = make(chan []stored, len(rs)) // a batch each at most
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	if err := p.w.WriteMessages(ctx, msgs...); err != nil {
		var errs kafkago.WriteErrors
		if errors.As(err, &errs) {
			return nil, errors.Join(errs...)
		}
		return nil, err
	}
	got := make([]stored, len(rs))
	for left := len(rs); left > 0; {
		select {
		case batch := <-p.got:
			for _, s := range batch {
				got[s.timestamp] = stored{partition: s.partition, offset: s.offset}
			}
			left -= len(batch)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return got, nil
}

func (segmentio) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	cl := &kafkago.Client{Addr: kafkago.TCP(broker), Timeout: time.Minute, Transport: transport}
	meta, err := cl.Metadata(t.Context(), &kafkago.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, topic := range meta.Topics {
		found[topic.Name] = len(topic.Partitions)
	}
	return found
}

// refusal asks as a program would that writes transactions of its own: the Writer has none.
func (segmentio) refusal(t *testing.T, broker string) string {
	t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	cl := &kafkago.Client{Addr: kafkago.TCP(broker), Timeout: time.Minute, Transport: transport}
	r, err := cl.InitProducerID(t.Context(), &kafkago.InitProducerIDRequest{TransactionalID: "refused", TransactionTimeoutMs: 10_000})
	if err == nil {
		err = r.Error
	}
	if err == nil {
		t.Fatal("a transactional id was accepted")
	}
	return err.Error()
}

func (segmentio) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []stored
	for partition, end := range endsOf(t, broker, topic) {
		r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: strings.Fields(broker), Topic: topic, Partition: int(partition),
			MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 500 * time.Millisecond})
		for next := int64(0); next < end; {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				t.Fatalf("kafka-go at %d of %d in partition %d: %v", next, end, partition, err)
			}
			got = append(got, fromSegmentio(m))
			next = m.Offset + 1
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func fromSegmentio(m kafkago.Message) stored {
	s := stored{partition: int32(m.Partition), offset: m.Offset}
	s.key, s.value = m.Key, m.Value
	if !m.Time.IsZero() { // it gives the zero time for 0 ms
		s.timestamp = m.Time.UnixMilli()
	}
	for _, h := range m.Headers {
		s.headers = append(s.headers, header{h.Key, string(h.Value)})
	}
	return s
}
