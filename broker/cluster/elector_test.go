package cluster

import (
	"slices"
	"testing"
	"time"
)

// kill makes a broker unreachable, and has the others find out after d.
func (r *rig) kill(i int, d time.Duration) {
	r.isolate(true, r.brokers[i].id)
	pass(d)
	r.tell(false, r.brokers[i].id)
}

func calls(r *rig, id ServerID, ids []ID) (n int) {
	for _, g := range ids {
		n += r.broker(id).group(g).called
	}
	return n
}

// Hundreds of groups lose their leader: each gets another at once, by one election, and both survivors get some.
func TestLeaderDies(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		var ids []ID
		for i := range 300 {
			ids = append(ids, group(i))
			r.open(group(i), Status{Term: 5, LastTerm: 5, LastIndex: 10}, serverID(2))
		}
		pass(time.Second)
		r.kill(1, time.Second)
		took := r.within(100*time.Millisecond, "others lead", func() bool {
			return !slices.ContainsFunc(ids, func(id ID) bool {
				n := r.brokers[0].leader(id)
				return n == 2 || n == -1 || n != r.brokers[2].leader(id)
			})
		})
		t.Logf("others lead after %v", took)
		one, three := calls(r, serverID(1), ids), calls(r, serverID(3), ids)
		if one+three != len(ids) || one < 100 || three < 100 {
			t.Fatalf("%d and %d elections in %d groups", one, three, len(ids))
		}
		pass(10 * time.Second)
		if n := calls(r, serverID(1), ids) + calls(r, serverID(3), ids); n != len(ids) {
			t.Fatalf("%d elections more", n-len(ids))
		}
	})
}

// Who has the most of the log is elected, whoever is preferred or asks.
func TestBestLogIsElected(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, r *rig) {
		id := group(0) // broker 1 is preferred
		r.open(id, Status{Term: 5, LastTerm: 4, LastIndex: 100}, serverID(2))
		r.brokers[2].set(id, func(g *fakeGroup) { g.s.LastTerm, g.s.LastIndex = 3, 200 })
		r.brokers[3].set(id, func(g *fakeGroup) { g.s.LastIndex = 101 })
		r.kill(1, time.Second)
		r.within(100*time.Millisecond, "broker 4 leads", func() bool { return r.brokers[0].leader(id) == 4 })
	})
}

// A voter that does not stand is left out at the third time; learners are never asked to.
func TestDeafVoterAndLearner(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, r *rig) {
		id := group(0)
		voters := []ServerID{serverID(1), serverID(2), serverID(3)}
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 100}, serverID(2))
		for i, b := range r.brokers {
			b.set(id, func(g *fakeGroup) {
				g.s.Voters = voters
				switch i {
				case 0:
					g.deaf = true
				case 3, 4:
					g.s.State, g.s.LastIndex = Learner, 200
				}
			})
		}
		r.kill(1, time.Second)
		r.within(2*time.Second, "broker 3 leads", func() bool { return r.brokers[0].leader(id) == 3 })
		if r.brokers[3].group(id).called+r.brokers[4].group(id).called > 0 {
			t.Fatal("a learner was told to stand")
		}
	})
}

// An elector that does nothing is replaced by the next.
func TestElectorThatHangs(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 100}, serverID(3))
		r.brokers[0].stop()
		r.kill(2, time.Second)
		r.within(rankWait+100*time.Millisecond, "another leads", func() bool { return r.brokers[1].leader(id) > 0 })
	})
}

// Whoever has promised the dead leader not to vote is waited for: the first election is won.
func TestPromisesAreWaitedFor(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 100}, serverID(2))
		until := time.Now().Add(1700 * time.Millisecond)
		r.brokers[2].mu.Lock()
		r.brokers[2].promised[serverID(2)] = time.Until(until)
		r.brokers[2].mu.Unlock()
		r.kill(1, time.Second)
		pass(500 * time.Millisecond)
		if n := calls(r, serverID(1), []ID{id}) + calls(r, serverID(3), []ID{id}); n > 0 {
			t.Fatal("an election was called that could not be won")
		}
		r.brokers[2].mu.Lock()
		clear(r.brokers[2].promised)
		r.brokers[2].mu.Unlock()
		r.within(leadWait+50*time.Millisecond, "another leads", func() bool { return r.brokers[0].leader(id) > 0 })
	})
}

