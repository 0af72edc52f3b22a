package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport/cutproxy"
)

// A call reaches the handler under its caller's name, and what the handler says comes back, through the connection that the size asks for.
func TestCalls(t *testing.T) {
	b := newBrokers(t)
	tr, other := b.start("1-a", nil), b.start("2-b", nil)
	echo := func(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error) {
		if _, ok := ctx.Deadline(); !ok || from != "1-a" {
			return nil, fmt.Errorf("from %s, deadline %v", from, ok)
		}
		return bytes.Clone(body), nil
	}
	refuse := func(context.Context, raft.ServerID, []byte) ([]byte, error) {
		return nil, errors.New(strings.Repeat("no ", 1000))
	}
	for _, on := range []*Transport{tr, other} { // and to oneself
		on.Handle(MethodStates, echo)
		on.Handle(MethodRead, echo)
		on.Handle(MethodElect, refuse)
	}
	ctx := context.Background()
	for _, to := range []raft.ServerID{"1-a", "2-b"} {
		for _, n := range []int{0, 1, smallPiece, controlCall, controlCall + 1, maxCall} {
			for _, m := range []Method{MethodStates, MethodRead} {
				body := bytes.Repeat([]byte{byte(n)}, n)
				got, err := tr.Call(ctx, to, m, body)
				if err != nil || !bytes.Equal(got, body) {
					t.Errorf("%v to %s: %d bytes come back for %d, %v", m, to, len(got), n, err)
				}
			}
		}
		var remote *RemoteError
		_, err := tr.Call(ctx, to, MethodElect, nil)
		if !errors.As(err, &remote) || !strings.HasPrefix(remote.Message, "no no") || !strings.HasPrefix(err.Error(), "elect of broker "+string(to)) {
			t.Errorf("refused by %s: %v", to, err)
		}
		if _, err := tr.Call(ctx, to, MethodJoin, nil); !errors.Is(err, ErrNoMethod) {
			t.Errorf("without a handler at %s: %v", to, err)
		}
	}
	for m, n := range map[Method]int{MethodStates: maxCall + 1, 0: 0, lastMethod + 1: 0} {
		if _, err := tr.Call(ctx, "2-b", m, make([]byte, n)); err == nil || !strings.Contains(err.Error(), "the limit is") {
			t.Errorf("method %d with %d bytes: %v", m, n, err)
		}
	}
	for p, want := range map[purpose]bool{control: true, data: false, bulk: true} {
		if got := tr.peer("2-b").link(p).current() != nil; got != want {
			t.Errorf("connection of kind %d: %v", p, got)
		}
	}
}

// An answer that is too large for its connection is an error to the caller, and breaks nothing.
func TestAnswersHaveALimit(t *testing.T) {
	b := newBrokers(t)
	tr, other := b.start("1-a", nil), b.start("2-b", nil)
	var size atomic.Int64
	for _, m := range []Method{MethodStates, MethodRead} {
		other.Handle(m, func(context.Context, raft.ServerID, []byte) ([]byte, error) { return make([]byte, size.Load()), nil })
	}
	for _, c := range []struct {
		m     Method
		limit int
	}{{MethodStates, controlReply}, {MethodRead, maxCall}} {
		for over := range 2 {
			size.Store(int64(c.limit + over))
			got, err := tr.Call(context.Background(), "2-b", c.m, nil)
			var remote *RemoteError
			if over == 0 && (err != nil || len(got) != c.limit) || over == 1 && (!errors.As(err, &remote) || !strings.Contains(err.Error(), "the limit is")) {
				t.Errorf("%v, %d over: %d bytes, %v", c.m, over, len(got), err)
			}
		}
	}
}

