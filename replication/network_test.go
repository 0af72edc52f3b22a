package replication

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/replication/transport/cutproxy"
)

// network connects servers over TCP on loopback, with wires that can be cut: from each server to each other one there is a proxy.
type network struct {
	t        testing.TB
	direct   bool // of benchmarks: there are no proxies
	coalesce time.Duration

	mu         sync.Mutex
	transports map[ServerID]*transport.Transport
	addrs      map[ServerID]string
	wires      map[[2]ServerID]*cutproxy.Proxy // from, to
}

func newNetwork(t testing.TB) *network {
	n := &network{
		t: t, coalesce: 5 * time.Millisecond, transports: map[ServerID]*transport.Transport{}, addrs: map[ServerID]string{}, wires: map[[2]ServerID]*cutproxy.Proxy{},
	}
	t.Cleanup(n.close)
	return n
}

func (n *network) close() {
	for id, tr := range n.transports {
		if err := tr.Close(); err != nil {
			n.t.Errorf("close the transport of %s: %v", id, err)
		}
	}
	for _, w := range n.wires {
		if err := w.Close(); err != nil {
			n.t.Error(err)
		}
	}
}

// join opens the group of a server, whose transport lives on when the group is closed, as a broker's does.
func (n *network) join(id ServerID, group GroupID) raft.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.transports[id] == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(n.t, err)
		o := transport.Options{
			Self: raft.ServerID(id), Cluster: "test", Secret: []byte("secret"), Listener: l, Timeout: 2 * time.Second, Coalesce: n.coalesce,
			Resolve: func(to raft.ServerID) (string, error) { return n.wire(id, ServerID(to)) },
		}
		if testing.Verbose() {
			o.Logger = slog.New(slog.NewTextHandler(n.t.Output(), nil)).With("server", id)
		}
		tr, err := transport.New(o)
		must(n.t, err)
		n.transports[id], n.addrs[id] = tr, l.Addr().String()
	}
	return n.transports[id].Group(group)
}

// wire is the address of the proxy from one server to another.
func (n *network) wire(from, to ServerID) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addrs[to] == "" {
		return "", fmt.Errorf("%s has never been started", to)
	}
	if n.direct {
		return n.addrs[to], nil
	}
	w := n.wires[[2]ServerID{from, to}]
	if w == nil {
		var err error
		if w, err = cutproxy.New(n.addrs[to]); err != nil {
			return "", err
		}
		n.wires[[2]ServerID{from, to}] = w
	}
	return w.Addr(), nil
}

// isolate cuts or mends all wires of a server, in both directions.
func (n *network) isolate(cut bool, id ServerID) {
	state := cutproxy.Open
	if cut {
		state = cutproxy.Cut
	}
	n.mu.Lock()
	peers := make([]ServerID, 0, len(n.addrs))
	for peer := range n.addrs {
		if peer != id {
			peers = append(peers, peer)
		}
	}
	n.mu.Unlock()
	for _, peer := range peers {
		for _, ends := range [][2]ServerID{{id, peer}, {peer, id}} {
			_, err := n.wire(ends[0], ends[1])
			must(n.t, err)
			n.mu.Lock()
			n.wires[ends].Set(state)
			n.mu.Unlock()
		}
	}
}
