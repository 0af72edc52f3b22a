package transport

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport/cutproxy"
)

func groupOf(i int) GroupID { return GroupID{Partition: int32(i)} }

// One group's follower stands still: its leader is told that it is behind, what is under way is bounded, and other groups over the same
// connection feel nothing, their votes and heartbeats included.
func TestSlowFollowerBlocksNobodyElse(t *testing.T) {
	b := newBrokers(t)
	tr, other := b.start("1-a", nil), b.start("2-b", nil)
	stuck := make(chan struct{})
	newMember(t, other, groupOf(0), func(c any) (any, error) {
		<-stuck
		return accept(c)
	})
	t.Cleanup(func() { close(stuck) })
	newMember(t, other, groupOf(1), accept)
	slow, quick := tr.Group(groupOf(0)), tr.Group(groupOf(1))
	p, err := slow.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	data := make([]byte, 1<<20)
	n := uint64(0)
	for err == nil {
		_, err = p.AppendEntries(appendTo(n, data), &raft.AppendEntriesResponse{})
		n++
	}
	if !errors.Is(err, errBehind) || n-1 != windowBytes>>20 {
		t.Fatalf("%d requests of 1 MiB, then %v", n-1, err)
	}
	if _, err := p.AppendEntries(appendTo(n, data), &raft.AppendEntriesResponse{}); !errors.Is(err, errBehind) {
		t.Errorf("a pipeline that has ended: %v", err)
	}
	q, err := quick.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer q.Close()
	for i := range uint64(100) {
		_, err := q.AppendEntries(appendTo(i, data[:64<<10]), &raft.AppendEntriesResponse{})
		must(t, err)
		if f := <-q.Consumer(); !f.Response().Success {
			t.Fatal(f.Error())
		}
	}
	must(t, quick.AppendEntries("", "2-b", appendTo(100), &raft.AppendEntriesResponse{}))
	must(t, quick.TimeoutNow("", "2-b", nil, nil))
}

// Beyond what a connection may have under way, a group that has nothing under way still gets one small frame through.
func TestRoomForOneSmallFrame(t *testing.T) {
	b := newBrokers(t)
	g := b.start("1-a", nil).Group(testGroup)
	newMember(t, b.start("2-b", nil), testGroup, accept)
	s := g.stream("2-b")
	c, err := s.peer.link(data).get(g.done, patience)
	must(t, err)
	c.bytes.Add(connBytes + 1)
	var entries [][]byte
	for range 8 {
		entries = append(entries, make([]byte, 100<<10))
	}
	r := appendTo(0, entries...)
	must(t, g.AppendEntries("", "2-b", r, &raft.AppendEntriesResponse{}))
	if len(r.Entries) != 2 {
		t.Errorf("%d entries of 100 KiB, want 2", len(r.Entries))
	}
	must(t, s.reserve(c, 1, 1, 0))
	if err := s.reserve(c, 1, 1, 0); !errors.Is(err, errBehind) {
		t.Errorf("a second one: %v", err)
	}
}

// A peer that sends more than it should have under way is refused, not queued without end.
func TestQueueIsBounded(t *testing.T) {
	b := newBrokers(t)
	tr := b.start("1-a", nil)
	g := tr.Group(testGroup) // nobody consumes
	defer g.Close()
	c := &conn{t: tr, out: newOutbox()}
	for i := range 2*windowRequests + 10 {
		h := head{group: testGroup, seq: uint32(i + 1), term: 1}
		tr.take(&incoming{c: c, head: h, command: appendRequest("2-b", &h, nil)})
	}
	out := c.out.swap(outgoing{})
	busy := 0
	must(t, decodeAnswers(out.small[frameHead:], func(a answer) {
		if a.code == codeBusy {
			busy++
		}
	}))
	if busy < 9 || busy > 10 { // one may be on its way to Raft
		t.Errorf("%d refused, want 9 or 10", busy)
	}
}

