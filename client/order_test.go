package client

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func at(ms int64) *kgo.Record { return &kgo.Record{Timestamp: time.UnixMilli(ms)} }

// drain takes what the order knows.
func drain(o order) (got []int64) {
	for k := o.next(); k != nil; k = o.next() {
		got = append(got, k.Timestamp.UnixMilli())
	}
	return got
}

// TestMergeWaitsForEveryPartition: nothing is known while a partition that has more could have something earlier.
func TestMergeWaitsForEveryPartition(t *testing.T) {
	m := &merge{}
	a, b, beyond := &partition{number: 0, end: 3}, &partition{number: 1, end: 1}, &partition{number: 2}
	feed := func(p *partition, times ...int64) {
		for _, ms := range times {
			p.queue.push(at(ms))
			p.next++
		}
		m.add(p)
	}
	for _, p := range []*partition{a, b, beyond} {
		m.add(p)
	}
	for i, step := range []struct {
		p     *partition
		times []int64
		want  []int64
	}{
		{a, []int64{5, 7}, nil},                // b may have earlier ones
		{beyond, []int64{1}, nil},              // read up to its end: not waited for, but it waits
		{b, []int64{6}, []int64{1, 5, 6, 7}},   // b is at its end then, a not
		{beyond, []int64{2}, nil},              // a may have more
		{a, []int64{8}, []int64{2, 8}},         // all are at their ends
		{beyond, []int64{1, 0}, []int64{1, 0}}, // from here on as it comes, in a partition's own order
	} {
		feed(step.p, step.times...)
		if got := drain(m); !slices.Equal(got, step.want) {
			t.Errorf("step %d: got %v, want %v", i, got, step.want)
		}
	}
}

// TestMergeAgainstASort merges partitions that are fetched in pieces of any size, and compares with all records sorted.
func TestMergeAgainstASort(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		m, partitions := &merge{}, make([]*partition, 1+rng.IntN(6))
		left := make([][]int64, len(partitions))
		var want, got []int64
		for i := range partitions {
			for range rng.IntN(20) {
				left[i] = append(left[i], rng.Int64N(50))
			}
			slices.Sort(left[i])
			want = append(want, left[i]...)
			partitions[i] = &partition{number: int32(i), end: int64(len(left[i]))}
			m.add(partitions[i])
		}
		slices.Sort(want)
		for len(got) < len(want) {
			i := rng.IntN(len(partitions))
			n := rng.IntN(len(left[i]) + 1)
			for _, ms := range left[i][:n] {
				partitions[i].queue.push(at(ms))
				partitions[i].next++
			}
			left[i] = left[i][n:]
			m.add(partitions[i])
			got = append(got, drain(m)...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
		for _, p := range partitions {
			if p.queue.bytes != 0 || p.queue.listed {
				t.Fatalf("seed %d: partition %d holds %d bytes in the end", seed, p.number, p.queue.bytes)
			}
		}
	}
}

func TestPositionSaysWhatItIs(t *testing.T) {
	for want, p := range map[string]Position{
		"the start": {}, "the end": FromEnd(), "offset 7": FromOffset(7), "1h0m0s ago": FromAge(time.Hour),
		"offsets map[1:2]": FromOffsets(map[int32]int64{1: 2}), "2023-11-14T22:13:20Z": FromTime(time.Unix(1_700_000_000, 0)),
	} {
		if got := fmt.Sprint(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
