package transport

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport/cutproxy"
)

const patience = 20 * time.Second

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain sees to it that nothing is left running.
func TestMain(m *testing.M) {
	code := m.Run()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, g := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(g, "replication/transport.(*") || strings.Contains(g, "cutproxy.(*") {
			fmt.Println("left running:", g)
			code = 1
		}
	}
	os.Exit(code)
}

// brokers are transports that know each other, and a proxy before each.
type brokers struct {
	t testing.TB

	mu    sync.Mutex
	addrs map[raft.ServerID]string
}

func newBrokers(t testing.TB) *brokers { return &brokers{t: t, addrs: map[raft.ServerID]string{}} }

func (b *brokers) move(id raft.ServerID, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addrs[id] = addr
}

func (b *brokers) resolve(id raft.ServerID) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.addrs[id] == "" {
		return "", errors.New("nobody knows")
	}
	return b.addrs[id], nil
}

// start starts a broker. set changes its options.
func (b *brokers) start(id raft.ServerID, set func(*Options)) *Transport {
	b.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b.t, err)
	o := Options{Self: id, Cluster: "c", Secret: []byte("secret"), Listener: l, Resolve: b.resolve, Timeout: patience}
	if set != nil {
		set(&o)
	}
	tr, err := New(o)
	must(b.t, err)
	b.t.Cleanup(func() { must(b.t, tr.Close()) })
	b.move(id, l.Addr().String())
	return tr
}

func (b *brokers) proxy(id raft.ServerID) *cutproxy.Proxy {
	b.t.Helper()
	addr, err := b.resolve(id)
	must(b.t, err)
	p, err := cutproxy.New(addr)
	must(b.t, err)
	b.t.Cleanup(func() { must(b.t, p.Close()) })
	b.move(id, p.Addr())
	return p
}

// member stands in for a group's Raft: it answers what comes with what answer says, until the test ends.
type member struct {
	*Group
	got chan any // what came, as long as there is room
}

func newMember(t testing.TB, tr *Transport, id GroupID, answer func(any) (any, error)) *member {
	m := &member{tr.Group(id), make(chan any, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case rpc := <-m.Consumer():
				select {
				case m.got <- rpc.Command:
				default:
				}
				rpc.Respond(answer(rpc.Command))
			case <-m.done:
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = m.Close()
		wg.Wait()
	})
	return m
}

// accept answers as a follower that has everything.
func accept(command any) (any, error) {
	switch r := command.(type) {
	case *raft.AppendEntriesRequest:
		return &raft.AppendEntriesResponse{Term: r.Term, LastLog: r.PrevLogEntry + uint64(len(r.Entries)), Success: true}, nil
	case *raft.RequestVoteRequest:
		return &raft.RequestVoteResponse{Term: r.Term, Granted: true}, nil
	case *raft.RequestPreVoteRequest:
		return &raft.RequestPreVoteResponse{Term: r.Term, Granted: true}, nil
	case *raft.InstallSnapshotRequest:
		return &raft.InstallSnapshotResponse{Term: r.Term, Success: true}, nil
	}
	return &raft.TimeoutNowResponse{}, nil
}

func appendTo(after uint64, data ...[]byte) *raft.AppendEntriesRequest {
	h := rpcHeader("1-a")
	r := &raft.AppendEntriesRequest{RPCHeader: h, Leader: h.Addr, Term: 5, PrevLogEntry: after, PrevLogTerm: 5, LeaderCommitIndex: after}
	for i, d := range data {
		r.Entries = append(r.Entries, &raft.Log{Index: after + 1 + uint64(i), Term: 5, Data: d})
	}
	return r
}

