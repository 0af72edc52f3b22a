package transport

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport/cutproxy"
)

// The detector pings evenly, finds a peer dead when its last answer is too old and not before, and wakes for that.
func TestDetector(t *testing.T) {
	const ms = time.Millisecond
	ps := newPacts(1)
	p := &peer{id: "2-b", pact: ps.of("2-b")}
	d := detector{every: 200 * ms, dead: 1000 * ms, watched: map[raft.ServerID]*watched{}}
	d.set(map[raft.ServerID]*peer{"2-b": p})
	for _, c := range []struct {
		now, heard time.Duration // heard: an answer comes then; 0: none
		ping       bool
		changed    string
		wake       time.Duration
	}{
		{10 * ms, 0, true, "", 200 * ms},
		{200 * ms, 0, true, "", 400 * ms},
		{210 * ms, 205 * ms, false, "alive", 400 * ms},
		{400 * ms, 0, true, "", 600 * ms},
		{650 * ms, 0, true, "", 800 * ms},        // a little late: the next is in time
		{1190 * ms, 0, true, "", 1205 * ms},      // very late: no two at once, and the peer's time is nearly over
		{1204 * ms, 0, false, "", 1205 * ms},     //
		{1205 * ms, 0, false, "dead", 1290 * ms}, //
		{5000 * ms, 4999 * ms, true, "alive", 5100 * ms},
	} {
		if c.heard != 0 {
			p.pact.heard.Store(int64(c.heard))
		}
		pings, changed, wake := d.step(c.now)
		said := ""
		for _, w := range changed {
			said = map[bool]string{true: "alive", false: "dead"}[w.alive]
		}
		if len(pings) == 1 != c.ping || said != c.changed || wake != c.wake {
			t.Errorf("at %v: %d pings, %q, looks again at %v; want %v, %q, %v", c.now, len(pings), said, wake, c.ping, c.changed, c.wake)
		}
	}
	if gone := d.set(nil); len(gone) != 1 || len(d.watched) > 0 {
		t.Errorf("%d are no longer watched, %d still are", len(gone), len(d.watched))
	}
}

// quick are options with which tests need not wait long.
func quick(o *Options) { o.PingEvery, o.DeadAfter = 20*time.Millisecond, 300*time.Millisecond }

// changes notes what OnPeer is told.
type changes struct {
	mu   sync.Mutex
	said []string
}

func (c *changes) note(id raft.ServerID, alive bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, fmt.Sprintf("%s %v", id, alive))
}

func (c *changes) has(n int, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said) >= n && slices.Contains(c.said[n-1:], what)
}

func (c *changes) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said)
}

// A watched peer is alive while it answers, without anybody else wanting a connection; it is dead when the network loses everything, when
// nobody listens any more, and when it says itself that it is not well; and it comes back.
func TestWatch(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	var said changes
	var sick atomic.Bool
	tr := b.start("1-a", func(o *Options) {
		quick(o)
		o.OnPeer = said.note
	})
	b.start("2-b", func(o *Options) { o.Healthy = func() bool { return !sick.Load() } })
	wire := b.proxy("2-b")
	if tr.Alive("2-b") || !tr.LastAnswer("2-b").IsZero() || said.count() > 0 {
		t.Error("alive before it was watched")
	}
	tr.Watch([]raft.ServerID{"1-a", "2-b"})
	for _, fault := range []struct {
		name       string
		begin, end func()
	}{
		{"stalled", func() { wire.Set(cutproxy.Stall) }, func() { wire.Set(cutproxy.Open) }},
		{"cut", func() { wire.Set(cutproxy.Cut) }, func() { wire.Set(cutproxy.Open) }},
		{"sick", func() { sick.Store(true) }, func() { sick.Store(false) }},
	} {
		n := said.count()
		if n == 0 {
			n = 1
		}
		eventually(t, "alive before "+fault.name, func() bool { return tr.Alive("2-b") && said.has(n, "2-b true") })
		n = said.count()
		fault.begin()
		eventually(t, "dead by "+fault.name, func() bool { return !tr.Alive("2-b") && said.has(n+1, "2-b false") })
		if since := time.Since(tr.LastAnswer("2-b")); since < tr.o.DeadAfter {
			t.Errorf("dead %v after its last answer", since)
		}
		fault.end()
		eventually(t, "alive after "+fault.name, func() bool { return tr.Alive("2-b") && said.has(n+1, "2-b true") })
	}
	tr.Watch(nil)
	eventually(t, "no longer watched", func() bool { return !tr.Alive("2-b") })
}