// A broker that cannot be had is told apart from a connection that broke on the way, and neither is waited for long.
func TestCallsThatFail(t *testing.T) {
	b := newBrokers(t)
	tr, other := b.start("1-a", nil), b.start("2-b", nil)
	wire := b.proxy("2-b")
	begun, ended := make(chan struct{}), make(chan struct{})
	other.Handle(MethodStates, func(ctx context.Context, _ raft.ServerID, _ []byte) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	if _, err := tr.Call(context.Background(), "3-c", MethodStates, nil); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nobody knows") {
		t.Errorf("to whom nobody knows: %v", err)
	}
	failed := make(chan error)
	go func() {
		_, err := tr.Call(context.Background(), "2-b", MethodStates, nil)
		failed <- err
	}()
	<-begun
	wire.Set(cutproxy.Cut)
	if err := <-failed; !errors.Is(err, ErrBroken) || errors.Is(err, ErrUnreachable) {
		t.Errorf("cut on the way: %v", err)
	}
	<-ended // its context ends with the connection
	if _, err := tr.Call(context.Background(), "2-b", MethodStates, nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cut before: %v", err)
	}
	wire.Set(cutproxy.Stall)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := tr.Call(ctx, "2-b", MethodStates, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a broker that says nothing: %v", err)
	}
}

// Many calls of one method wait for their turn; beyond what a peer may have served at once it is refused; neither holds up the others.
func TestCallsTakeTurns(t *testing.T) {
	b := newBrokers(t)
	tr, other := b.start("1-a", nil), b.start("2-b", nil)
	var at atomic.Int64
	gate := make(chan struct{})
	wait := func(context.Context, raft.ServerID, []byte) ([]byte, error) {
		at.Add(1)
		<-gate
		return nil, nil
	}
	other.Handle(MethodElect, func(context.Context, raft.ServerID, []byte) ([]byte, error) { return nil, nil })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	var failures atomic.Int64
	begin := func(m Method, n int) {
		other.Handle(m, wait)
		for range n {
			wg.Go(func() {
				if _, err := tr.Call(ctx, "2-b", m, nil); err != nil {
					failures.Add(1)
				}
			})
		}
	}
	begin(MethodStates, 2*callsMethod)
	eventually(t, "the first", func() bool { return at.Load() == callsMethod })
	if _, err := tr.Call(ctx, "2-b", MethodElect, nil); err != nil {
		t.Errorf("another method: %v", err)
	}
	if n := at.Load(); n != callsMethod {
		t.Errorf("%d are served at once, want %d", n, callsMethod)
	}
	for _, m := range []Method{MethodJoin, MethodCommand, MethodGossip} {
		begin(m, callsMethod)
	}
	eventually(t, "all that a peer may have", func() bool { return at.Load() == callsPeer })
	if _, err := tr.Call(ctx, "2-b", MethodElect, nil); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	close(gate)
	wg.Wait()
	if n := failures.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}
	eventually(t, "nothing served", func() bool {
		other.calls.mu.Lock()
		defer other.calls.mu.Unlock()
		return other.calls.all == 0 && len(other.calls.serving) == 0
	})
}

// Answers that nobody reads wait with their handlers, not in memory without end.
func TestBulkWaitsForItsReader(t *testing.T) {
	o := newOutbox()
	broken, done := make(chan struct{}), make(chan struct{})
	nothing := func(b []byte) []byte { return b }
	for range 2 {
		if !o.await(bulkWaiting, broken, done) {
			t.Fatal("there is room")
		}
		o.addPiece(nothing, make([]byte, maxCall))
	}
	room := make(chan bool)
	go func() { room <- o.await(bulkWaiting, broken, done) }()
	select {
	case <-room:
		t.Fatal("more than the limit waits")
	default:
	}
	o.swap(outgoing{})
	if !<-room {
		t.Error("no room after everything was taken out")
	}
	o.addPiece(nothing, make([]byte, bulkWaiting))
	close(broken)
	if o.await(bulkWaiting, broken, done) {
		t.Error("room on a broken connection")
	}
}

