package partition

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
)

// benchSizes are the batches of the benchmarks, in bytes of record value.
var benchSizes = []int{100, 1 << 10, 64 << 10}

func benchRig(b *testing.B, partitions int) (*rig, []*Partition) {
	r := mustRig(b, rigOptions{dir: b.TempDir(), mode: flush.OS})
	b.Cleanup(func() { mustClose(b, r) })
	var all []*Partition
	for n := range partitions {
		all = append(all, openLeader(b, r, voterSpec("bench", 1, int32(n))))
	}
	return r, all
}

// BenchmarkAppend appends one-record batches with 64 of them in flight a partition, in durability mode OS. One of the
// allocations, with the bytes of the batch, is the batch itself.
func BenchmarkAppend(b *testing.B) {
	for _, partitions := range []int{1, 64} {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("partitions=%d/bytes=%d", partitions, size), func(b *testing.B) {
				_, all := benchRig(b, partitions)
				data := build(b, -1, 0, 1, strings.Repeat("x", size))
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i, p := range all {
					wg.Go(func() { pipeline(b, p, data, b.N/partitions+min(1, max(0, b.N%partitions-i))) })
				}
				wg.Wait()
			})
		}
	}
}

func pipeline(b *testing.B, p *Partition, data []byte, n int) {
	h, err := batch.Validate(data)
	if err != nil {
		b.Error(err)
		return
	}
	var under [64]*Pending
	for i := range n + len(under) {
		slot := &under[i%len(under)]
		if *slot != nil {
			if _, err := (*slot).Wait(context.Background()); err != nil {
				b.Error(err)
				return
			}
			*slot = nil
		}
		if i < n {
			if *slot, err = p.Append(context.Background(), bytes.Clone(data), h, AcksAll); err != nil {
				b.Error(err)
				return
			}
		}
	}
}

// BenchmarkAppendAlone appends with nothing else in flight: the latency.
func BenchmarkAppendAlone(b *testing.B) {
	_, all := benchRig(b, 1)
	data := build(b, -1, 0, 1, strings.Repeat("x", 1<<10))
	h, _ := batch.Validate(data)
	b.ReportAllocs()
	for b.Loop() {
		pd, err := all[0].Append(context.Background(), bytes.Clone(data), h, AcksAll)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := pd.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads a partition of 32 MiB round and round, 1 MiB a read.
func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			_, all := benchRig(b, 1)
			data := build(b, -1, 0, 1, strings.Repeat("x", size))
			pipeline(b, all[0], data, 32<<20/len(data))
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			from := Offset(0)
			for b.Loop() {
				c, m, err := all[0].Read(from, 1<<20, -1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				from += Offset(c.Len / len(data))
				c.Close()
				if from >= m.HighWatermark {
					from = 0
				}
			}
		})
	}
}

// BenchmarkJudgeAndCommit is what the partition itself does for the sequence of an append.
func BenchmarkJudgeAndCommit(b *testing.B) {
	s, o := newProducers(1<<40), overlay{}
	h := header(1, 0, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		pd := Pending{seq: sequenceOf(&h)}
		if _, _, err := judge(&s, o, pd.seq, 0); err != nil {
			b.Fatal(err)
		}
		o.add(&pd)
		s.apply(&h, 0)
		o.committed(&pd)
		h.BaseOffset++
		h.BaseSequence = advance(h.BaseSequence, 1)
	}
}