// pair is a leader, 1-a, and a follower of one group, with promises that are kept: nobody is new.
type pair struct {
	t         testing.TB
	b         *brokers
	tr, other *Transport
	leader    *Group
	follower  *member
	wire      *cutproxy.Proxy // from the leader to the follower
	deserted  chan uint64
}

func newPair(t testing.TB) *pair {
	p := &pair{t: t, b: newBrokers(t), deserted: make(chan uint64, 10)}
	p.tr = p.b.start("1-a", func(o *Options) {
		o.OnDeserted = func(g GroupID, term uint64) {
			if g == testGroup {
				p.deserted <- term
			}
		}
	})
	p.other = p.b.start("2-b", nil)
	p.leader = p.tr.Group(testGroup)
	p.follower = newMember(t, p.other, testGroup, accept)
	p.follower.Fresh(func() bool { return true })
	p.wire = p.b.proxy("2-b")
	p.tr.Watch([]raft.ServerID{"2-b"})
	p.other.Watch([]raft.ServerID{"1-a"})
	return p
}

// lead makes the leader known to the follower in term 5.
func (p *pair) lead() {
	p.t.Helper()
	eventually(p.t, "a lease", func() bool {
		must(p.t, p.leader.AppendEntries("", "2-b", appendTo(41, []byte("noop")), &raft.AppendEntriesResponse{}))
		return p.leader.Leased(5, []raft.ServerID{"1-a", "2-b"})
	})
}

// A leader has a lease while a majority backs it that holds an entry of its term, and none when the network is silent.
func TestLease(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	two := []raft.ServerID{"1-a", "2-b"}
	if !p.leader.Leased(5, two[:1]) || p.leader.Leased(5, two[1:]) || p.leader.Leased(5, two) {
		t.Error("leased by nobody, or not by itself alone")
	}
	eventually(t, "answers", func() bool { return p.tr.Alive("2-b") })
	if p.leader.Leased(5, two) {
		t.Error("leased by who has heard of no leader")
	}
	old := appendTo(40, []byte("of an earlier term"))
	old.Entries[0].Term = 4
	must(t, p.leader.AppendEntries("", "2-b", old, &raft.AppendEntriesResponse{}))
	if p.leader.Leased(5, two) {
		t.Error("leased by who holds nothing of this term")
	}
	p.lead()
	if p.leader.Leased(6, two) || p.leader.Leased(5, append(two, "3-c", "4-d")) || !p.leader.Leased(5, append(two, "3-c")) {
		t.Error("leased in another term, or by a minority, or not by a majority")
	}
	p.wire.Set(cutproxy.Stall)
	eventually(t, "no lease", func() bool { return !p.leader.Leased(5, two) })
	p.wire.Set(cutproxy.Open)
	eventually(t, "a lease again", func() bool { return p.leader.Leased(5, two) })
	must(t, p.follower.Close())
	eventually(t, "no lease after the follower has closed the group", func() bool { return !p.leader.Leased(5, two) })
}

// Who has promised a leader not to vote for another does not, and does when the leader resigns or hands over; the leader hears of it
// before it could think that it still leads.
func TestPromise(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(p *pair, third *Group) // of the promise
		called bool
	}{
		{"resigned", func(p *pair, _ *Group) { p.leader.Resign(5) }, false},
		{"closed", func(p *pair, _ *Group) { must(p.t, p.leader.Close()) }, false},
		{"the broker is gone", func(p *pair, _ *Group) { p.tr.cancel() }, false}, // it pings no more
		{"over, by its own word", func(p *pair, third *Group) { third.CallElection(5, 0) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			p.lead()
			third := newMember(t, p.b.start("3-c", nil), testGroup, accept)
			third.Fresh(func() bool { return true })
			vote := func() (resp raft.RequestVoteResponse) {
				r := &raft.RequestVoteRequest{Term: 6, LastLogIndex: 50, LastLogTerm: 5, LeadershipTransfer: true}
				_ = third.RequestVote("", "2-b", r, &resp)
				return resp
			}
			if resp := vote(); resp.Granted {
				t.Fatal("it votes although it has promised")
			}
			if n := len(p.deserted); n > 0 {
				t.Fatalf("%d desertions", n)
			}
			c.end(p, third.Group)
			eventually(t, "a vote", func() bool { return vote().Granted })
			if c.name == "the broker is gone" {
				return
			}
			if term := <-p.deserted; term != 6 || p.leader.Leased(5, []raft.ServerID{"1-a", "2-b"}) {
				t.Errorf("deserted in term %d, leased %v", term, p.leader.Leased(5, []raft.ServerID{"1-a", "2-b"}))
			}
		})
	}
}