// The controller's snapshot travels with its data; a partition's does not, and one that no frame holds is refused here.
func TestSnapshotWithData(t *testing.T) {
	b := newBrokers(t)
	small := func(o *Options) { o.MaxFrame = 4 << 20 }
	g := b.start("1-a", small).Group(ControllerGroup)
	other := b.start("2-b", small).Group(ControllerGroup)
	data := bytes.Repeat([]byte("snapshot"), 256<<10)
	got := make(chan []byte, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		rpc := <-other.Consumer()
		r := rpc.Command.(*raft.InstallSnapshotRequest)
		b := make([]byte, r.Size)
		_, err := rpc.Reader.Read(b)
		rpc.Respond(&raft.InstallSnapshotResponse{Term: r.Term, Success: r.LastLogIndex == 7 && bytes.Equal(r.Configuration, raft.EncodeConfiguration(testConfiguration))}, err)
		got <- b
	})
	install := &raft.InstallSnapshotRequest{
		Term: 6, LastLogIndex: 7, LastLogTerm: 5, ConfigurationIndex: 1, Configuration: raft.EncodeConfiguration(testConfiguration), Size: int64(len(data)),
	}
	var resp raft.InstallSnapshotResponse
	must(t, g.InstallSnapshot("2-b", "2-b", install, &resp, bytes.NewReader(data)))
	if !resp.Success || resp.Term != 6 || !bytes.Equal(<-got, data) {
		t.Errorf("%+v, or other data", resp)
	}
	wg.Wait()
	install.Size = 4 << 20
	if err := g.InstallSnapshot("2-b", "2-b", install, &resp, bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "a snapshot of 4194304 bytes, the limit is") {
		t.Errorf("too large: %v", err)
	}
	must(t, g.Close())
	must(t, other.Close())
}

// A probe finds out who listens somewhere, whatever the cluster, itself included; until a broker knows its cluster it takes nothing else.
func TestProbe(t *testing.T) {
	b := newBrokers(t)
	hello := func(id raft.ServerID) func(o *Options) {
		return func(o *Options) {
			o.Cluster, o.OnProbe = "", func(from raft.ServerID, body []byte) []byte {
				return fmt.Appendf(nil, "%s asks %s for %s", from, id, body)
			}
		}
	}
	tr, other := b.start("1-a", hello("1-a")), b.start("2-b", hello("2-b"))
	ask := func(id raft.ServerID) {
		t.Helper()
		addr, err := b.resolve(id)
		must(t, err)
		from, reply, err := tr.Probe(context.Background(), addr, []byte("a cluster"))
		if want := "1-a asks " + string(id) + " for a cluster"; err != nil || from != id || string(reply) != want {
			t.Errorf("%s answers %q, %v", from, reply, err)
		}
	}
	ask("2-b")
	ask("1-a")
	if _, err := tr.Call(context.Background(), "2-b", MethodStates, nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, errCluster) {
		t.Errorf("a call before there is a cluster: %v", err)
	}
	tr.SetCluster("c")
	if _, err := tr.Call(context.Background(), "2-b", MethodStates, nil); !errors.Is(err, errRefused) {
		t.Errorf("a call to whom there is no cluster: %v", err)
	}
	other.SetCluster("d")
	ask("2-b")
	if _, err := tr.Call(context.Background(), "2-b", MethodStates, nil); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), `of cluster "c", this one of "d"`) {
		t.Errorf("a call to another cluster: %v", err)
	}
	other.SetCluster("c")
	if other.cluster() != "d" {
		t.Error("a broker has changed its cluster")
	}
	if _, _, err := tr.Probe(context.Background(), "", make([]byte, maxProbe+1)); err == nil {
		t.Error("a probe of more than the limit")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	if _, _, err := tr.Probe(context.Background(), l.Addr().String(), nil); !errors.Is(err, ErrUnreachable) {
		t.Errorf("where nobody listens: %v", err)
	}
}

// A probe lets nobody in who has not the secret, and believes nobody whose certificate is another's.
func TestProbeOfStrangers(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name        string
		mine, other func(*Options)
		want        string // in the error; "" it is answered
	}{
		{"another secret", func(o *Options) { o.Secret = []byte("guess") }, func(*Options) {}, "is the shared secret the same?"},
		{"certificates", tlsOf(a.config("broker-1")), tlsOf(a.config("broker-2")), ""},
		{"it shows another's", tlsOf(a.config("broker-1")), tlsOf(a.config("broker-3")), "shows another's certificate"},
		{"I show another's", tlsOf(a.config("broker-3")), tlsOf(a.config("broker-2")), "refused by the other broker"},
		{"signed by somebody else", tlsOf(newAuthority(t).config("broker-1")), tlsOf(a.config("broker-2")), "certificate"},
	} {
		b := newBrokers(t)
		tr := b.start("1-a", c.mine)
		b.start("2-b", c.other)
		addr, err := b.resolve("2-b")
		must(t, err)
		from, _, err := tr.Probe(context.Background(), addr, nil)
		if c.want == "" && (err != nil || from != "2-b") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q, %v", c.name, from, err)
		}
	}
}
