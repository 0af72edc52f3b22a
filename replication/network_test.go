package replication

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// network connects servers of one process over the library's in-memory transport, with links that can be cut.
type network struct {
	mu      sync.Mutex
	links   map[ServerID]*link
	cuts    map[[2]ServerID]bool
	changed chan struct{} // closed when links or cuts change
}

func newNetwork() *network {
	return &network{links: map[ServerID]*link{}, cuts: map[[2]ServerID]bool{}, changed: make(chan struct{})}
}

// link copies entries, as a wire does: a replica must never share memory with another. A call over a cut link takes its
// time to fail; failing at once would drive the library's backoff up to 10 s in no time.
type link struct {
	*raft.InmemTransport
	net *network
}

var errLinkCut = errors.New("link is cut")

// InstallSnapshot holds a refusal back until the follower has been opened anew, as a transport should: every refusal doubles
// the time after which the library asks again, up to 10 s.
func (l *link) InstallSnapshot(
	id raft.ServerID, to raft.ServerAddress, r *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	if err := l.pass(to); err != nil {
		return err
	}
	l.net.mu.Lock()
	before := l.net.links[ServerID(to)]
	l.net.mu.Unlock()
	err := l.InmemTransport.InstallSnapshot(id, to, r, resp, data)
	timeout := time.NewTimer(2 * time.Second)
	defer timeout.Stop()
	for err != nil {
		l.net.mu.Lock()
		now, changed := l.net.links[ServerID(to)], l.net.changed
		l.net.mu.Unlock()
		if now != before {
			break
		}
		select {
		case <-changed:
		case <-timeout.C:
			return err
		}
	}
	return err
}

// pass waits while the link is cut, but not for ever.
func (l *link) pass(to raft.ServerAddress) error {
	timeout := time.NewTimer(200 * time.Millisecond)
	defer timeout.Stop()
	for {
		l.net.mu.Lock()
		cut, changed := l.net.cuts[[2]ServerID{ServerID(l.LocalAddr()), ServerID(to)}], l.net.changed
		l.net.mu.Unlock()
		if !cut {
			return nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return errLinkCut
		}
	}
}

// join connects a server, anew where it was connected before.
func (n *network) join(id ServerID) raft.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, t := raft.NewInmemTransport(raft.ServerAddress(id))
	n.links[id] = &link{t, n}
	for peer := range n.links {
		n.connect(id, peer)
		n.connect(peer, id)
	}
	n.change()
	return n.links[id]
}

func (n *network) connect(from, to ServerID) {
	if from == to {
		return
	}
	n.links[from].Disconnect(raft.ServerAddress(to))
	if !n.cuts[[2]ServerID{from, to}] {
		n.links[from].Connect(raft.ServerAddress(to), n.links[to].InmemTransport)
	}
}

// set cuts or mends both directions between a and b.
func (n *network) set(cut bool, a, b ServerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts[[2]ServerID{a, b}], n.cuts[[2]ServerID{b, a}] = cut, cut
	n.connect(a, b)
	n.connect(b, a)
	n.change()
}

func (n *network) change() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// isolate cuts or mends all links of a server.
func (n *network) isolate(cut bool, id ServerID) {
	n.mu.Lock()
	var peers []ServerID
	for peer := range n.links {
		if peer != id {
			peers = append(peers, peer)
		}
	}
	n.mu.Unlock()
	for _, peer := range peers {
		n.set(cut, id, peer)
	}
}

func copied(r *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	out := *r
	out.Entries = make([]*raft.Log, len(r.Entries))
	for i, e := range r.Entries {
		c := *e
		c.Data = bytes.Clone(e.Data)
		out.Entries[i] = &c
	}
	return &out
}

func (l *link) AppendEntries(
	id raft.ServerID, to raft.ServerAddress, r *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	if err := l.pass(to); err != nil {
		return err
	}
	return l.InmemTransport.AppendEntries(id, to, copied(r), resp)
}

func (l *link) RequestVote(
	id raft.ServerID, to raft.ServerAddress, r *raft.RequestVoteRequest, resp *raft.RequestVoteResponse,
) error {
	if err := l.pass(to); err != nil {
		return err
	}
	return l.InmemTransport.RequestVote(id, to, r, resp)
}

func (l *link) RequestPreVote(
	id raft.ServerID, to raft.ServerAddress, r *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	if err := l.pass(to); err != nil {
		return err
	}
	return l.InmemTransport.RequestPreVote(id, to, r, resp)
}

func (l *link) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	if err := l.pass(to); err != nil {
		return nil, err
	}
	p, err := l.InmemTransport.AppendEntriesPipeline(id, to)
	return pipeline{p}, err
}

type pipeline struct{ raft.AppendPipeline }

func (p pipeline) AppendEntries(r *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	return p.AppendPipeline.AppendEntries(copied(r), resp)
}
