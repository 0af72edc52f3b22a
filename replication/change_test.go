package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

func (s *server) status(t *testing.T) Status {
	t.Helper()
	st := s.group.Status()
	if last, _ := s.group.lastEntry(); st.LastIndex > last {
		t.Fatalf("status tells of entry %d, the log ends at %d", st.LastIndex, last)
	}
	return st
}

// A group grows from one voter to three and sheds its founder: learner first, one change at a time, at no moment without its log.
func TestGroupGrowsAndMoves(t *testing.T) {
	c := newCluster(t)
	a := c.servers[0]
	a.voters = []ServerID{a.id}
	a.start().awaitLead()
	if st := a.status(t); st.State != Leader || !st.Serves || st.Leader != a.id || !st.ConfigCommitted || len(st.Voters) != 1 {
		t.Fatalf("alone: %+v", st)
	}
	a.produce(c.batches(3)...)
	for i, s := range c.servers[1:] {
		s.voters = nil
		s.start()
		if st := s.status(t); st.State != Learner || !st.Fresh || st.ConfigCommitted {
			t.Fatalf("before it joins: %+v", st)
		}
		s.group.CallElection(0) // nobody's vote
		must(t, a.group.AddLearner(t.Context(), s.id))
		must(t, a.group.AddLearner(t.Context(), s.id)) // as it is
		if st := a.status(t); !slices.Equal(st.Learners, []ServerID{s.id}) || len(st.Voters) != i+1 {
			t.Fatalf("with a learner: %+v", st)
		}
		s.awaitEnd(a.machine.at())
		eventually(t, "a level learner", func() bool { m, at := a.group.Match(s.id); return m == a.status(t).LastIndex && !at.IsZero() })
		must(t, a.group.Promote(t.Context(), s.id))
		eventually(t, "a follower", func() bool { st := s.status(t); return st.State == Follower && st.ConfigCommitted && !st.Fresh })
	}
	c.agree(c.produce(2))
	if err := a.group.Promote(t.Context(), "9-x"); !errors.Is(err, ErrNoMember) {
		t.Fatalf("promoted a stranger: %v", err)
	}
	if err := c.servers[1].group.Remove(t.Context(), a.id); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a follower removed somebody: %v", err)
	}
	must(t, a.group.Transfer(t.Context(), c.servers[1].id))
	eventually(t, "lead of the other", func() bool { return c.servers[1].machine.leading() })
	must(t, c.servers[1].group.Remove(t.Context(), a.id))
	a.stop()
	c.servers = c.servers[1:]
	c.agree(c.produce(2))
	if v := fmt.Sprint(c.servers[1].group.Status().Voters); v != "[2-a 3-a]" {
		t.Fatalf("voters %s", v)
	}
}

// A leader may take itself out: it leads until that is committed, and the others elect one of themselves.
func TestLeaderRemovesItself(t *testing.T) {
	c := newCluster(t).start()
	lead := c.leader()
	must(t, lead.group.Remove(t.Context(), lead.id))
	eventually(t, "no lead of the removed", func() bool { return !lead.machine.leading() && lead.status(t).State == Learner })
	lead.stop()
	c.servers = c.others(lead)
	must(t, c.servers[0].group.kick())
	c.agree(c.produce(2))
}

// There is one change at a time, and what is not committed is not taken for done.
func TestChangeWithoutMajority(t *testing.T) {
	c := newCluster(t)
	for _, s := range c.servers {
		s.timing.lease, s.timing.heartbeat = 10*time.Second, 20*time.Second // it leads on for the test
	}
	c.start()
	lead := c.leader()
	for _, s := range c.others(lead) {
		c.net.isolate(true, s.id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := lead.group.AddLearner(ctx, "9-x"); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("without a majority: %v", err)
	}
	if st := lead.status(t); st.ConfigCommitted || len(st.Learners) != 1 {
		t.Fatalf("status %+v", st)
	}
	if err := lead.group.Remove(t.Context(), "9-x"); !errors.Is(err, ErrChangeUnderWay) {
		t.Fatalf("a second change: %v", err)
	}
	for _, s := range c.others(lead) {
		c.net.isolate(false, s.id)
	}
	eventually(t, "a committed change", func() bool { return lead.status(t).ConfigCommitted })
	must(t, lead.group.Remove(t.Context(), "9-x"))
}

// Who hands over stops serving first, and lets what is under way come through: its producers are told, and the other has it.
func TestTransferLosesNothing(t *testing.T) {
	c := newCluster(t).start()
	for range 3 {
		lead := c.leader()
		to := c.others(lead)[0]
		end := lead.machine.at()
		var failures []<-chan error
		for _, b := range c.batches(50) {
			failures = append(failures, lead.propose(b))
		}
		had := len(lead.machineMine())
		must(t, lead.group.Transfer(t.Context(), to.id))
		if lead.machine.leading() || lead.status(t).Serves {
			t.Fatal("serves after it has handed over")
		}
		eventually(t, "lead of the other", to.machine.leading)
		for i, f := range failures {
			if len(f) > 0 {
				t.Fatalf("proposal %d of 50: %v", i, <-f)
			}
		}
		if now := len(lead.machineMine()); now < had || to.machine.at() < end+100 {
			t.Fatalf("the other begins at %d, want %d", to.machine.at(), end+100)
		}
		if err := <-lead.propose(c.batches(1)[0]); err != ErrNotLeader {
			t.Fatalf("a proposal to who has handed over: %v", err)
		}
	}
	c.agree(c.produce(1))
	lead := c.leader()
	for _, to := range []ServerID{lead.id, "9-x"} {
		if err := lead.group.Transfer(t.Context(), to); !errors.Is(err, ErrNoMember) {
			t.Fatalf("handed over to %s: %v", to, err)
		}
	}
	if err := c.others(lead)[0].group.Transfer(t.Context(), lead.id); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a follower hands over: %v", err)
	}
}

// Point 10: from the moment that a voter is known to have gone over to another, a leader serves nothing, whether that is heard before
// or after its leadership is announced; its Raft may not know yet.
func TestDeserted(t *testing.T) {
	c := newCluster(t).start()
	lead := c.leader()
	term := segment.Term(lead.group.serving.Load())
	lead.group.Deserted(term)
	if !lead.status(t).Serves {
		t.Fatal("who votes for this leader deserts nobody")
	}
	lead.group.Deserted(term + 1)
	if lead.machine.leading() || lead.status(t).Serves || lead.group.raft.State() != raft.Leader || lead.group.Leased() {
		t.Fatalf("serves after a voter has deserted: %+v", lead.status(t))
	}
	if err := <-lead.propose(c.batches(1)[0]); err != ErrNotLeader {
		t.Fatalf("proposal: %v", err)
	}
	lead.group.applyMu.Lock()
	lead.group.leading = term // as before its barrier came back
	lead.group.applyMu.Unlock()
	lead.group.announce(term)
	if lead.machine.leading() {
		t.Fatal("announced though a voter had deserted before")
	}
}
