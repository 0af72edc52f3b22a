package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// binaryClients are those that can send and read anything.
func binaryClients(t *testing.T) []client {
	var kept []client
	for _, c := range clients(t) {
		if c.can().binary {
			kept = append(kept, c)
		}
	}
	return kept
}

// TestOddRecords has every client write the records that are easily got wrong, and read its own and franz-go's.
func TestOddRecords(t *testing.T) {
	broker := brokerUnderTest(t)
	all := binaryClients(t)
	write := func(t *testing.T, c client) string {
		topic := "odd-records-" + c.name()
		createTopicWith(t, broker, topic, 1, map[string]string{"message.timestamp.after.max.ms": "9223372036854775807"})
		rs := oddRecords(c.can())
		acked := produceOdd(t, broker, c, order{topic: topic, codec: "none"}, rs)
		readBack(t, broker, topic, franz{}, rs, acked)
		readBack(t, broker, topic, c, rs, acked)
		return topic
	}
	from := write(t, franz{})
	for _, c := range all[1:] {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			readBack(t, broker, from, c, oddRecords(everything), nil)
			write(t, c)
		})
	}
}

// produceOdd gives each record a batch of its own where the client cannot write timestamps far apart into one.
func produceOdd(t *testing.T, broker string, c client, o order, rs []record) []stored {
	t.Helper()
	if c.can().wideBatch {
		return produceAll(t, c, broker, o, rs)
	}
	p := c.open(t, broker, o)
	defer p.close()
	var acked []stored
	for i := range rs {
		got, err := p.send(rs[i : i+1])
		if err != nil {
			t.Fatal(err)
		}
		acked = append(acked, got...)
	}
	return acked
}

func oddRecords(can abilities) []record {
	const year2200 = 7_258_118_400_000 // past 2262, clients that count nanoseconds overflow
	many := make([]header, 1000)
	for i := range many {
		many[i] = header{fmt.Sprintf("header-%d", i), string(randomValue(i % 50))}
	}
	some := []byte("some")
	rs := []record{
		{key: []byte{}, value: some, timestamp: 1},
		{key: some, value: []byte{}, timestamp: 1_700_000_000_000},
		{key: []byte{}, value: []byte{}, timestamp: year2200},
		{key: nil, value: []byte{}, timestamp: 2_147_483_648_000}, // past what 32 bits of seconds hold
		{key: []byte{}, value: nil, timestamp: 999},
		{key: some, value: some, timestamp: 1_700_000_000_001, headers: many},
		{key: some, value: some, timestamp: year2200, headers: []header{{"größe ☃", "\x00\xff"}, {"e", ""}}},
		{key: nil, value: []byte{0}, timestamp: 1_700_000_000_002},
		{key: []byte{0}, value: []byte{255}, timestamp: 1},
	}
	if can.zeroTime {
		rs = append(rs, record{key: some, value: some, timestamp: 0})
	}
	return rs
}

func randomValue(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n) }

// readBack has c read the topic of one partition and holds it against what was written.
func readBack(t *testing.T, broker, topic string, c client, rs []record, acked []stored) {
	t.Helper()
	got := c.consume(t, broker, topic)
	if !c.can().readsNull {
		rs, got = nullsEmptied(rs), readNullsEmptied(got)
	}
	if len(got) != len(rs) {
		t.Fatalf("%s read %d records from %s, want %d", c.name(), len(got), topic, len(rs))
	}
	for i, r := range rs {
		at := i
		if acked != nil {
			at = int(acked[i].offset)
		}
		if got[at].offset != int64(at) {
			t.Errorf("%s, %s: offset %d at place %d", c.name(), topic, got[at].offset, at)
		}
		if d := r.differs(got[at].record); d != "" {
			t.Errorf("%s, %s, record %d: %.300s", c.name(), topic, i, d)
		}
	}
}

var tooLarge = regexp.MustCompile(`(?i)too.?large|larger than|MSG_SIZE`)

// TestLargestRecord has every client write a batch of exactly max.message.bytes, which goes in, and one byte more, which is
// refused as too large.
func TestLargestRecord(t *testing.T) {
	const limit = 1048588
	broker := brokerUnderTest(t)
	for _, c := range clients(t) {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			topic := "largest-" + c.name()
			createTopicWith(t, broker, topic, 1, map[string]string{"max.message.bytes": fmt.Sprint(limit)})
			o := order{topic: topic, codec: "none", large: true}
			fits := record{value: bytes.Repeat([]byte{'x'}, valueFor(limit)), timestamp: 1_700_000_000_000}
			if !c.can().binary {
				fits.timestamp = anyTime
			}
			produceAll(t, c, broker, o, []record{fits})
			over := fits
			over.value = append(bytes.Clone(over.value), 'x')
			p := c.open(t, broker, o)
			defer p.close()
			if _, err := p.send([]record{over}); err == nil || !tooLarge.MatchString(err.Error()) {
				t.Errorf("one byte over max.message.bytes: %v", err)
			}
			readBack(t, broker, topic, franz{}, []record{fits}, nil)
			readBack(t, broker, topic, c, []record{fits}, nil)
		})
	}
}