// Appends that wait while one is stored are handed over as one, and each is answered.
func TestWaitingAppendsAreMerged(t *testing.T) {
	b := newBrokers(t)
	g := b.start("1-a", nil).Group(testGroup)
	first, gate := make(chan struct{}, 100), make(chan struct{})
	other := b.start("2-b", nil)
	m := newMember(t, other, testGroup, func(c any) (any, error) {
		first <- struct{}{}
		<-gate
		return accept(c)
	})
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	for i := range uint64(10) {
		_, err := p.AppendEntries(appendTo(i, []byte{byte(i)}), &raft.AppendEntriesResponse{})
		must(t, err)
		if i == 0 {
			<-first
		}
	}
	eventually(t, "nine requests waiting", func() bool {
		m.data.mu.Lock()
		defer m.data.mu.Unlock()
		return len(m.data.items) == 9
	})
	close(gate)
	for i := range uint64(10) {
		if f := <-p.Consumer(); !f.Response().Success || f.Request().PrevLogEntry != i {
			t.Fatalf("answer %d: %+v to the request after %d", i, f.Response(), f.Request().PrevLogEntry)
		}
	}
	<-m.got
	r := (<-m.got).(*raft.AppendEntriesRequest)
	if len(r.Entries) != 9 || r.PrevLogEntry != 1 || r.LeaderCommitIndex != 9 {
		t.Errorf("%d entries after %d, committed %d; want 9 after 1, committed 9", len(r.Entries), r.PrevLogEntry, r.LeaderCommitIndex)
	}
}

func framesOf(trs ...*Transport) (n int64) {
	for _, tr := range trs {
		tr.mu.Lock()
		for c := range tr.conns {
			c.out.mu.Lock()
			n += c.out.frames
			c.out.mu.Unlock()
		}
		tr.mu.Unlock()
	}
	return n
}

// What 1,000 idle groups have to say to a peer at the same time costs a frame, and so do the answers.
func TestIdleGroupsShareFrames(t *testing.T) {
	const groups = 1000
	b := newBrokers(t)
	set := func(o *Options) { o.Coalesce, o.Ping = 100*time.Millisecond, time.Minute }
	tr, other := b.start("1-a", set), b.start("2-b", set)
	var gs []*Group
	for i := range groups {
		newMember(t, other, groupOf(i), accept)
		gs = append(gs, tr.Group(groupOf(i)))
	}
	must(t, gs[0].AppendEntries("", "2-b", appendTo(1), &raft.AppendEntriesResponse{})) // connects
	before := framesOf(tr, other)
	var wg sync.WaitGroup
	for _, g := range gs {
		wg.Go(func() {
			var resp raft.AppendEntriesResponse
			if err := g.AppendEntries("", "2-b", appendTo(1), &resp); err != nil || !resp.Success {
				t.Errorf("%+v, %v", resp, err)
			}
		})
	}
	wg.Wait()
	n := framesOf(tr, other) - before
	t.Logf("%d groups, %d frames", groups, n)
	if n > 40 { // 2, on a machine with nothing else to do
		t.Errorf("%d groups took %d frames", groups, n)
	}
}

// A follower hears of a commit index that no request has told it, but not of entries that it may not hold.
func TestIdleLeaderTellsCommitIndex(t *testing.T) {
	b := newBrokers(t)
	g := b.start("1-a", nil).Group(testGroup)
	m := newMember(t, b.start("2-b", nil), testGroup, accept)
	must(t, g.AppendEntries("", "2-b", appendTo(1), &raft.AppendEntriesResponse{})) // connects the control side
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(t, err)
	_, err = p.AppendEntries(appendTo(1, []byte("batch")), &raft.AppendEntriesResponse{})
	must(t, err)
	<-p.Consumer()
	<-m.got
	<-m.got
	g.Committed(2)
	g.Committed(2)
	want := appendTo(2)
	if r := (<-m.got).(*raft.AppendEntriesRequest); fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	g.Committed(9) // it holds no more than 2, which it has been told
	must(t, p.Close())
	g.Committed(10)
	must(t, g.AppendEntries("", "2-b", appendTo(2), &raft.AppendEntriesResponse{}))
	if r := (<-m.got).(*raft.AppendEntriesRequest); fmt.Sprint(r) != fmt.Sprint(want) || len(m.got) > 0 {
		t.Errorf("got %+v and %d more, want %+v alone", r, len(m.got), want)
	}
}

