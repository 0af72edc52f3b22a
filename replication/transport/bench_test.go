package transport

import (
	"fmt"
	"testing"

	"github.com/hashicorp/raft"
)

// BenchmarkPipeline is from a leader's pipeline to a follower that has everything at once, and back, over loopback. The bytes allocated
// for each request are its frame at the receiver, and nothing that is copied of it.
func BenchmarkPipeline(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) { benchPipeline(b, size) })
	}
}

func benchPipeline(b *testing.B, size int) {
	bs := newBrokers(b)
	g := bs.start("1-a", nil).Group(testGroup)
	newMember(b, bs.start("2-b", nil), testGroup, accept)
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(b, err)
	defer p.Close()
	places := make(chan struct{}, 64)
	data := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		select {
		case places <- struct{}{}:
		case f := <-p.Consumer():
			if !f.Response().Success {
				b.Fatal(f.Error())
			}
		}
		if _, err := p.AppendEntries(appendTo(i, data), &raft.AppendEntriesResponse{}); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// leased is a leader of three voters in term 5 who has a lease.
func leased(t testing.TB) (g *Group, voters []raft.ServerID) {
	g = newBrokers(t).start("1-a", nil).Group(testGroup)
	for _, id := range []raft.ServerAddress{"2-b", "3-c"} {
		s := g.stream(id)
		s.backing.pact.session.Store(1)
		s.backing.pact.answered.Store(1 << 62)
		s.backing.acknowledged(5, s.backing.mark())
	}
	return g, []raft.ServerID{"1-a", "2-b", "3-c"}
}

// BenchmarkLeased is what a leader asks before each answer.
func BenchmarkLeased(b *testing.B) {
	g, voters := leased(b)
	b.ReportAllocs()
	for b.Loop() {
		if !g.Leased(5, voters) {
			b.Fatal("no lease")
		}
	}
}

func TestLeasedAllocatesNothing(t *testing.T) {
	g, voters := leased(t)
	if n := testing.AllocsPerRun(100, func() { g.Leased(5, voters) }); n > 0 || !g.Leased(5, voters) {
		t.Errorf("%v allocations", n)
	}
}