// Each request reaches the other group as it was sent, under the name of its sender, and the answer comes back.
func TestRequests(t *testing.T) {
	b := newBrokers(t)
	a, other := b.start("1-a", nil).Group(testGroup), b.start("2-b", nil)
	m := newMember(t, other, testGroup, accept)
	h := rpcHeader("1-a")
	check := func(err error, want any) {
		t.Helper()
		must(t, err)
		got := <-m.got
		if r, ok := got.(*raft.AppendEntriesRequest); ok {
			for _, e := range r.Entries {
				if len(e.Extensions) < headLen+len(e.Data) {
					t.Errorf("entry %d comes with %d bytes of its frame", e.Index, len(e.Extensions))
				}
				e.Extensions = nil
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	vote := &raft.RequestVoteRequest{RPCHeader: h, Candidate: h.Addr, Term: 5, LastLogIndex: 7, LastLogTerm: 5, LeadershipTransfer: true}
	var voted raft.RequestVoteResponse
	check(a.RequestVote("2-b", "2-b", vote, &voted), vote)
	pre := &raft.RequestPreVoteRequest{RPCHeader: h, Term: 6, LastLogIndex: 7, LastLogTerm: 5}
	var preVoted raft.RequestPreVoteResponse
	check(a.RequestPreVote("2-b", "2-b", pre, &preVoted), pre)
	install := &raft.InstallSnapshotRequest{
		RPCHeader: h, Leader: h.Addr, SnapshotVersion: 1, Term: 5, LastLogIndex: 7, LastLogTerm: 5, ConfigurationIndex: 1,
		Configuration: raft.EncodeConfiguration(testConfiguration),
	}
	var installed raft.InstallSnapshotResponse
	check(a.InstallSnapshot("2-b", "2-b", install, &installed, nil), install)
	if voted.Term != 5 || !voted.Granted || preVoted.Term != 6 || !preVoted.Granted || installed.Term != 5 || !installed.Success {
		t.Errorf("answers %+v %+v %+v", voted, preVoted, installed)
	}
	check(a.TimeoutNow("2-b", "2-b", &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{}), &raft.TimeoutNowRequest{RPCHeader: h})
	told := make(chan string, 10)
	a.OnMatch(func(peer raft.ServerID, index uint64) { told <- fmt.Sprint(peer, " ", index) })
	for _, r := range []*raft.AppendEntriesRequest{appendTo(40), appendTo(40, []byte("batch"), []byte{}, []byte("another"))} {
		var resp raft.AppendEntriesResponse
		check(a.AppendEntries("2-b", "2-b", r, &resp), r)
		if want := 40 + uint64(len(r.Entries)); !resp.Success || resp.Term != 5 || resp.LastLog != want {
			t.Errorf("response %+v, want success at %d", resp, want)
		}
		if match, at := a.Match("2-b"); match != resp.LastLog || at.IsZero() {
			t.Errorf("match %d at %v, want %d", match, at, resp.LastLog)
		}
	}
	if first, second := <-told, <-told; first != "2-b 40" || second != "2-b 43" || len(told) > 0 {
		t.Errorf("told of %s, %s and %d more", first, second, len(told))
	}
	if err := a.InstallSnapshot("2-b", "2-b", &raft.InstallSnapshotRequest{Size: 1}, nil, nil); !errors.Is(err, errInstallData) {
		t.Errorf("a checkpoint with data: %v", err)
	}
}

// What Raft refuses comes back as it was refused.
func TestRefusals(t *testing.T) {
	b := newBrokers(t)
	a, other := b.start("1-a", nil).Group(testGroup), b.start("2-b", func(o *Options) { o.Hold = time.Millisecond })
	var answer atomic.Value
	newMember(t, other, testGroup, func(any) (any, error) {
		if r, ok := answer.Load().(*raft.AppendEntriesResponse); ok {
			return r, nil
		}
		return nil, errors.New("no")
	})
	var resp raft.AppendEntriesResponse
	if err := a.AppendEntries("", "2-b", appendTo(1, []byte("x")), &resp); !errors.Is(err, errFailed) {
		t.Errorf("after an error: %v", err)
	}
	if err := a.TimeoutNow("", "2-b", nil, nil); !errors.Is(err, errFailed) || !strings.Contains(err.Error(), "no") {
		t.Errorf("after an error: %v", err)
	}
	for _, want := range []raft.AppendEntriesResponse{{Term: 9, LastLog: 3}, {Term: 9, LastLog: 3, NoRetryBackoff: true}} {
		answer.Store(&want)
		must(t, a.AppendEntries("", "2-b", appendTo(1, []byte("x")), &resp))
		if !reflect.DeepEqual(resp, want) {
			t.Errorf("response %+v, want %+v", resp, want)
		}
	}
	if match, _ := a.Match("2-b"); match != 0 {
		t.Errorf("match %d after refusals", match)
	}
	lonely := b.start("4-d", func(o *Options) { o.Timeout = 50 * time.Millisecond }).Group(testGroup)
	if err := lonely.AppendEntries("", "3-c", appendTo(1), &resp); err == nil || !strings.Contains(err.Error(), "nobody knows") {
		t.Errorf("to whom nobody knows: %v", err)
	}
}

// A single request takes what fits in a frame and leaves the rest to Raft; a pipeline sends all, in as many frames as it takes.
func TestLargeRequests(t *testing.T) {
	b := newBrokers(t)
	a, other := b.start("1-a", nil).Group(testGroup), b.start("2-b", nil)
	var mu sync.Mutex
	var got []byte
	newMember(t, other, testGroup, func(command any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range command.(*raft.AppendEntriesRequest).Entries {
			got = append(got, e.Data...)
		}
		return accept(command)
	})
	var sizes [][]byte
	for i, n := range []int{3 << 20, 1 << 20, 1, 5 << 20, 1 << 20} {
		sizes = append(sizes, bytes.Repeat([]byte{byte('a' + i)}, n))
	}
	r := appendTo(10, sizes...)
	var resp raft.AppendEntriesResponse
	must(t, a.AppendEntries("", "2-b", r, &resp))
	if len(r.Entries) != 2 || resp.LastLog != 12 {
		t.Errorf("%d entries sent, last one %d; want 2, 12", len(r.Entries), resp.LastLog)
	}
	mu.Lock()
	got = nil
	mu.Unlock()
	p, err := a.AppendEntriesPipeline("", "2-b")
	must(t, err)
	defer p.Close()
	r = appendTo(10, sizes...)
	_, err = p.AppendEntries(r, &resp)
	must(t, err)
	f := <-p.Consumer()
	if err := f.Error(); err != nil || !f.Response().Success || f.Response().LastLog != 15 || len(f.Request().Entries) != 5 {
		t.Errorf("%+v, %v", f.Response(), err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !bytes.Equal(got, bytes.Join(sizes, nil)) {
		t.Errorf("%d bytes came, not those that were sent", len(got))
	}
	if match, _ := a.Match("2-b"); match != 15 {
		t.Errorf("match %d, want 15", match)
	}
}

// log collects what is logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), s)
}

func (l *log) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
