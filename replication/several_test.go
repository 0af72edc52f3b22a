package replication

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

// cluster is three servers with one group.
type cluster struct {
	t       *testing.T
	net     *network
	servers []*server
	number  uint64
}

// brisk is quick enough for a test, and slow enough for a busy machine.
var brisk = timing{heartbeat: 400 * time.Millisecond, lease: 250 * time.Millisecond, commit: 5 * time.Millisecond}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, net: newNetwork(t)}
	voters := []ServerID{"1-a", "2-a", "3-a"}
	for _, id := range voters {
		s := newServer(t, id, voters...)
		s.net, s.timing = c.net, brisk
		c.servers = append(c.servers, s)
	}
	return c
}

func (c *cluster) start() *cluster {
	for _, s := range c.servers {
		s.start()
	}
	must(c.t, c.servers[0].group.kick())
	c.leader()
	return c
}

// leader waits until one server leads, and returns it.
func (c *cluster) leader() *server {
	c.t.Helper()
	var lead *server
	eventually(c.t, "a leader", func() bool {
		lead = nil
		for _, s := range c.servers {
			if s.node != nil && s.machine.leading() && s.group.leads(uint64(s.group.raft.CurrentTerm())) {
				lead = s
			}
		}
		return lead != nil
	})
	return lead
}

// others are the servers that are not s.
func (c *cluster) others(s *server) []*server {
	var out []*server
	for _, o := range c.servers {
		if o != s {
			out = append(out, o)
		}
	}
	return out
}

func (c *cluster) batches(n int) [][]byte {
	var out [][]byte
	for range n {
		c.number++
		out = append(out, newBatch(c.t, c.number, 2, 50))
	}
	return out
}

// produce has n batches committed, through elections if need be, and returns the leader's end.
func (c *cluster) produce(n int) segment.Offset {
	c.t.Helper()
	for _, b := range c.batches(n) {
		eventually(c.t, "a batch committed", func() bool {
			lead := c.leader()
			had := len(lead.machineMine())
			failed := lead.propose(bytes.Clone(b))
			eventually(c.t, "an outcome", func() bool { return len(failed) > 0 || len(lead.machineMine()) > had })
			return len(failed) == 0
		})
	}
	return c.leader().machine.at()
}

func (s *server) machineMine() [][]byte {
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	return s.machine.mine
}

// agree waits until all running servers have applied up to end, and compares their files.
func (c *cluster) agree(end segment.Offset) {
	c.t.Helper()
	var first *server
	for _, s := range c.servers {
		if s.node == nil {
			continue
		}
		s.awaitEnd(end)
		if first == nil {
			first = s
			continue
		}
		eventually(c.t, "logs of one length", func() bool { return s.group.log.LastIndex() == c.leader().group.log.LastIndex() })
		if !bytes.Equal(first.content(), s.content()) {
			c.t.Fatalf("%s and %s have different bytes", first.id, s.id)
		}
	}
}

func TestReplicasHaveEqualBytes(t *testing.T) {
	c := newCluster(t).start()
	lead := c.leader()
	lead.produce(c.batches(300)...)
	c.agree(lead.machine.at())
	if n := len(lead.machineMine()); n != 300 {
		t.Fatalf("the leader was given %d of its slices, want 300", n)
	}
	for _, s := range c.others(lead) {
		if len(s.machineMine()) > 0 {
			t.Fatalf("%s was given data that it did not propose", s.id)
		}
		if id, _ := s.group.Leader(); id != lead.id {
			t.Fatalf("%s takes %q for the leader", s.id, id)
		}
	}
}

// Followers hear of what is committed when the leader has nothing else to send, and long before CommitTimeout.
func TestIdleLeaderTellsWhatIsCommitted(t *testing.T) {
	c := newCluster(t)
	for _, s := range c.servers {
		s.timing.commit = time.Hour
	}
	c.start()
	c.produce(3) // the first goes by single requests, of which nothing tells the followers more
	c.agree(c.produce(1))
}

