package interop

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	stampStages     = 4  // how often a log grows and is asked
	stampPartitions = 75 // of each topic, a fifth of it where records are large
	stampLookups    = 16 // of each log at each stage
)

// stampTopic is a topic whose logs are compared.
type stampTopic struct {
	name       string
	configs    map[string]string
	appendTime bool
	padded     bool // records are large enough to fill several segments
}

func (k *stampTopic) padding(r *rand.Rand) []byte {
	if !k.padded {
		return []byte("value")
	}
	b := make([]byte, 300_000)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// stampTopics are the kinds of logs. Kafka rolls a segment after segment.ms by the records' timestamps too, and the smallest
// segment.bytes it takes is 1 MiB.
func stampTopics() []stampTopic {
	common := map[string]string{"retention.ms": "-1"}
	with := func(kv ...string) map[string]string {
		m := map[string]string{}
		for k, v := range common {
			m[k] = v
		}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	return []stampTopic{
		{name: "plain", configs: with()},
		{name: "short-segments", configs: with("segment.ms", "1000")},
		{name: "append-time", configs: with("message.timestamp.type", "LogAppendTime"), appendTime: true},
		{name: "large", configs: with("segment.bytes", "1048576"), padded: true},
		{name: "large-append-time", configs: with("segment.bytes", "1048576", "message.timestamp.type", "LogAppendTime"),
			appendTime: true, padded: true},
	}
}

// TestOffsetsByTimestamp gives Quire and Apache Kafka the same batches and wants the same answers about them. A case is one log
// at one stage of its growth, asked stampLookups times. With LogAppendTime each broker has timestamps of its own: the logs are
// asked for the same batches' times. QUIRE_INTEROP_SEED repeats a run.
func TestOffsetsByTimestamp(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QUIRE_INTEROP_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("QUIRE_INTEROP_SEED=%d", seed)
	c := &comparison{r: rand.New(rand.NewPCG(seed, 1)), quire: newStampedBroker(t, brokerUnderTest(t)), kafka: newStampedBroker(t, startKafka(t).addr)}
	topics := stampTopics()
	for i := range topics {
		c.makeLogs(t, &topics[i])
	}
	c.quire.await(t, c.logs)
	c.kafka.await(t, c.logs)
	for range stampStages {
		c.grow(t)
		for range stampLookups {
			c.compare(t)
		}
		c.cases += len(c.logs)
	}
	t.Logf("%d logs, %d cases, %d answers compared, %d differed", len(c.logs), c.cases, c.answers, c.differed)
	if c.cases < 1000 {
		t.Errorf("only %d cases", c.cases)
	}
}

// comparison is the two brokers and what they were given.
type comparison struct {
	r                        *rand.Rand
	quire, kafka             *stampedBroker
	logs                     []*stampedLog
	cases, answers, differed int
}

// stampedBroker is a broker with the append times of the logs' batches, where it sets them.
type stampedBroker struct {
	addr  string
	conn  net.Conn
	times map[*stampedLog][]int64 // of each batch
}

func newStampedBroker(t *testing.T, addr string) *stampedBroker {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &stampedBroker{addr: addr, conn: conn, times: map[*stampedLog][]int64{}}
}

func (b *stampedBroker) request(t *testing.T, req kmsg.Request) kmsg.Response {
	t.Helper()
	resp, err := roundTripRequest(b.conn, req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp
}

func (c *comparison) makeLogs(t *testing.T, kind *stampTopic) {
	t.Helper()
	n := stampPartitions
	if kind.padded {
		n /= 5
	}
	configs := map[string]*string{}
	for k, v := range kind.configs {
		configs[k] = &v
	}
	for _, b := range []*stampedBroker{c.quire, c.kafka} {
		b.createTopic(t, kind.name, int32(n), maps.Clone(configs))
	}
	for i := range n {
		c.logs = append(c.logs, &stampedLog{kind: kind, partition: int32(i), shape: c.r.IntN(len(stampShapes)), last: stampEpoch})
	}
}

func (b *stampedBroker) createTopic(t *testing.T, name string, partitions int32, configs map[string]*string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	_, err = kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, configs, name)
	if errors.Is(err, kerr.InvalidConfig) { // a broker without retention keeps everything
		delete(configs, "retention.ms")
		_, err = kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, configs, name)
	}
	if err != nil {
		t.Fatalf("create %s at %s: %v", name, b.addr, err)
	}
}

// await returns once every log has a leader: a topic that Kafka has just made need not.
func (b *stampedBroker) await(t *testing.T, logs []*stampedLog) {
	t.Helper()
	questions := make([]question, len(logs))
	for i, l := range logs {
		questions[i] = question{log: l, timestamp: -1, batch: -1}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C { // until the deadline of the connection
		answers := b.ask(t, 7, 0, questions)
		if !slices.ContainsFunc(answers, func(at located) bool { return at.errorCode != 0 }) {
			return
		}
	}
}

// grow appends up to four batches to every log, and ten to large ones; some stay empty for long.
func (c *comparison) grow(t *testing.T) {
	t.Helper()
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for range 4 {
		req := kmsg.NewPtrProduceRequest()
		req.SetVersion(9)
		req.Acks, req.TimeoutMillis = -1, 30_000
		var sent []*stampedLog
		for _, l := range c.logs {
			if c.r.IntN(3) == 0 && !l.kind.padded || l.partition == 0 && c.cases == 0 {
				continue
			}
			rp := kmsg.NewProduceRequestTopicPartition()
			rp.Partition, rp.Records = l.partition, l.grow(t, c.r, codecs)
			if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != l.kind.name {
				rt := kmsg.NewProduceRequestTopic()
				rt.Topic = l.kind.name
				req.Topics = append(req.Topics, rt)
			}
			rt := &req.Topics[len(req.Topics)-1]
			rt.Partitions = append(rt.Partitions, rp)
			sent = append(sent, l)
		}
		for _, b := range []*stampedBroker{c.quire, c.kafka} {
			b.produced(t, sent, b.request(t, req).(*kmsg.ProduceResponse))
		}
		nextMillisecond() // so that LogAppendTime of the next batch is larger at both brokers
	}
}

func nextMillisecond() {
	for now := time.Now().UnixMilli(); time.Now().UnixMilli() <= now; {
	}
}

// produced checks that each batch went where it belongs, and keeps its append time.
func (b *stampedBroker) produced(t *testing.T, sent []*stampedLog, resp *kmsg.ProduceResponse) {
	t.Helper()
	type place struct {
		topic     string
		partition int32
	}
	answers := map[place]kmsg.ProduceResponseTopicPartition{}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			answers[place{rt.Topic, rp.Partition}] = rp
		}
	}
	for _, l := range sent {
		rp, ok := answers[place{l.kind.name, l.partition}]
		if want := int64(l.batches[len(l.batches)-1]); !ok || rp.ErrorCode != 0 || rp.BaseOffset != want {
			t.Fatalf("%s: produce to %s answered error %d, offset %d, want offset %d", b.addr, l, rp.ErrorCode, rp.BaseOffset, want)
		}
		b.times[l] = append(b.times[l], rp.LogAppendTime)
	}
}

