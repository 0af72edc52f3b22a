package transport

import (
	"fmt"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// GroupID names a Raft group: of a partition, by topic id and partition. Topics made again under an old name share nothing.
type GroupID struct {
	Topic     [16]byte
	Partition int32
}

// String names the group for logs.
func (id GroupID) String() string { return fmt.Sprintf("%x-%d", id.Topic, id.Partition) }

// Group is one Raft group's raft.Transport, with raft.WithPreVote and raft.WithClose. Addresses are server ids.
//
// Entries are sent as they lie, and are not to be changed after they were given to it. Their Extensions and AppendedAt are not sent: what comes
// in has as its Extensions the whole frame that its Data lies in, and keeps alive.
type Group struct {
	t             *Transport
	id            GroupID
	rpcs          chan raft.RPC
	done          chan struct{} // closed by Close
	closing       sync.Once
	commit        atomic.Uint64 // see Committed
	control, data queue
	ballot        ballot
	calling       atomic.Bool // see CallElection
	onMatch       atomic.Pointer[func(raft.ServerID, uint64)]

	mu      sync.Mutex // held while streams is replaced
	streams atomic.Pointer[map[raft.ServerAddress]*stream]
}

var (
	_ raft.Transport   = (*Group)(nil)
	_ raft.WithPreVote = (*Group)(nil)
	_ raft.WithClose   = (*Group)(nil)
)

// Consumer gives out what other brokers ask of the group.
func (g *Group) Consumer() <-chan raft.RPC { return g.rpcs }

// LocalAddr is this broker's server id.
func (g *Group) LocalAddr() raft.ServerAddress { return raft.ServerAddress(g.t.o.Self) }

// EncodePeer and DecodePeer leave a server id as it is.
func (g *Group) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// DecodePeer is the reverse of EncodePeer.
func (g *Group) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

// SetHeartbeatHandler does nothing: heartbeats go the way of all requests. The library's handler runs beside its main goroutine, and may
// take back a term that this has just begun. A heartbeat waits for one store at most.
func (g *Group) SetHeartbeatHandler(func(raft.RPC)) {}

// Close ends the group's part: what it has under way fails at once, and requests find it closed.
func (g *Group) Close() error {
	g.closing.Do(func() {
		close(g.done)
		g.t.pacts.leave(&g.ballot, g.t.now())
		g.t.mu.Lock()
		defer g.t.mu.Unlock()
		if g.t.groups[g.id] == g {
			delete(g.t.groups, g.id)
		}
	})
	return nil
}

func (g *Group) stream(to raft.ServerAddress) *stream {
	if s := (*g.streams.Load())[to]; s != nil {
		return s
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *g.streams.Load()
	if s := old[to]; s != nil {
		return s
	}
	p := g.t.peer(raft.ServerID(to))
	s := &stream{g: g, peer: p, freed: make(chan struct{}), backing: backing{pact: p.pact}}
	streams := map[raft.ServerAddress]*stream{to: s}
	maps.Copy(streams, old)
	g.streams.Store(&streams)
	return s
}

// Committed tells the group's commit index. If this broker leads, its followers hear of it within Options.Coalesce even where nothing
// else is sent to them; Raft alone tells them with its next request, or after CommitTimeout.
func (g *Group) Committed(index uint64) {
	raise(&g.commit, index)
	for _, s := range *g.streams.Load() {
		s.mu.Lock()
		s.tell()
		s.mu.Unlock()
	}
}

// Match is the newest entry that a peer is known to hold as this broker has it, in the newest term in which this one led, and when
// it last said so; 0 if there is none.
func (g *Group) Match(id raft.ServerID) (index uint64, at time.Time) {
	s := g.stream(raft.ServerAddress(id))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.match, s.matchAt
}

// answered is a waiter for one outcome.
type answered chan outcome

func (a answered) done(o outcome) { a <- o }

// wait waits for the answer until deadline.
func (g *Group) wait(a answered, deadline time.Time) (outcome, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case o := <-a:
		switch o.code {
		case codeOK, codeRejected, codeMismatch:
			return o, o.err
		}
		return o, o.failure()
	case <-g.done:
		return outcome{}, ErrClosed
	case <-timer.C:
		return outcome{}, errNoReply
	}
}

// AppendEntriesPipeline opens a pipeline on the data connection to a peer.
func (g *Group) AppendEntriesPipeline(_ raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	s := g.stream(to)
	c, err := s.peer.link(data).get(g.done, g.t.o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("pipeline to %s: %w", to, err)
	}
	return g.newPipeline(s, c), nil
}

// AppendEntries sends as many of the entries as make up one frame, and cuts the others off the request: Raft goes on until its follower is
// level. A request without entries goes together with those of other groups.
func (g *Group) AppendEntries(
	_ raft.ServerID, to raft.ServerAddress, r *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	deadline := time.Now().Add(g.t.o.Timeout)
	s, a := g.stream(to), make(answered, 1)
	p := control
	if len(r.Entries) > 0 {
		p = data
	}
	c, err := s.peer.link(p).get(g.done, g.t.o.Timeout)
	if err != nil {
		return fmt.Errorf("append to %s: %w", to, err)
	}
	if p == control {
		err = s.beat(c, headOf(g.id, r), a)
	} else {
		n, bytes := s.cut(c, r.Entries)
		r.Entries = r.Entries[:n]
		err = s.send(c, headOf(g.id, r), r.Entries, bytes, a, time.Until(deadline))
	}
	if err != nil {
		return fmt.Errorf("append to %s: %w", to, err)
	}
	o, err := g.wait(a, deadline)
	if err != nil {
		return fmt.Errorf("append to %s: %w", to, err)
	}
	setResponse(resp, &o)
	return nil
}

// setResponse is the reverse of answerTo.
func setResponse(resp *raft.AppendEntriesResponse, o *outcome) {
	resp.Term, resp.LastLog = o.term, o.last
	resp.Success, resp.NoRetryBackoff = o.err == nil && o.code == codeOK, o.code == codeMismatch
}

// ask sends a request to a peer on the control connection and waits for the reply.
func (g *Group) ask(what byte, to raft.ServerAddress, body []byte, timeout time.Duration) ([]byte, error) {
	return g.send(control, to, request{what: what, group: g.id, body: body}, nil, timeout)
}

// sendSnapshot sends a request with data.
func (g *Group) sendSnapshot(to raft.ServerAddress, r *raft.InstallSnapshotRequest, from io.Reader) ([]byte, error) {
	body := encodeSnapshot(r)
	if room := int64(g.t.o.MaxFrame - requestHead - len(body)); r.Size < 0 || r.Size > room {
		return nil, fmt.Errorf("a snapshot of %d bytes, the limit is %d", r.Size, room)
	}
	data := make([]byte, r.Size)
	if _, err := io.ReadFull(from, data); err != nil {
		return nil, fmt.Errorf("read the snapshot: %w", err)
	}
	return g.send(bulk, to, request{what: askSnapshot, group: g.id, body: body}, data, g.t.o.Timeout+g.t.o.Hold)
}

// send sends a request, data being what its body ends with, and waits for the reply.
func (g *Group) send(p purpose, to raft.ServerAddress, r request, data []byte, timeout time.Duration) ([]byte, error) {
	deadline := time.Now().Add(timeout)
	c, err := g.t.peer(raft.ServerID(to)).link(p).get(g.done, timeout)
	if err != nil {
		return nil, err
	}
	a := make(answered, 1)
	if r.seq, err = c.register(a); err != nil {
		return nil, err
	}
	c.out.addPiece(func(b []byte) []byte { return r.encodeBefore(b, len(data)) }, data)
	o, err := g.wait(a, deadline)
	if err != nil {
		c.settle(r.seq, outcome{}) // a late reply finds nobody; a has room for this
	}
	return o.body, err
}

// InstallSnapshot tells a peer of the checkpoint that it needs. A partition's carries no data: the peer pulls the files, and until its
// group is opened on them, it holds back its refusal for Options.Hold. The controller's carries what its Raft has, in one frame.
func (g *Group) InstallSnapshot(
	_ raft.ServerID, to raft.ServerAddress, r *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	var body []byte
	var err error
	if g.id == ControllerGroup {
		body, err = g.sendSnapshot(to, r, data)
	} else if body, err = encodeInstall(r); err == nil {
		body, err = g.ask(askInstall, to, body, g.t.o.Timeout+g.t.o.Hold)
	}
	if err == nil {
		resp.Term, resp.Success, err = decodeResponse(body)
	}
	return wrap("checkpoint for", to, err)
}

func wrap(what string, to raft.ServerAddress, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, to, err)
	}
	return nil
}
