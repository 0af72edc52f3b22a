package replication

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

func (s *server) trim(start segment.Offset) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	must(s.t, s.group.Trim(ctx, start))
}

func (s *server) fill(n int) {
	for i := range n {
		s.produce(newBatch(s.t, uint64(i), 1, 200))
	}
}

// A trim holds after a crash and after a restart, its files go with Maintain, and it moves nothing back.
func TestTrimOfLoneVoter(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	s.log.SegmentBytes = 1000
	s.start().awaitLead()
	s.fill(20)
	s.trim(11)
	if got := s.group.log.StartOffset(); got != 11 {
		t.Fatalf("log starts at %d", got)
	}
	s.trim(5)
	before := s.group.log.Size()
	must(t, s.group.Maintain())
	if after := s.group.log.Size(); after >= before || s.group.log.FirstIndex() == 2 {
		t.Fatalf("%d bytes of %d, first entry %d", after, before, s.group.log.FirstIndex())
	}
	s.trim(20)
	s.stop()
	must(t, s.open())
	s.awaitLead()
	if got := s.group.log.StartOffset(); got != 20 {
		t.Fatalf("log starts at %d after a restart", got)
	}
	must(t, s.group.Maintain())
	if size := s.group.log.Size(); size != 0 {
		t.Fatalf("%d bytes are left of a log that was trimmed away", size)
	}
	s.stop()
	must(t, s.open()) // on no entries but those since
	s.awaitLead()
	s.fill(3)
	if start, end := s.group.log.StartOffset(), s.group.log.EndOffset(); start != 20 || end != 23 {
		t.Fatalf("log of %d to %d", start, end)
	}
	var l raft.Log
	first := s.group.log.FirstIndex()
	if err := s.group.store.GetLog(uint64(first-1), &l); err != nil || l.Term == 0 || l.Type != stubType {
		t.Fatalf("the entry before the first: %+v, %v", l, err)
	}
	if err := s.group.store.GetLog(uint64(first-2), &l); err != raft.ErrLogNotFound {
		t.Fatalf("an entry that is gone: %v", err)
	}
	if err := s.group.store.StoreLog(&l); err == nil {
		t.Fatal("stored an entry that is known by index and term only")
	}
}

func TestTrimWithoutLeadership(t *testing.T) {
	c := newCluster(t).start()
	c.produce(3)
	lead := c.leader()
	if err := c.others(lead)[0].group.Trim(t.Context(), 1); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a follower's trim: %v", err)
	}
	c.net.isolate(true, lead.id)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := lead.group.Trim(ctx, 1); !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a trim without a majority: %v", err)
	}
}

// A trim reaches the followers, whose files go as well; one that was away meanwhile needs entries that nobody has any more,
// gets the files, and agrees.
func TestTrimReachesFollowers(t *testing.T) {
	c := newCluster(t)
	for _, s := range c.servers {
		s.log.SegmentBytes = 1000
	}
	c.start()
	lead := c.leader()
	behind := c.others(lead)[0]
	asked := make(chan segment.Index, 64)
	behind.stop()
	behind.far = func(_ ServerID, i segment.Index) {
		select {
		case asked <- i:
		default:
		}
	}
	must(t, behind.open())
	c.net.isolate(true, behind.id)
	c.produce(40)
	lead = c.leader()
	end := lead.machine.at()
	lead.trim(end - 2)
	for _, s := range c.others(behind) {
		s.awaitEnd(end)
		eventually(t, "the trim at "+string(s.id), func() bool { return s.group.log.StartOffset() == end-2 })
		must(t, s.group.Maintain())
		s.group.store.tail.truncateAfter(0)
		if first := s.group.log.FirstIndex(); first < 10 {
			t.Fatalf("%s still has entry %d", s.id, first)
		}
	}
	c.net.isolate(false, behind.id)
	<-asked
	from := &peer{s: lead}
	_, err := from.Manifest(t.Context())
	must(t, err)
	behind.pull(from)
	from.release()
	c.produce(3)
	behind.awaitEnd(end + 3)
	if got := behind.group.log.StartOffset(); got != end-2 {
		t.Fatalf("the replica that was behind starts at %d, want %d", got, end-2)
	}
}

// A lone voter that is trimmed loses power at every operation: no start offset that was told goes back, and nothing above it is
// missing.
func TestTrimCrashesAtEveryOperation(t *testing.T) {
	outcome := outcomes(t)
	for n := 0; crashTrimmed(t, n, outcome()); n++ {
	}
}

func crashTrimmed(t *testing.T, n int, seed uint64) (crashed bool) {
	f := newCrashFS(t)
	s := newServer(t, "1-a", "1-a").on(f)
	s.log.SegmentBytes = 1000
	must(t, s.open())
	s.awaitLead()
	s.fill(8)
	f.CrashAt(f.Ops() + n)
	var told segment.Offset
	for _, start := range []segment.Offset{5, 8} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if s.group.Trim(ctx, start) == nil {
			told = start
		}
		cancel()
		_ = s.group.Maintain() // the crash may be in it
	}
	_ = s.close()
	crashed = f.Crashed()
	s.on(f.Recover(seed))
	must(t, s.open())
	s.awaitLead()
	log := s.group.log
	if start, end := log.StartOffset(), log.EndOffset(); start < told || end != 8 || s.machine.at() != 8 {
		t.Fatalf("operation %d, seed %d: log of %d to %d, told %d", n, seed, start, end, told)
	}
	if start := log.StartOffset(); start < 8 {
		c, err := log.Read(start, 8, 1<<20)
		if err != nil || c.Len == 0 {
			t.Fatalf("operation %d, seed %d: read at the start: %v", n, seed, err)
		}
		c.Close()
	}
	must(t, s.group.Maintain())
	s.fill(1)
	must(t, s.close())
	return crashed
}