// A pipeline whose last request was as large as one can be, and after which nothing comes, makes Raft fall back to single requests.
func TestPipelineThatStaysBehindEnds(t *testing.T) {
	b := newBrokers(t)
	g := b.start("1-a", func(o *Options) { o.MaxEntries = 2 }).Group(testGroup)
	newMember(t, b.start("2-b", nil), testGroup, accept)
	must(t, g.AppendEntries("", "2-b", appendTo(0), &raft.AppendEntriesResponse{}))
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	_, err = p.AppendEntries(appendTo(0, []byte("a"), []byte("b")), &raft.AppendEntriesResponse{})
	must(t, err)
	if f := <-p.Consumer(); !f.Response().Success {
		t.Fatal(f.Error())
	}
	if f := <-p.Consumer(); f.Response().Success || !errors.Is(f.Error(), errBehind) {
		t.Errorf("then %+v", f.Response())
	}
}

// A broken connection fails what is under way at once; the next request finds another, at the address that counts by then.
func TestCutAndReconnect(t *testing.T) {
	b := newBrokers(t)
	g := b.start("1-a", nil).Group(testGroup)
	other := b.start("2-b", nil)
	direct, err := b.resolve("2-b")
	must(t, err)
	wire := b.proxy("2-b")
	gate := make(chan struct{})
	newMember(t, other, testGroup, func(c any) (any, error) {
		<-gate
		return accept(c)
	})
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	_, err = p.AppendEntries(appendTo(0, []byte("a")), &raft.AppendEntriesResponse{})
	must(t, err)
	failed := make(chan error)
	go func() { failed <- g.TimeoutNow("", "2-b", nil, nil) }()
	c, err := g.stream("2-b").peer.link(control).get(g.done, patience)
	must(t, err)
	eventually(t, "a request under way", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.pending) > 0
	})
	wire.Set(cutproxy.Cut)
	if f := <-p.Consumer(); f.Response().Success || !errors.Is(f.Error(), ErrBroken) {
		t.Errorf("the pipeline ended with %v", f.Error())
	}
	if err := <-failed; !errors.Is(err, ErrBroken) {
		t.Errorf("the request ended with %v", err)
	}
	if _, err := p.AppendEntries(appendTo(1, []byte("b")), &raft.AppendEntriesResponse{}); !errors.Is(err, ErrBroken) {
		t.Errorf("after that: %v", err)
	}
	close(gate)
	tried := wire.Accepted()
	go func() { failed <- g.AppendEntries("", "2-b", appendTo(0, []byte("a")), &raft.AppendEntriesResponse{}) }()
	eventually(t, "two more attempts", func() bool { return wire.Accepted() >= tried+2 })
	b.move("2-b", direct)
	must(t, <-failed)
}

// A network that loses everything is noticed by the silence, on both sides.
func TestSilenceBreaksConnections(t *testing.T) {
	b := newBrokers(t)
	set := func(o *Options) { o.Ping = 200 * time.Millisecond }
	tr, other := b.start("1-a", set), b.start("2-b", set)
	wire := b.proxy("2-b")
	g := tr.Group(testGroup)
	newMember(t, other, testGroup, accept)
	p, err := g.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	count := func(tr *Transport) int {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return len(tr.conns)
	}
	eventually(t, "a connection", func() bool { return count(tr) == 1 && count(other) == 1 })
	wire.Set(cutproxy.Stall)
	_, err = p.AppendEntries(appendTo(0, []byte("a")), &raft.AppendEntriesResponse{})
	must(t, err)
	if f := <-p.Consumer(); !errors.Is(f.Error(), ErrBroken) { // the other side may have been first to find it silent
		t.Errorf("ended with %v", f.Error())
	}
	eventually(t, "no connection", func() bool { return count(tr) == 0 && count(other) == 0 })
}

