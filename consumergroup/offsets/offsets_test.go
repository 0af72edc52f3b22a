package offsets

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/segment/fuzz"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func commit(topic string, partition int32, c Committed) *journal.OffsetCommit {
	return &journal.OffsetCommit{Group: "g", Topic: topic, Partition: partition, Value: &kmsg.OffsetCommitValue{
		Offset: c.Offset, LeaderEpoch: c.LeaderEpoch, Metadata: c.Metadata, CommitTimestamp: c.CommitTime, ExpireTimestamp: c.ExpireTime, TopicID: c.TopicID}}
}

// random is any committed offset; the rarer fields are rare.
func random(r *rand.Rand) Committed {
	c := Committed{Offset: r.Int64N(1000), LeaderEpoch: r.Int32N(5) - 1, CommitTime: r.Int64N(1000), ExpireTime: -1, TopicID: [16]byte{1}}
	if r.IntN(4) == 0 {
		c.Metadata = fmt.Sprint("metadata ", r.IntN(3))
	}
	if r.IntN(8) == 0 {
		c.ExpireTime = 1 + r.Int64N(1000)
	}
	if r.IntN(8) == 0 {
		c.TopicID = [16]byte{byte(r.IntN(3))}
	}
	return c
}

// A table is a map with an order.
func TestTableIsAMap(t *testing.T) {
	r := fuzz.Rand(t)
	var table Table
	model := map[Partition]Committed{}
	for n := range 20_000 {
		p := Partition{Topic: fmt.Sprint("topic", r.IntN(5)), Partition: r.Int32N(8)}
		if r.IntN(2+n/100%4) == 0 { // it grows for a while, then it shrinks
			table.Apply(commit(p.Topic, p.Partition, random(r)))
			c := random(r)
			table.Apply(commit(p.Topic, p.Partition, c))
			model[p] = c
		} else {
			table.Apply(&journal.OffsetCommit{Topic: p.Topic, Partition: p.Partition})
			delete(model, p)
		}
		got, ok := table.Get(p.Topic, p.Partition)
		if want, there := model[p]; ok != there || got != want {
			t.Fatalf("%v: got %+v, %v, want %+v, %v", p, got, ok, want, there)
		}
		if n%50 == 0 {
			checkAll(t, &table, model)
		}
	}
}

func checkAll(t *testing.T, table *Table, model map[Partition]Committed) {
	t.Helper()
	inOrder := slices.SortedFunc(maps.Keys(model), func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	var all, byTopic []Partition
	for p, c := range table.All() {
		if all = append(all, p); model[p] != c {
			t.Fatalf("%v: got %+v, want %+v", p, c, model[p])
		}
	}
	for i := range 5 {
		name := fmt.Sprint("topic", i)
		for number, c := range table.Topic(name) {
			p := Partition{Topic: name, Partition: number}
			if byTopic = append(byTopic, p); model[p] != c {
				t.Fatalf("%v: got %+v, want %+v", p, c, model[p])
			}
		}
	}
	if n := table.Bytes(); n < len(model)*partitionBytes || len(model) == 0 && n != 0 {
		t.Fatalf("%d offsets in %d bytes", len(model), n)
	}
	if table.Len() != len(model) || !slices.Equal(all, inOrder) || !slices.Equal(byTopic, inOrder) {
		t.Fatalf("%d offsets: %v, want %v", table.Len(), all, inOrder)
	}
}

// When clients begin to commit by topic id, or a topic was made again, the table is as small as before once all have committed.
func TestNewIDsTakeNoMemory(t *testing.T) {
	var table Table
	for _, id := range [][16]byte{{}, {1}, {2}} {
		for p := range int32(100) {
			table.Apply(commit("a", p, Committed{ExpireTime: -1, TopicID: id}))
			if c, _ := table.Get("a", 99-p); p < 49 && c.TopicID == id && id != [16]byte{} {
				t.Fatalf("partition %d has the id %x before it was committed", 99-p, id)
			}
		}
		if c, _ := table.Get("a", 0); c.TopicID != id || table.topics[0].rest != nil {
			t.Errorf("id %x, and %d partitions take more", c.TopicID, len(table.topics[0].rest))
		}
	}
}

func TestIterationsEnd(t *testing.T) {
	var table Table
	for p := range int32(3) {
		table.Apply(commit("a", p, Committed{}))
	}
	n := 0
	for range table.All() {
		n++
		break
	}
	for range table.Topic("a") {
		n++
		break
	}
	if n != 2 {
		t.Errorf("%d", n)
	}
}

func TestExpired(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	const hour = time.Hour
	var table Table
	table.Apply(commit("early", 0, Committed{CommitTime: 1000, ExpireTime: -1}))
	table.Apply(commit("late", 1, Committed{CommitTime: 5000, ExpireTime: -1}))
	table.Apply(commit("own", 2, Committed{CommitTime: 1000, ExpireTime: 3000}))
	early, late, own := Partition{"early", 0}, Partition{"late", 1}, Partition{"own", 2}
	after := func(ms int64) time.Time { return at(ms).Add(hour) }
	for name, tt := range map[string]struct {
		e    Expiry
		want []Partition
	}{
		"nothing yet":               {Expiry{Now: at(2999), Retention: hour}, nil},
		"a time of its own":         {Expiry{Now: at(3000), Retention: hour}, []Partition{own}},
		"no retention":              {Expiry{Now: after(1e9)}, []Partition{own}},
		"one millisecond early":     {Expiry{Now: after(999), Retention: hour}, []Partition{own}},
		"since the commit":          {Expiry{Now: after(1000), Retention: hour}, []Partition{early, own}},
		"all":                       {Expiry{Now: after(5000), Retention: hour}, []Partition{early, late, own}},
		"since the group was empty": {Expiry{Now: after(2999), Retention: hour, Since: at(3000)}, []Partition{own}},
		"a commit after that":       {Expiry{Now: after(3000), Retention: hour, Since: at(3000)}, []Partition{early, own}},
		"a topic that is read":      {Expiry{Now: after(5000), Retention: hour, Subscribed: func(s string) bool { return s != "late" }}, []Partition{late}},
	} {
		if got := table.Expired(tt.e); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// tables is what one coordinator may hold: groups that each committed so many partitions of one topic.
func tables(groups, partitions int) []Table {
	all := make([]Table, groups)
	for p := range partitions {
		for g := range all {
			all[g].Apply(commit("orders", int32(p*31%partitions), Committed{Offset: 1, CommitTime: 1}))
		}
	}
	return all
}

func TestMemory(t *testing.T) {
	const groups, partitions, most = 1000, 100, 40
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	all := tables(groups, partitions)
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / (groups * partitions)
	t.Logf("%.1f bytes an offset", each)
	if each > most {
		t.Errorf("%.1f bytes an offset, the limit is %d", each, most)
	}
	runtime.KeepAlive(all)
}

func BenchmarkApply(b *testing.B) {
	const groups, partitions = 100, 100
	e := commit("orders", 0, Committed{Offset: 1, CommitTime: 1})
	b.ReportAllocs()
	for n := 0; b.Loop(); {
		all := make([]Table, groups)
		for p := range int32(partitions) {
			for g := range all {
				e.Partition = p * 31 % partitions
				all[g].Apply(e)
				n++
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/offset")
	}
}