// A leader that says itself that it leads no more is replaced though its broker lives and was promised to.
func TestLeaderStepsDown(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 100}, serverID(2))
		pass(time.Second)
		for _, b := range r.brokers {
			b.mu.Lock()
			b.promised[serverID(2)] = time.Second
			b.mu.Unlock()
		}
		b := r.brokers[1]
		b.mu.Lock()
		delete(b.groups, id)
		b.fenced[id] = "its disk lies"
		b.mu.Unlock()
		b.c.Touch(id)
		r.within(leadWait+100*time.Millisecond, "another leads", func() bool {
			n := r.brokers[0].leader(id)
			return n == 1 || n == 3
		})
	})
}

// What a process may have promised before it was started binds it in no new group.
func TestCreationRightAfterStart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		for _, b := range r.brokers {
			b.mu.Lock()
			b.promised[""] = time.Second
			b.mu.Unlock()
		}
		r.open(group(1), Status{Term: 1, LastTerm: 1, LastIndex: 1, Fresh: true}, "")
		r.open(ID{Partition: -1}, Status{Term: 7, LastTerm: 7, LastIndex: 100}, "")
		r.within(100*time.Millisecond, "broker 2 leads", func() bool { return r.brokers[0].leader(group(1)) == 2 })
		r.within(2*leadWait, "the controller leads", func() bool { return r.brokers[0].leader(ID{Partition: -1}) > 0 })
	})
}

// New groups get their preferred leaders as soon as a majority has opened them.
func TestCreation(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		pass(time.Second)
		var ids []ID
		for i := range 300 {
			ids = append(ids, group(i))
			r.open(group(i), Status{Term: 1, LastTerm: 1, LastIndex: 1, Fresh: true}, "")
		}
		r.within(100*time.Millisecond, "all lead", func() bool {
			return !slices.ContainsFunc(ids, func(id ID) bool { return r.brokers[2].leader(id) != id.Partition%3+1 })
		})
		for _, b := range r.brokers {
			if n := calls(r, b.id, ids); n != 100 {
				t.Errorf("%s was told to stand %d times in 100 groups", b.id, n)
			}
		}
	})
}

// After the whole cluster was restarted, groups get their leaders as brokers come.
func TestStart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		for _, b := range r.brokers {
			r.isolate(true, b.id)
		}
		for _, b := range r.brokers {
			r.tell(false, b.id)
		}
		id := group(0)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 10}, "")
		r.brokers[2].set(id, func(g *fakeGroup) { g.s.LastIndex = 11 })
		pass(time.Minute)
		for _, b := range r.brokers {
			if b.group(id).called > 0 {
				t.Fatalf("%s was called to an election alone", b.id)
			}
		}
		r.isolate(false, serverID(1))
		r.isolate(false, serverID(3))
		r.isolate(true, serverID(2))
		r.brokers[0].onPeer(serverID(3), true)
		r.brokers[2].onPeer(serverID(1), true)
		r.within(time.Second, "broker 3 leads", func() bool { return r.brokers[0].leader(id) == 3 && r.brokers[2].leader(id) == 3 })
	})
}

// A stuck candidate is told again, and wins in a later term.
func TestStuckCandidate(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 10}, serverID(2))
		r.brokers[0].set(id, func(g *fakeGroup) { g.s.State, g.s.Term, g.s.Leader = Candidate, 6, "" })
		r.kill(1, 10*time.Millisecond)
		r.within(time.Second, "broker 1 leads", func() bool { return r.brokers[2].leader(id) == 1 })
		if n := calls(r, serverID(3), []ID{id}); n > 0 {
			t.Fatal("another was told to stand in a term in which the candidate does not vote")
		}
	})
}

// A hung peer does not keep this broker from calling elections that it is not needed for, and is not called more and more.
func TestPeerHangs(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, r *rig) {
		id := group(1)
		r.open(id, Status{Term: 5, LastTerm: 5, LastIndex: 10}, serverID(2))
		r.isolate(true, serverID(3)) // and nobody has found out
		r.kill(1, time.Second)
		for i := range 20 {
			r.open(group(100+i), Status{Term: 5, LastTerm: 5, LastIndex: 10, Fresh: true}, "")
			pass(10 * time.Millisecond)
		}
		r.within(askWait, "another leads", func() bool { return r.brokers[0].leader(id) > 0 })
		if r.most != 1 {
			t.Fatalf("%d calls of a peer at once", r.most)
		}
	})
}
