package interop

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRoundTrip has every client produce 10,000 records with every codec, plain and idempotent, and others read them back: same
// bytes, first offset 0, no gap, the order of each key kept, and each key where murmur2 puts it.
func TestRoundTrip(t *testing.T) {
	broker := brokerUnderTest(t)
	all := clients(t)
	for j, codec := range codecs {
		readers := readersOf(all, j)
		for i, p := range all {
			o := order{topic: p.name() + "-" + codec, codec: codec, idempotent: (i+j)%2 == 0 && p.can().idempotent}
			t.Run(o.topic, func(t *testing.T) {
				t.Parallel()
				roundTrip(t, broker, o, p, readers[p.name()])
			})
		}
	}
	for i, p := range all {
		o := order{topic: p.name() + "-idempotence-turned", codec: "lz4", idempotent: (i+3)%2 != 0 && p.can().idempotent}
		t.Run(o.topic, func(t *testing.T) { // the other setting of what the loop above gave lz4
			t.Parallel()
			roundTrip(t, broker, o, p, all[:1])
		})
	}
}

// readAll names the clients that read each other completely, every codec and every pair. To read with all of the others as
// well would take an hour: each of them reads every codec, from one producer, which is another for every codec.
var readAll = []string{"franz-go", "kcat", "kafka-python", "java"}

// readersOf shares the reading of one codec out: who reads what each client produced. Text clients read text records only,
// for they print headers without escaping.
func readersOf(all []client, codec int) map[string][]client {
	readers := map[string][]client{}
	var binary []client
	for _, p := range all {
		if p.can().binary {
			binary = append(binary, p)
		} else {
			readers[p.name()] = append(readers[p.name()], p)
		}
		for _, r := range all {
			if slices.Contains(readAll, p.name()) && slices.Contains(readAll, r.name()) && (r.can().binary || p == r) {
				readers[p.name()] = append(readers[p.name()], r)
			}
		}
	}
	for i, p := range binary {
		readers[p.name()] = append(readers[p.name()], binary[(i+codec+1)%len(binary)])
	}
	readers["console"] = append(readers["console"], binary[codec%len(binary)])
	for name := range readers {
		readers[name] = unique(readers[name])
	}
	return readers
}

func unique(cs []client) []client {
	var kept []client
	for _, c := range cs {
		if !slices.ContainsFunc(kept, func(k client) bool { return k.name() == c.name() }) {
			kept = append(kept, c)
		}
	}
	return kept
}

func roundTrip(t *testing.T, broker string, o order, p client, readers []client) {
	t.Helper()
	count := int32(partitions)
	if p.name() == "console" {
		count = 1 // its consumer is a Java process a partition
	}
	createTopic(t, broker, o.topic, count)
	rs := textRecords(uint64(len(o.topic)))
	if p.can().binary {
		rs = binaryRecords(uint64(len(o.topic)))
	}
	began := time.Now()
	acked := produceAll(t, p, broker, o, rs)
	t.Logf("%s wrote in %v", p.name(), time.Since(began).Round(time.Millisecond))
	for _, reader := range readers {
		began := time.Now()
		got := reader.consume(t, broker, o.topic)
		t.Logf("%s read in %v", reader.name(), time.Since(began).Round(time.Millisecond))
		want := rs
		if !reader.can().readsNull {
			want, got = nullsEmptied(rs), readNullsEmptied(got)
		}
		if err := check(want, acked, got, count); err != nil {
			t.Errorf("%s wrote (%s, idempotent %v), %s read: %v", p.name(), o.codec, o.idempotent, reader.name(), err)
		}
	}
}

// nullsEmptied turns null values into empty ones, for a reader that knows no difference.
func nullsEmptied(rs []record) []record {
	rs = slices.Clone(rs)
	for i := range rs {
		rs[i] = rs[i].nullsEmptied()
	}
	return rs
}

func readNullsEmptied(got []stored) []stored {
	for i := range got {
		got[i].record = got[i].nullsEmptied()
	}
	return got
}

func (r record) nullsEmptied() record {
	r.key, r.value = append([]byte{}, r.key...), append([]byte{}, r.value...)
	return r
}

// check holds what was read against what was written, record by record.
func check(rs []record, acked, got []stored, partitions int32) error {
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
	return checkKeys(rs, byPartition, partitions)
}

// checkKeys holds each key's records, in the order they were written, against the partition where murmur2 puts the key.
func checkKeys(rs []record, byPartition map[int32][]stored, partitions int32) error {
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
			if want := murmur2(s.key) & 0x7fffffff % partitions; p != want {
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
