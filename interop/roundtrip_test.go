package interop

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRoundTrip has every client produce 10,000 records with every codec, plain and idempotent, and every client read them
// back: same bytes, first offset 0, no gap, the order of each key kept, and each key where murmur2 puts it.
func TestRoundTrip(t *testing.T) {
	broker := brokerUnderTest(t)
	all := clients(t)
	for i, producer := range all {
		for j, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			idempotent := (i+j)%2 == 0
			topic := fmt.Sprintf("%s-%s", producer.name(), codec)
			t.Run(topic, func(t *testing.T) {
				roundTrip(t, broker, topic, codec, idempotent, producer, all)
			})
		}
	}
	for i, producer := range all {
		topic := producer.name() + "-idempotence-turned"
		t.Run(topic, func(t *testing.T) { // the other setting of what the loop above gave lz4
			roundTrip(t, broker, topic, "lz4", (i+3)%2 != 0, producer, all[:1])
		})
	}
}

func roundTrip(t *testing.T, broker, topic, codec string, idempotent bool, producer client, consumers []client) {
	t.Helper()
	createTopic(t, broker, topic, partitions)
	rs := textRecords(uint64(len(topic)))
	if producer.binary() {
		rs = binaryRecords(uint64(len(topic)))
	}
	acked := producer.produce(t, broker, topic, codec, idempotent, rs)
	for _, consumer := range consumers {
		if !consumer.binary() && producer.binary() {
			continue // kcat prints header lists without escaping; it reads the text records of its own
		}
		got := consumer.consume(t, broker, topic)
		if err := check(rs, acked, got); err != nil {
			t.Errorf("%s wrote (%s, idempotent %v), %s read: %v", producer.name(), codec, idempotent, consumer.name(), err)
		}
	}
}

// check holds what was read against what was written, record by record.
func check(rs []record, acked, got []stored) error {
	if len(got) != len(rs) {
		return fmt.Errorf("%d records, want %d", len(got), len(rs))
	}
	byPartition := map[int32][]stored{}
	for _, s := range got {
		if want := int64(len(byPartition[s.partition])); s.offset != want {
			return fmt.Errorf("partition %d: offset %d where %d was due", s.partition, s.offset, want)
		}
		byPartition[s.partition] = append(byPartition[s.partition], s)
	}
	for i, a := range acked {
		if a.offset < 0 || a.offset >= int64(len(byPartition[a.partition])) {
			return fmt.Errorf("record %d was acknowledged at %d/%d, which is not there", i, a.partition, a.offset)
		}
		if d := rs[i].differs(byPartition[a.partition][a.offset].record); d != "" {
			return fmt.Errorf("record %d at %d/%d: %s", i, a.partition, a.offset, d)
		}
	}
	return checkKeys(rs, byPartition)
}

// checkKeys holds each key's records, in the order they were written, against the partition where murmur2 puts the key.
func checkKeys(rs []record, byPartition map[int32][]stored) error {
	written := map[string][]record{}
	for _, r := range rs {
		if len(r.key) > 0 { // clients disagree whether an empty key is hashed; a null one never is
			written[string(r.key)] = append(written[string(r.key)], r)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(byPartition)) {
		for _, s := range byPartition[p] {
			if len(s.key) == 0 {
				continue
			}
			if want := partitionOf(s.key); p != want {
				return fmt.Errorf("key %q is in partition %d, murmur2 says %d", s.key, p, want)
			}
			left := written[string(s.key)]
			if len(left) == 0 {
				return fmt.Errorf("key %q has more records than were written", s.key)
			}
			if d := left[0].differs(s.record); d != "" {
				return fmt.Errorf("key %q at %d/%d: %s", s.key, p, s.offset, d)
			}
			written[string(s.key)] = left[1:]
		}
	}
	return nil
}

func createTopic(t *testing.T, broker, topic string, partitions int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// endOffsets are the end of each partition that has records.
func endOffsets(t *testing.T, cl *kgo.Client, topic string) map[int32]int64 {
	t.Helper()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	return left
}
