package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

// maxPeers bounds the address book: the brokers of a cluster, and those that were or may become some.
const maxPeers = 1024

// peers is the address book: where other brokers listen. The metadata has it, but to hear of the metadata a broker has to reach others;
// so what was known last is kept in quire.peers, and who asks this broker tells where it listens.
//
// What always holds: there is one entry a server id; what a broker says of itself replaces what others say of it.
type peers struct {
	dir  string
	self replication.ServerID

	mu    sync.Mutex
	book  map[replication.ServerID]controller.Broker
	saved []controller.Broker // what quire.peers has
}

// openPeers reads quire.peers. It is a hint: what cannot be read is as good as nothing.
func openPeers(dir string, self replication.ServerID) *peers {
	p := &peers{dir: dir, self: self, book: map[replication.ServerID]controller.Broker{}}
	text, err := readLimited(filepath.Join(dir, peersFile), maxMetaBytes)
	if err == nil && json.Unmarshal(text, &p.saved) == nil {
		for _, b := range p.saved {
			p.heard(b, false)
		}
	}
	return p
}

// heard notes where a broker listens. first says that it said so itself.
func (p *peers) heard(b controller.Broker, first bool) {
	id := serverID(b)
	if b.RPCAddr == "" || b.Incarnation == "" || id == p.self {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.book[id]; known && !first || !known && len(p.book) >= maxPeers {
		return
	}
	p.book[id] = b
}

// follow takes over what an image of the metadata says, where that is not what the one before said: an older image does not replace what a
// broker has just said of itself. What is registered no more is forgotten.
func (p *peers) follow(before, now *controller.Image) {
	for _, b := range now.Brokers {
		p.heard(b, before == nil || before.Brokers[b.ID] != b)
	}
	if before == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, b := range before.Brokers {
		if n, registered := now.Brokers[id]; !registered || n.Incarnation != b.Incarnation {
			delete(p.book, serverID(b))
		}
	}
}

// resolve is where a server listens.
func (p *peers) resolve(id replication.ServerID) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.book[id]
	if !ok {
		return "", fmt.Errorf("broker %s is unknown", id)
	}
	return b.RPCAddr, nil
}

// all lists the book by server id.
func (p *peers) all() []controller.Broker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.book), func(a, b controller.Broker) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Incarnation, b.Incarnation))
	})
}

// save writes quire.peers, if something has changed.
func (p *peers) save(registered []controller.Broker) error {
	others := slices.DeleteFunc(registered, func(b controller.Broker) bool { return serverID(b) == p.self })
	if slices.Equal(others, p.saved) {
		return nil
	}
	text, err := json.Marshal(others)
	if err == nil {
		err = replaceFile(p.dir, peersFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", peersFile, err)
	}
	p.saved = others
	return nil
}

// dialFrom dials from the host of a listen address, where that is one address: so a firewall, or a test, can tell brokers by where they
// come from.
func dialFrom(listenAddr string) func(ctx context.Context, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(listenAddr)
	own := net.ParseIP(host)
	if err != nil || own == nil || own.IsUnspecified() {
		own = nil
	}
	return func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		host, _, err := net.SplitHostPort(addr)
		ip := net.ParseIP(host)
		sameFamily := ip == nil || (ip.To4() == nil) == (own.To4() == nil)
		sameReach := ip == nil || ip.IsLoopback() || !own.IsLoopback()
		if err == nil && own != nil && sameFamily && sameReach {
			d.LocalAddr = &net.TCPAddr{IP: own}
		}
		return d.DialContext(ctx, "tcp", addr)
	}
}
