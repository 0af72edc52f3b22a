package broker

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// testClient speaks raw requests over one connection.
type testClient struct {
	t  *testing.T
	nc net.Conn
}

func newTestClient(t *testing.T, b *Broker) *testClient {
	return &testClient{t: t, nc: dial(t, b.kafka)}
}

// do sends a request at the version it has and returns the response, all of which must be used up.
func (c *testClient) do(msg kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(msg)
	return c.receive(msg)
}

func (c *testClient) send(msg kmsg.Request) {
	c.t.Helper()
	if _, err := c.nc.Write(frameOf(msg, 7)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testClient) receive(msg kmsg.Request) kmsg.Response {
	c.t.Helper()
	_, body := readResponse(c.t, c.nc)
	resp := msg.ResponseKind()
	resp.SetVersion(msg.GetVersion())
	if resp.IsFlexible() && msg.Key() != int16(kmsg.ApiVersions) {
		if body[0] != 0 {
			c.t.Fatalf("response header of key %d has tags", msg.Key())
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		c.t.Fatalf("key %d version %d: %v", msg.Key(), msg.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		c.t.Fatalf("key %d version %d: %x\nis encoded again as %x", msg.Key(), msg.GetVersion(), body, again)
	}
	return resp
}

// testBatch is a batch of n records of 100 bytes.
func testBatch(t testing.TB, n int) []byte {
	t.Helper()
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{Offset: batch.Offset(i), Timestamp: 1000 + int64(i), Value: make([]byte, 100)}
	}
	raw, err := new(batch.Builder).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func produceRequest(version int16, topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = version, -1, int32(testWait/time.Millisecond)
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = partition, records
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

// produce appends and returns the answer of the only partition.
func (c *testClient) produce(r *kmsg.ProduceRequest) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	return c.do(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

func (c *testClient) mustProduce(topic string, partition int32, records []byte) {
	c.t.Helper()
	if got := c.produce(produceRequest(12, topic, partition, records)); got.ErrorCode != 0 {
		c.t.Fatalf("produce to %s-%d: code %d", topic, partition, got.ErrorCode)
	}
}

// TestEveryVersionAnswers sends each request of the table, empty, at each of its versions.
func TestEveryVersionAnswers(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	for _, row := range b.dispatch.rows {
		for version := row.min; version <= row.max; version++ {
			msg := row.key.Request()
			msg.SetVersion(version)
			if v, ok := msg.(*kmsg.ApiVersionsRequest); ok {
				v.ClientSoftwareName, v.ClientSoftwareVersion = "test", "1"
			}
			if _, ok := msg.(*kmsg.ProduceRequest); ok {
				msg = produceRequest(version, "none", 0, nil) // with acks
			}
			c.do(msg)
		}
	}
}

func TestInitProducerID(t *testing.T) {
	c := newTestClient(t, startBroker(t, testConfig(t.TempDir())))
	seen := map[int64]bool{}
	for range producerIDBlock + 5 {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version = 4
		resp := c.do(r).(*kmsg.InitProducerIDResponse)
		if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] {
			t.Fatalf("after %d ids: %+v", len(seen), resp)
		}
		seen[resp.ProducerID] = true
	}
	for _, bad := range []struct {
		name string
		txn  *string
		id   int64
		code int16
	}{
		{"half of an id", nil, 5, 42},
		{"empty transactional id", new(string), -1, 42},
		{"transactional id", nullable("tx"), -1, 53},
	} {
		r := kmsg.NewPtrInitProducerIDRequest()
		r.Version, r.TransactionalID, r.ProducerID = 4, bad.txn, bad.id
		if resp := c.do(r).(*kmsg.InitProducerIDResponse); resp.ErrorCode != bad.code || resp.ProducerID != -1 {
			t.Errorf("%s: %+v", bad.name, resp)
		}
	}
}

// fixCRC makes the checksum right again after a batch was changed.
func fixCRC(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[17:], batchCRC(raw))
	return raw
}