// String tells the log apart in a failure.
func (l *stampedLog) String() string {
	return fmt.Sprintf("%s-%d (%s)", l.kind.name, l.partition, stampShapes[l.shape].name)
}

// question is one lookup. With LogAppendTime the timestamp is that of a batch of the broker's own, and a step beside it.
type question struct {
	log       *stampedLog
	timestamp int64
	batch     int // -1: timestamp is to be taken as it is
}

func (c *comparison) question(l *stampedLog, version int16) question {
	q := question{log: l, batch: -1, timestamp: l.ask(c.r, version)}
	if l.kind.appendTime && q.timestamp > 0 && len(l.batches) > 0 {
		q.batch, q.timestamp = c.r.IntN(len(l.batches)), c.r.Int64N(3)-1
	}
	return q
}

func (q *question) at(b *stampedBroker) int64 {
	if q.batch < 0 {
		return q.timestamp
	}
	return b.times[q.log][q.batch] + q.timestamp
}

// compare asks one question of every log, in one request.
func (c *comparison) compare(t *testing.T) {
	t.Helper()
	version, isolation := 1+int16(c.r.IntN(11)), int8(c.r.IntN(2))
	questions := make([]question, len(c.logs))
	for i, l := range c.logs {
		questions[i] = c.question(l, version)
	}
	got, want := c.quire.ask(t, version, isolation, questions), c.kafka.ask(t, version, isolation, questions)
	for i, q := range questions {
		c.answers++
		if got[i] != want[i] {
			if c.differed++; c.differed <= 20 {
				t.Errorf("%s, version %d, isolation %d, timestamp %d (batch %d) of %d records: quire %+v, kafka %+v", q.log, version,
					isolation, q.timestamp, q.batch, len(q.log.times), got[i], want[i])
			}
		}
	}
}

// located is what must be the same: the timestamp as it is, or whose append time it is; that there is a leader epoch.
type located struct {
	errorCode int16
	offset    int64
	timestamp int64
	ofBatch   int
	epoch     bool
}

func (b *stampedBroker) ask(t *testing.T, version int16, isolation int8, questions []question) []located {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.SetVersion(version)
	req.ReplicaID, req.IsolationLevel, req.TimeoutMillis = -1, isolation, 30_000
	for _, q := range questions {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != q.log.kind.name {
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = q.log.kind.name
			req.Topics = append(req.Topics, rt)
		}
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp, rp.CurrentLeaderEpoch = q.log.partition, q.at(b), -1
		rt := &req.Topics[len(req.Topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	resp := b.request(t, req).(*kmsg.ListOffsetsResponse)
	answers := map[string]kmsg.ListOffsetsResponseTopicPartition{}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			answers[fmt.Sprint(rt.Topic, rp.Partition)] = rp
		}
	}
	out := make([]located, len(questions))
	for i, q := range questions {
		rp, ok := answers[fmt.Sprint(q.log.kind.name, q.log.partition)]
		if !ok {
			t.Fatalf("%s: no answer about %s", b.addr, q.log)
		}
		out[i] = b.locate(q.log, &rp)
	}
	return out
}

func (b *stampedBroker) locate(l *stampedLog, rp *kmsg.ListOffsetsResponseTopicPartition) located {
	at := located{errorCode: rp.ErrorCode, offset: rp.Offset, timestamp: rp.Timestamp, ofBatch: -1, epoch: rp.LeaderEpoch >= 0}
	if !l.kind.appendTime || rp.Timestamp < 0 {
		return at
	}
	for i, own := range b.times[l] {
		if own == rp.Timestamp {
			at.timestamp, at.ofBatch = 0, i
			break
		}
	}
	return at
}
