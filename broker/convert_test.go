package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/fuzz"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configure sets keys of a topic and waits until they count.
func configure(t *testing.T, b *Broker, topic string, values map[string]string) {
	t.Helper()
	a := alteration{configResource: configResource{kmsg.ConfigResourceTypeTopic, topic}}
	a.changes = func(map[string]string) (list []controller.ConfigChange, _ error) {
		for k, v := range values {
			list = append(list, controller.ConfigChange{Key: k, Value: &v})
		}
		return list, nil
	}
	if err := b.alterResource(testContext(t), &a, false); err != nil {
		t.Fatal(err)
	}
}

// stored returns the batches that a partition holds.
func stored(t *testing.T, b *Broker, topic string) []byte {
	t.Helper()
	chunk, _, err := b.partitions.Get(topic, 0).Read(0, 1<<30, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer chunk.Close()
	var all bytes.Buffer
	if _, err := chunk.WriteTo(&all); err != nil {
		t.Fatal(err)
	}
	return all.Bytes()
}

// TestEveryCodecToEveryCodec produces and consumes with kgo through topics of each compression.type.
func TestEveryCodecToEveryCodec(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	asked := map[string]batch.Compression{
		"uncompressed": batch.None, "gzip": batch.Gzip, "snappy": batch.Snappy, "lz4": batch.LZ4, "zstd": batch.Zstd, "producer": -1,
	}
	sent := map[batch.Compression]kgo.CompressionCodec{
		batch.None: kgo.NoCompression(), batch.Gzip: kgo.GzipCompression(), batch.Snappy: kgo.SnappyCompression(),
		batch.LZ4: kgo.Lz4Compression(), batch.Zstd: kgo.ZstdCompression(),
	}
	for name, want := range asked {
		for _, appendTime := range []string{"CreateTime", "LogAppendTime"} {
			topic := name + "-" + appendTime
			makeTopic(t, b, topic, 1)
			configure(t, b, topic, map[string]string{"compression.type": name, "message.timestamp.type": appendTime})
			for from, codec := range sent {
				produceValues(t, b, topic, codec)
				codecAndTime := lastBatch(t, stored(t, b, topic))
				if expect := want; codecAndTime.LogAppendTime() != (appendTime == "LogAppendTime") ||
					(expect >= 0 && codecAndTime.Compression() != expect) || (expect < 0 && codecAndTime.Compression() != from) {
					t.Errorf("%s from %s: attributes %x", topic, from, codecAndTime.Attributes)
				}
			}
			consumeValues(t, b, topic, len(sent))
		}
	}
}

const valuesProduced = 50

func valueAt(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "value %d ", i), 40) }