// What comes for a group that is not open yet waits for that: a few small appends are given to it then, the others are refused, so that its leader
// tries again just then, and a checkpoint is refused when the group was opened anew. What is held is refused in the end, and a closed
// group's requests fail at once.
func TestRefusalsWaitForTheGroup(t *testing.T) {
	b := newBrokers(t)
	tr := b.start("1-a", nil)
	g := tr.Group(testGroup)
	other := b.start("2-b", func(o *Options) { o.Hold = time.Minute })
	failed := make(chan error)
	held := func(n int) {
		t.Helper()
		eventually(t, "a refusal held", func() bool {
			other.mu.Lock()
			defer other.mu.Unlock()
			h := other.held[testGroup]
			return h != nil && len(h.refusals)+len(h.kept) == n
		})
	}
	go func() { failed <- g.AppendEntries("", "2-b", appendTo(0), &raft.AppendEntriesResponse{}) }()
	held(1)
	go func() { failed <- g.AppendEntries("", "2-b", appendTo(0, []byte("a")), &raft.AppendEntriesResponse{}) }()
	held(2)
	if err := g.RequestVote("", "2-b", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{}); !errors.Is(err, errNotOpen) {
		t.Errorf("a vote: %v", err)
	}
	large := make(chan error)
	go func() {
		large <- g.AppendEntries("", "2-b", appendTo(0, make([]byte, keptBytes)), &raft.AppendEntriesResponse{})
	}()
	held(3)
	m := newMember(t, other, testGroup, func(c any) (any, error) {
		if _, ok := c.(*raft.InstallSnapshotRequest); ok {
			return nil, errors.New("to be pulled")
		}
		return accept(c)
	})
	for range 2 {
		if err := <-failed; err != nil {
			t.Errorf("a small append: %v", err)
		}
	}
	if err := <-large; !errors.Is(err, errNotOpen) {
		t.Errorf("a large append: %v", err)
	}
	go func() {
		failed <- g.InstallSnapshot("", "2-b", &raft.InstallSnapshotRequest{
			Configuration: raft.EncodeConfiguration(testConfiguration),
		}, &raft.InstallSnapshotResponse{}, &bytes.Buffer{})
	}()
	held(1)
	must(t, m.Close())
	go func() { failed <- g.AppendEntries("", "2-b", appendTo(0), &raft.AppendEntriesResponse{}) }()
	held(2)
	newMember(t, other, testGroup, accept)
	if errs := errors.Join(<-failed, <-failed); !errors.Is(errs, errFailed) || errors.Is(errs, errNotOpen) {
		t.Errorf("after it was opened anew: %v", errs)
	}
	late := b.start("3-c", func(o *Options) { o.Hold = time.Millisecond })
	if err := g.AppendEntries("", "3-c", appendTo(0), &raft.AppendEntriesResponse{}); !errors.Is(err, errNotOpen) {
		t.Errorf("never opened: %v", err)
	}
	newMember(t, late, groupOf(1), accept)
	stuck := late.Group(testGroup) // nobody consumes
	go func() { failed <- g.AppendEntries("", "3-c", appendTo(0), &raft.AppendEntriesResponse{}) }()
	eventually(t, "a request waiting", func() bool {
		stuck.control.mu.Lock()
		defer stuck.control.mu.Unlock()
		return stuck.control.serving
	})
	must(t, g.Close())
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	must(t, stuck.Close())
}