// A follower that was away gets what it missed, entry by entry.
func TestFollowerCatchesUp(t *testing.T) {
	c := newCluster(t).start()
	away := c.others(c.leader())[0]
	away.stop()
	c.produce(300)
	must(t, away.open())
	c.agree(c.produce(1))
}

func TestReelection(t *testing.T) {
	c := newCluster(t).start()
	old := c.leader()
	c.produce(5)
	old.stop()
	must(t, c.others(old)[0].group.kick())
	c.produce(5)
	next := c.leader()
	if was, is := old.machine.term(), next.machine.term(); is <= was {
		t.Fatalf("epoch %d after %d", is, was)
	}
	must(t, old.open())
	c.agree(c.produce(5))
}

// What a leader stored alone is cut off again: its proposals end in doubt, its followers' log wins.
func TestUncommittedSuffixIsCut(t *testing.T) {
	c := newCluster(t).start()
	c.produce(3)
	old := c.leader()
	c.net.isolate(true, old.id)
	var failures []<-chan error
	for _, b := range c.batches(5) {
		failures = append(failures, old.propose(b))
	}
	for i, failed := range failures {
		if err := <-failed; err != ErrUnknownOutcome {
			t.Fatalf("proposal %d of a cut-off leader: %v, want ErrUnknownOutcome", i, err)
		}
	}
	if n := old.group.log.EndOffset(); n <= old.machine.at() {
		t.Fatalf("the cut-off leader has stored nothing beyond %d", old.machine.at())
	}
	must(t, c.others(old)[0].group.kick())
	eventually(t, "another leader", func() bool { return c.leader() != old })
	end := c.produce(2)
	c.net.isolate(false, old.id)
	c.agree(end)
	if n := len(old.machineMine()); n > 3 {
		t.Fatalf("the old leader was given %d slices, want its 3 committed ones at most", n)
	}
}

func TestAllRestart(t *testing.T) {
	c := newCluster(t).start()
	var before segment.Offset
	for round := range 3 {
		before = c.produce(20)
		if round == 1 {
			must(t, c.leader().group.Checkpoint())
		}
		c.agree(before)
		for _, s := range c.servers {
			s.stop()
		}
		for _, s := range c.servers {
			must(t, s.open())
		}
		must(t, c.servers[round].group.kick())
	}
	c.agree(c.produce(1))
}

// Point 6, the other way round: from the moment that a second voter is in the configuration, nothing is committed where it
// is stored; and when it has left, everything is again.
func TestOneVoterBecomesTwoAndOneAgain(t *testing.T) {
	c := newCluster(t)
	a, b := c.servers[0], c.servers[1]
	c.servers = c.servers[:2]
	a.voters, b.voters = []ServerID{a.id}, nil
	a.start().awaitLead().produce(c.batches(3)...)
	b.start()
	add := a.group.raft.AddVoter(raft.ServerID(b.id), raft.ServerAddress(b.id), 0, 0)
	must(t, add.Error())
	c.agree(c.produce(3))

	c.net.isolate(true, b.id)
	failed := a.propose(c.batches(1)[0])
	eventually(t, "store", func() bool { return a.group.log.EndOffset() == a.machine.at()+2 })
	if err := <-failed; err != ErrUnknownOutcome {
		t.Fatalf("without the second voter: %v, want ErrUnknownOutcome", err)
	}
	c.net.isolate(false, b.id)
	must(t, a.group.kick())
	c.produce(3)
	lead := c.leader()
	for lead != a { // hand over, so that the founder is left
		_ = lead.group.raft.LeadershipTransfer().Error()
		lead = c.leader()
	}
	must(t, a.group.raft.RemoveServer(raft.ServerID(b.id), 0, 0).Error())
	b.stop()
	c.servers = c.servers[:1]
	c.produce(20)
	if v := fmt.Sprint(a.group.Voters()); v != "[1-a]" {
		t.Fatalf("voters %s", v)
	}
	end := a.machine.at()
	a.stop()
	a.timing = defaultTiming
	must(t, a.open()) // and is alone again after a restart
	a.awaitLead()
	if a.machine.at() != end {
		t.Fatalf("end %d after the restart, was %d", a.machine.at(), end)
	}
}
