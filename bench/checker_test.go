package bench

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

const testRun = 7

// feed is a partition's records as a test bends them.
type feed []*kgo.Record

func record(producer uint32, partition int32, sequence uint64) *kgo.Record {
	value, key := make([]byte, MinRecordBytes+8), appendKey(nil, int(sequence))
	h := head{run: testRun, producer: producer, partition: partition, sequence: sequence, intended: 1}
	h.stamp(value, key, fillSum(value))
	return &kgo.Record{Value: value, Key: key, Partition: 3, Offset: int64(sequence)}
}

// records is n records of each of two producers to partition 3, taking turns.
func records(n uint64) (f feed) {
	for i := range n {
		f = append(f, record(0, 3, i), record(1, 3, i))
	}
	return f
}

func (f feed) without(i, n int) feed { return append(append(feed{}, f[:i]...), f[i+n:]...) }
func (f feed) with(i int, r *kgo.Record) feed {
	return append(append(append(feed{}, f[:i]...), r), f[i:]...)
}

func TestChecker(t *testing.T) {
	damaged := func(f feed, i, at int) feed {
		r := *f[i]
		r.Value = append([]byte{}, r.Value...)
		r.Value[at] ^= 1
		return f.without(i, 1).with(i, &r)
	}
	otherKey := func(f feed, i int) feed {
		r := *f[i]
		r.Key = appendKey(nil, 99)
		return f.without(i, 1).with(i, &r)
	}
	swapped := func(f feed, i, j int) feed { f[i], f[j] = f[j], f[i]; return f }
	late := func(f feed, from, to int) feed { return f.without(from, 1).with(to, f[from]) }
	for name, tc := range map[string]struct {
		feed feed
		want Findings
	}{
		"all well":                 {records(10), Findings{Checked: 20}},
		"nothing at all":           {nil, Findings{Lost: 20}},
		"one lost":                 {records(10).without(8, 1), Findings{Checked: 19, Lost: 1}},
		"the first lost":           {records(10).without(0, 1), Findings{Checked: 19, Lost: 1}},
		"the last lost":            {records(10).without(19, 1), Findings{Checked: 19, Lost: 1}},
		"five lost":                {records(10).without(5, 5), Findings{Checked: 15, Lost: 5}},
		"one repeated":             {records(10).with(9, record(0, 3, 4)), Findings{Checked: 21, Repeated: 1}},
		"an old one repeated":      {records(10).with(20, record(1, 3, 0)), Findings{Checked: 21, Repeated: 1}},
		"two swapped":              {swapped(records(10), 4, 6), Findings{Checked: 20, Reordered: 1}},
		"two producers' swapped":   {swapped(records(10), 4, 5), Findings{Checked: 20}},
		"one late":                 {late(records(10), 2, 18), Findings{Checked: 20, Reordered: 1}},
		"late and again":           {late(records(10), 2, 18).with(20, record(0, 3, 1)), Findings{Checked: 21, Reordered: 1, Repeated: 1}},
		"a damaged head":           {damaged(records(10), 6, 25), Findings{Checked: 19, Corrupt: 1, Lost: 1}},
		"a damaged magic":          {damaged(records(10), 6, 5), Findings{Checked: 19, Corrupt: 1, Lost: 1}},
		"a damaged filling":        {damaged(records(10), 6, MinRecordBytes+3), Findings{Checked: 19, Corrupt: 1, Lost: 1}},
		"a damaged checksum":       {damaged(records(10), 6, 0), Findings{Checked: 19, Corrupt: 1, Lost: 1}},
		"another's key":            {otherKey(records(10), 6), Findings{Checked: 19, Corrupt: 1, Lost: 1}},
		"a short value":            {records(10).with(3, &kgo.Record{Value: []byte("x")}), Findings{Checked: 20, Corrupt: 1}},
		"of another partition":     {records(10).with(3, record(0, 2, 0)), Findings{Checked: 20, Misplaced: 1}},
		"more than was sent, once": {records(10).with(20, record(0, 3, 10)), Findings{Checked: 21}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChecker(3, testRun, true, false)
			for _, r := range tc.feed {
				c.observe(r)
			}
			got := c.finish(testRun, []uint64{10, 10})
			if faults := got.Faults(); (faults == 0) != (len(got.Examples) == 0) || got.OK() != (faults == 0) {
				t.Errorf("%d faults, examples %q", faults, got.Examples)
			}
			got.Examples = nil
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func TestCheckerOfATopicThatWasThere(t *testing.T) {
	stranger := &kgo.Record{Value: []byte("somebody else's")}
	c := newChecker(3, testRun+1, false, false)
	for _, r := range records(5).with(0, stranger) {
		if _, ok := c.observe(r); ok {
			t.Errorf("a record of another run counts")
		}
	}
	if got := c.finish(testRun+1, nil); got.Foreign != 11 || !got.OK() || got.Checked != 0 {
		t.Errorf("another run: %+v", got)
	}
	c = newChecker(3, 0, false, true) // all runs, from the middle on
	for _, r := range records(10)[8:].with(4, stranger).without(6, 1) {
		c.observe(r)
	}
	if got := c.finish(0, nil); got.Foreign != 1 || got.Checked != 11 || got.Lost != 1 {
		t.Errorf("from the middle: %+v", got)
	}
}

// The checker agrees with one that remembers every record, over random streams with losses, repeats and late records.
func TestCheckerAgainstASimpleOne(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var f feed
		for i := range uint64(300) {
			switch rng.IntN(12) {
			case 0: // lost
			case 1:
				f = append(f, record(0, 3, i), record(0, 3, i))
			case 2:
				f = f.with(rng.IntN(len(f)+1), record(0, 3, i))
			default:
				f = append(f, record(0, 3, i))
			}
		}
		c, seen, repeated, reordered, highest := newChecker(3, testRun, true, false), map[uint64]bool{}, 0, 0, int64(-1)
		for _, r := range f {
			h, _, _ := readHead(r.Value, r.Key)
			switch {
			case seen[h.sequence]:
				repeated++
			case int64(h.sequence) < highest:
				reordered++
			}
			seen[h.sequence], highest = true, max(highest, int64(h.sequence))
			c.observe(r)
		}
		got := c.finish(testRun, []uint64{300})
		if int(got.Repeated) != repeated || int(got.Reordered) != reordered || int(got.Lost) != 300-len(seen) {
			t.Fatalf("seed %d: %+v, want %d repeated, %d reordered, %d lost", seed, got, repeated, reordered, 300-len(seen))
		}
	}
}

func TestRangesAreBounded(t *testing.T) {
	var r ranges
	const n = 3 * maxRanges
	for i := uint64(0); i < n; i++ {
		r.add(10*i, 10*i+3)
	}
	if len(r.spans) != maxRanges || r.count() != 3*n {
		t.Fatalf("%d spans, count %d", len(r.spans), r.count())
	}
	if r.remove(1) || r.remove(10*n) || !r.remove(10*(n-1)+1) || r.remove(10*(n-1)+1) {
		t.Error("removed the wrong ones")
	}
	if len(r.spans) != maxRanges || r.count() != 3*n-1 {
		t.Errorf("after a removal: %d spans, count %d", len(r.spans), r.count())
	}
}

func TestRecordLayout(t *testing.T) {
	value := []byte(strings.Repeat("f", 44))
	h := head{run: 0x0102030405060708, producer: 9, partition: 10, sequence: 11, intended: 12}
	h.stamp(value, []byte("k"), fillSum(value))
	const want = "51424e31" + "0807060504030201" + "09000000" + "0a000000" + "0b00000000000000" + "0c00000000000000" + "66666666"
	if got := fmt.Sprintf("%x", value[4:]); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, ours, intact := readHead(value, []byte("k")); got != h || !ours || !intact {
		t.Errorf("%+v %v %v", got, ours, intact)
	}
	if got := string(appendKey(nil, 1234567)); got != "key-01234567" {
		t.Errorf("key: %s", got)
	}
}

func BenchmarkStamp(b *testing.B) {
	value := make([]byte, 100)
	sum := fillSum(value)
	for i := range b.N {
		head{run: 1, sequence: uint64(i)}.stamp(value, nil, sum)
	}
}

func BenchmarkObserve(b *testing.B) {
	c, all := newChecker(3, testRun, true, false), records(512)
	for i := range b.N {
		if i%len(all) == 0 {
			c = newChecker(3, testRun, true, false)
		}
		if _, ok := c.observe(all[i%len(all)]); !ok {
			b.Fatal("not seen")
		}
	}
}