func produceValues(t *testing.T, b *Broker, topic string, codec kgo.CompressionCodec) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range valuesProduced {
		cl.Produce(testContext(t), &kgo.Record{Topic: topic, Value: valueAt(i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("%s: %v", topic, err)
			}
		})
	}
	if err := cl.Flush(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func consumeValues(t *testing.T, b *Broker, topic string, times int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for n := 0; n < times*valuesProduced; {
		fetched := cl.PollFetches(testContext(t))
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		for _, r := range fetched.Records() {
			if r.Offset != int64(n) || !bytes.Equal(r.Value, valueAt(n%valuesProduced)) {
				t.Fatalf("%s: offset %d has %q, want %d", topic, r.Offset, r.Value, n)
			}
			n++
		}
	}
}

func lastBatch(t *testing.T, all []byte) (h batch.Header) {
	t.Helper()
	for len(all) > 0 {
		first, rest, err := batch.Split(all)
		if err == nil {
			h, err = batch.Validate(first)
		}
		if err == nil {
			err = batch.Records(first, 0, func(*batch.Record) bool { return true })
		}
		if err != nil {
			t.Fatal(err)
		}
		all = rest
	}
	return h
}

// What needs no other codec is stored as it came, whatever is in it.
func TestSameCodecStaysUntouched(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	for _, value := range []string{"producer", "uncompressed"} {
		makeTopic(t, b, value, 1)
		configure(t, b, value, map[string]string{"compression.type": value})
		raw := edited(t, func(b []byte) []byte { b[len(b)-1]++; return b }) // a header count that is not the record's
		sent := bytes.Clone(raw)
		if got := c.produce(produceRequest(12, value, 0, raw)); got.ErrorCode != 0 {
			t.Fatalf("%s: code %d", value, got.ErrorCode)
		}
		if got := stored(t, b, value); !bytes.Equal(got[17:], sent[17:]) {
			t.Errorf("%s: other bytes are stored", value)
		}
	}
}

func timedBatch(t testing.TB, codec batch.Compression, value int, times ...int64) []byte {
	t.Helper()
	var records []batch.Record
	for _, ts := range times {
		records = append(records, batch.Record{Timestamp: ts, Value: make([]byte, value)})
	}
	raw, err := (&batch.Builder{Compression: codec}).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// keyedBatch has a record for each key.
func keyedBatch(t testing.TB, codec batch.Compression, keys ...[]byte) []byte {
	t.Helper()
	var records []batch.Record
	for _, k := range keys {
		records = append(records, batch.Record{Timestamp: time.Now().UnixMilli(), Key: k, Value: []byte("v")})
	}
	raw, err := (&batch.Builder{Compression: codec}).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConversionRefusals(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	now := time.Now().UnixMilli()
	const hour = 3600_000
	bad := edited(t, func(b []byte) []byte { b[len(b)-1]++; return b })
	for i, tc := range []struct {
		name   string
		config map[string]string
		batch  []byte
		code   int16
	}{
		{"now", nil, timedBatch(t, batch.None, 1, now), 0},
		{"almost an hour ahead", nil, timedBatch(t, batch.None, 1, now+hour-60_000), 0},
		{"more than an hour ahead", nil, timedBatch(t, batch.None, 1, now, now+hour+60_000), 32},
		{"append time", map[string]string{"message.timestamp.type": "LogAppendTime"}, timedBatch(t, batch.None, 1, now+2*hour), 0},
		{"no bound ahead", map[string]string{"message.timestamp.after.max.ms": "9223372036854775807"},
			timedBatch(t, batch.None, 1, 1<<62), 0},
		{"bound ahead of 0", map[string]string{"message.timestamp.after.max.ms": "0"}, timedBatch(t, batch.None, 1, now+60_000), 32},
		{"no timestamp", map[string]string{"message.timestamp.before.max.ms": "0", "message.timestamp.after.max.ms": "0"},
			timedBatch(t, batch.None, 1, -1), 0},
		{"old", nil, timedBatch(t, batch.None, 1, 0), 0},
		{"too old", map[string]string{"message.timestamp.before.max.ms": "3600000"}, timedBatch(t, batch.Zstd, 1, now, 5, now), 32},
		{"old enough", map[string]string{"message.timestamp.before.max.ms": "3600000"}, timedBatch(t, batch.Zstd, 1, now-hour/2), 0},
		{"too old, recompressed", map[string]string{"message.timestamp.before.max.ms": "1000", "compression.type": "gzip"},
			timedBatch(t, batch.None, 1, now-hour), 32},
		{"ahead, recompressed", map[string]string{"compression.type": "gzip"}, timedBatch(t, batch.None, 1, now+2*hour), 32},
		{"invalid records", map[string]string{"compression.type": "lz4"}, bad, 87},
		{"larger afterwards", map[string]string{"compression.type": "uncompressed"}, timedBatch(t, batch.Gzip, 2<<20, now), 10},
		{"within the limit", map[string]string{"compression.type": "gzip"}, timedBatch(t, batch.Zstd, 2<<20, now), 0},
		{"a key each", map[string]string{"cleanup.policy": "compact"}, keyedBatch(t, batch.Zstd, []byte("k"), []byte{}), 0},
		{"no key", map[string]string{"cleanup.policy": "compact,delete"}, keyedBatch(t, batch.None, []byte("k"), nil), 87},
		{"no key, recompressed", map[string]string{"cleanup.policy": "compact", "compression.type": "gzip"},
			keyedBatch(t, batch.LZ4, nil), 87},
		{"decompressed limit", map[string]string{"compression.type": "gzip", "max.decompressed.message.bytes": "1048576"},
			timedBatch(t, batch.Zstd, 2<<20, now), 10}, // the last: the connection is muted
	} {
		topic := fmt.Sprintf("t%d", i)
		makeTopic(t, b, topic, 1)
		configure(t, b, topic, tc.config)
		got := c.produce(produceRequest(12, topic, 0, tc.batch))
		if got.ErrorCode != tc.code || (tc.code != 0) != (got.ErrorMessage != nil) {
			t.Errorf("%s: code %d, want %d", tc.name, got.ErrorCode, tc.code)
		}
		if got := len(stored(t, b, topic)); (got > 0) != (tc.code == 0) {
			t.Errorf("%s: %d bytes are stored", tc.name, got)
		}
	}
}

// TestBombsAtOnce: many batches that grow to 30,000 times their size are refused, and the memory for them stays bounded.
func TestBombsAtOnce(t *testing.T) {
	b := newBroker(testConfig(t.TempDir()), Options{})
	b.unusual = newLane(0)
	c, err := topicconfig.Default().With(map[string]string{"message.timestamp.before.max.ms": "1000", "max.decompressed.message.bytes": "33554432"})
	if err != nil {
		t.Fatal(err)
	}
	const plain, senders = 40 << 20, 8
	bomb := fuzz.Bomb(plain)
	if ratio := plain / len(bomb); ratio < 30_000 {
		t.Fatalf("the bomb grows %d times only", ratio)
	}
	h, err := batch.Validate(bomb)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			if _, _, err := b.convert(testContext(t), bomb, h, &c); !errors.Is(err, batch.ErrTooLarge) {
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	runtime.ReadMemStats(&after)
	if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 8*senders {
		t.Errorf("%d MiB were allocated for %d times %d MiB", took, senders, plain>>20)
	}
	c.Compression.Asked, c.Compression.Codec = true, batch.LZ4
	if _, _, err := b.convert(testContext(t), bomb, h, &c); !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("recompressed: got %v", err)
	}
}

// A bomb that stays within the limits is taken; what is beyond them is refused, and its connection not read for a while. Others go on.
func TestBombersAreMuted(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	configure(t, b, "t", map[string]string{"compression.type": "lz4"})
	c := newTestClient(t, b)
	if got := c.produce(produceRequest(12, "t", 0, fuzz.Bomb(2<<20))); got.ErrorCode != 0 {
		t.Errorf("within the limits: code %d", got.ErrorCode)
	}
	resp := c.do(produceRequest(12, "t", 0, fuzz.Bomb(freePlain+1<<20))).(*kmsg.ProduceResponse)
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 10 || resp.ThrottleMillis != int32(muteTime/time.Millisecond) {
		t.Errorf("code %d, throttled for %d ms", code, resp.ThrottleMillis)
	}
	c.send(produceRequest(12, "t", 0, testBatch(t, 1)))
	newTestClient(t, b).mustProduce("t", 0, testBatch(t, 1))
	_ = c.nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := c.nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want no answer yet", n, err)
	}
	if got := len(stored(t, b, "t")); got == 0 {
		t.Error("nothing is stored")
	}
}

// Whoever waits for memory gives up with its request.
func TestConversionWaits(t *testing.T) {
	b := newBroker(testConfig(t.TempDir()), Options{})
	c, _ := topicconfig.Default().With(map[string]string{"compression.type": "lz4"})
	raw := testBatch(t, 1)
	h, _ := batch.Validate(raw)
	if err := b.recompressing.Acquire(t.Context(), recompressBytes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := b.convert(ctx, raw, h, &c); !errors.Is(err, context.Canceled) || errorCode(err) != 7 {
		t.Errorf("got %v", err)
	}
}