// valueFor is the length of the value that makes a batch of one record without key and headers this long.
func valueFor(batch int) int {
	const head, fields = 61, 5 // attributes, timestamp and offset delta, null key, no headers
	varint := func(n int) int { return len(binary.AppendVarint(nil, int64(n))) }
	for n := batch - head - fields; ; n-- {
		body := fields + varint(n) + n
		if head+varint(body)+body <= batch {
			return n
		}
	}
}

// TestAcks has every client write with acks 0, 1 and all.
func TestAcks(t *testing.T) {
	broker := brokerUnderTest(t)
	for _, c := range clients(t) {
		for _, acks := range []string{"0", "1", "all"} {
			topic := "acks-" + acks + "-" + c.name()
			t.Run(topic, func(t *testing.T) {
				t.Parallel()
				rs := textRecords(3)[:200]
				if c.can().binary {
					rs = binaryRecords(3)[:200]
				}
				createTopic(t, broker, topic, partitions)
				acked := produceAll(t, c, broker, order{topic: topic, codec: "none", acks: acks}, rs)
				if acks == "0" { // the client does not know where they went, nor when
					acked = nil
					waitForRecords(t, broker, topic, int64(len(rs)))
				}
				if err := check(rs, acked, franz{}.consume(t, broker, topic), partitions); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func waitForRecords(t *testing.T, broker, topic string, want int64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		var n int64
		for _, end := range endsOf(t, broker, topic) {
			n += end
		}
		if n == want {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d records in %s, want %d", n, topic, want)
		}
	}
}

// TestRecreatedTopic deletes a topic under a running producer and makes it again: it goes on, into the new topic only.
// Clients do not make it themselves: one that asked for it in between would.
func TestRecreatedTopic(t *testing.T) {
	broker := brokerUnderTest(t, "--auto-create-topics-enable=false")
	for _, c := range binaryClients(t) {
		for _, idempotent := range []bool{false, true} {
			if idempotent && !c.can().idempotent {
				continue
			}
			t.Run(fmt.Sprintf("%s/idempotent=%v", c.name(), idempotent), func(t *testing.T) {
				t.Parallel()
				o := order{topic: fmt.Sprintf("recreated-%s-%v", c.name(), idempotent), codec: "none", idempotent: idempotent}
				createTopic(t, broker, o.topic, 1)
				p := c.open(t, broker, o)
				defer p.close()
				rs := binaryRecords(5)[:20]
				if _, err := p.send(rs[:10]); err != nil {
					t.Fatal(err)
				}
				deleteTopic(t, broker, o.topic)
				createTopic(t, broker, o.topic, 1)
				acked, err := p.send(rs[10:])
				if f, ok := p.(interface{ forget(topic string) }); ok && err != nil {
					f.forget(o.topic) // franz-go fails on purpose until the application does this
					acked, err = p.send(rs[10:])
				}
				if err != nil {
					t.Fatalf("after the topic was made again: %v", err)
				}
				readBack(t, broker, o.topic, franz{}, rs[10:], acked)
			})
		}
	}
}

// refused is how clients put TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which they take for final; kafkajs says no more than what it was doing.
var refused = regexp.MustCompile(`(?i)transactional[ _]?id[ _]?authorization|failed to find group coordinator`)

// TestTransactionalID has every client that knows transactions ask for one; each must be told that there are none.
func TestTransactionalID(t *testing.T) {
	broker := brokerUnderTest(t)
	for _, c := range clients(t) {
		r, ok := c.(interface {
			refusal(t *testing.T, broker string) string
		})
		if !ok || !c.can().transaction {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			said := r.refusal(t, broker)
			t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), said)
			if !refused.MatchString(said) {
				t.Errorf("it says %q", said)
			}
		})
	}
}

func createTopicWith(t *testing.T, broker, topic string, partitions int32, settings map[string]string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	values := map[string]*string{}
	for k, v := range settings {
		values[k] = &v
	}
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, values, topic); err != nil {
		t.Fatal(err)
	}
}

func deleteTopic(t *testing.T, broker, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
}
