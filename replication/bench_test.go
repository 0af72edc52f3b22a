package replication

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

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
		s.group.Propose(bytes.Clone(template), nil, failed)
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

// BenchmarkIdleGroups is what 1,000 groups of three voters cost, all three brokers in this process, while nothing is written: CPU of
// one core, memory, goroutines. An iteration is a second.
func BenchmarkIdleGroups(b *testing.B) {
	const groups = 1000
	net := newNetwork(b)
	net.direct, net.coalesce = true, 0 // the default
	var servers []*server
	voters := []ServerID{"1-a", "2-a", "3-a"}
	for _, id := range voters {
		s := newServer(b, id, voters...)
		node, err := OpenNode(NodeOptions{Dir: s.votes, Self: id, Transport: func(g GroupID) raft.Transport { return net.join(id, g) }})
		must(b, err)
		b.Cleanup(func() { must(b, node.Close()) })
		s.node = node
		servers = append(servers, s)
	}
	var leaders []*machine
	for i := range groups {
		id := GroupID{Partition: int32(i)}
		var opened []*Group
		for n, s := range servers {
			g, m, err := s.openGroup(s.node, id, filepath.Join(s.dir, id.String()))
			must(b, err)
			b.Cleanup(func() { must(b, g.Close(context.Background())) })
			opened = append(opened, g)
			if n == i%len(servers) {
				leaders = append(leaders, m)
			}
		}
		must(b, opened[i%len(servers)].kick())
	}
	for _, m := range leaders {
		eventually(b, "a leader", m.leading)
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	before := cpuTime(b)
	for b.Loop() {
		<-second.C
	}
	b.ReportMetric(100*float64(cpuTime(b)-before)/float64(b.Elapsed()), "%core")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