// An append that was sent by a leader who has resigned since does not bind who acknowledges it: nothing would free him again.
func TestLateAppendOfWhoHasResigned(t *testing.T) {
	leader, voter := newPacts(1), newPacts(2)
	of := voter.of("1-a")
	led, follows := &ballot{group: groupOf(1)}, &ballot{group: groupOf(1)}
	led.led.Store(5)
	leader.of("2-b")
	leader.resigns(led, 5)
	w := leader.answer(leader.of("2-b"), 0)
	if _, stale := voter.read(of, &w); stale {
		t.Fatal("stale")
	}
	voter.answer(of, 10*time.Second)
	if later := voter.follows(follows, "1-a", of, 5); later != 0 || follows.known.Load() != nil {
		t.Fatalf("refused for %d, known is %+v", later, follows.known.Load())
	}
	if d := voter.bound(follows, election{candidate: "3-c", term: 6}, 10*time.Second); d != 0 {
		t.Fatalf("bound for %v", d)
	}
	voter.follows(follows, "1-a", of, 7) // elected again
	if d := voter.bound(follows, election{candidate: "3-c", term: 8}, 10*time.Second); d == 0 {
		t.Fatal("not bound to a leader of a later term")
	}
}

// Whom the leader asks to stand may, and its voters vote for it, when the leader has said that it answers no more; a request that comes late, or
// from anybody else, waits for the promise.
func TestHandOver(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.lead()
	stand := func() (asked bool) {
		for len(p.follower.got) > 0 {
			if _, ok := (<-p.follower.got).(*raft.TimeoutNowRequest); ok {
				asked = true
			}
		}
		return asked
	}
	stand()
	if err := p.leader.TimeoutNow("", "2-b", nil, nil); err == nil || stand() {
		t.Errorf("it stands for a leader that still answers: %v", err)
	}
	p.leader.HandOver(4)
	if err := p.leader.TimeoutNow("", "2-b", nil, nil); err == nil || stand() {
		t.Errorf("it stands by the will of an earlier leader: %v", err)
	}
	p.follower.CallElection(0, 0)
	p.leader.HandOver(5)
	must(t, p.leader.TimeoutNow("", "2-b", nil, nil))
	if !stand() {
		t.Error("it does not stand")
	}
	third := newMember(t, p.b.start("3-c", nil), testGroup, accept)
	r := &raft.RequestVoteRequest{Term: 6, LastLogIndex: 50, LastLogTerm: 5, LeadershipTransfer: true}
	var resp raft.RequestVoteResponse
	must(t, p.follower.RequestVote("", "3-c", r, &resp))
	if got, ok := (<-third.got).(*raft.RequestVoteRequest); !ok || !got.LeadershipTransfer || !resp.Granted {
		t.Errorf("%+v, granted %v", got, resp.Granted)
	}
}

// An election is called by a broker that is free; a candidate is first made a follower of the next term.
func TestCallElection(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	m := newMember(t, b.start("1-a", nil), testGroup, func(command any) (any, error) {
		if _, ok := command.(*raft.RequestVoteRequest); ok {
			return &raft.RequestVoteResponse{}, nil
		}
		return accept(command)
	})
	begun := time.Now()
	m.CallElection(0, 7) // it has just been started, and waits
	first, second := <-m.got, <-m.got
	if waited := time.Since(m.t.begun); waited < promiseFor {
		t.Errorf("called %v after the start, in %v", waited, time.Since(begun))
	}
	if v, ok := first.(*raft.RequestVoteRequest); !ok || v.Term != 8 || v.LastLogTerm != 0 || string(v.ID) != "1-a" {
		t.Errorf("a candidate gets %+v", first)
	}
	if _, ok := second.(*raft.TimeoutNowRequest); !ok {
		t.Errorf("then it gets %+v", second)
	}
	eventually(t, "the end of it", func() bool { return !m.calling.Load() })
	m.Fresh(func() bool { return true })
	m.CallElection(0, 0)
	if _, ok := (<-m.got).(*raft.TimeoutNowRequest); !ok {
		t.Error("no election is called")
	}
}
