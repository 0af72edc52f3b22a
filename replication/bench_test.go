package replication

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// counter is a Machine that only counts, and gives back a place in flight for every batch.
type counter struct {
	machine
	places chan struct{}
	done   atomic.Int64
}

func (c *counter) Commit(batches []Committed) {
	for range batches {
		<-c.places
	}
	c.done.Add(int64(len(batches)))
}

// BenchmarkPropose is from Propose to Machine.Commit with one voter, 256 in flight, durability left to the kernel.
func BenchmarkPropose(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, flights := range []int{1, MaxInFlight} {
			b.Run(fmt.Sprintf("size=%d/flights=%d", size, flights), func(b *testing.B) { benchPropose(b, size, flights) })
		}
	}
}

func benchPropose(b *testing.B, size, flights int) {
	s := newServer(b, "1", "1")
	s.flusher = flush.New(flush.Options{FS: vfs.OS, Dir: s.dir, Mode: flush.OS})
	b.Cleanup(func() { must(b, s.flusher.Close(context.Background())) }) // after the group
	s.start().awaitLead()
	c := &counter{places: make(chan struct{}, flights)}
	s.group.applyMu.Lock()
	s.group.machine = c
	s.group.applyMu.Unlock()
	template := newBatch(b, 1, 1, size-100)
	failed := func(err error) { b.Error(err) }
	b.SetBytes(int64(len(template)))
	b.ReportAllocs()
	for b.Loop() {
		c.places <- struct{}{}
		s.group.Propose(bytes.Clone(template), failed)
	}
	for range flights {
		c.places <- struct{}{}
	}
	s.group.applyMu.Lock()
	s.group.machine = s.machine
	s.group.applyMu.Unlock()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	runtime.KeepAlive(template)
}
