// Package transport carries the Raft groups of a broker to its peers: all groups between two brokers over one port and a few
// connections, whatever their number.
//
// A connection begins with a handshake that shows each side whom it speaks to (handshake.go); then it carries frames (frame.go), data
// apart from control. A Transport has the connections (link.go, conn.go), a Group is what one Raft group sees of them (group.go). What
// goes out waits in the outbox of its connection, within the limits of the group's stream to that peer; what comes in waits in the
// queues of its group (incoming.go), so no group waits for another. Goroutines belong to connections, and to groups only while
// something waits for their Raft.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// ErrClosed is what fails when the transport, or the group's part of it, is closed.
var ErrClosed = errors.New("transport is closed")

// Options of New. Self, Cluster, Listener and Resolve must be set, and Secret or TLS.
type Options struct {
	Self     raft.ServerID // broker id and incarnation; 1 to 255 bytes
	Cluster  string        // the cluster's id, up to 255 bytes: brokers of another are refused; "": SetCluster tells it later
	Listener net.Listener  // closed with the transport
	// Resolve tells where a broker listens. It is asked before each dial, so the answer may change.
	Resolve func(raft.ServerID) (addr string, err error)

	// Secret is shared by the brokers of the cluster. Each shows the other that it knows it, without sending it. It
	// protects nothing that is sent later: that takes TLS.
	Secret []byte
	// TLS has this broker's certificate for both directions, and in RootCAs and ClientCAs who signs those of the others. Certificates are
	// required, and must name the broker that shows them.
	TLS *tls.Config
	// CertificateName is the DNS name that a broker's certificate must have; nil: broker-1 for "1-…".
	CertificateName func(raft.ServerID) string

	Logger     *slog.Logger  // nil: discards
	Coalesce   time.Duration // how long an append without entries waits for others, 0: 20 ms
	Ping       time.Duration // a connection that is silent for five of these is broken; 0: 1 s
	Timeout    time.Duration // of a request, and of waiting for a connection; 0: 10 s
	Hold       time.Duration // how long a refusal waits for its group to be opened, 0: 2 s
	MaxFrame   int           // bytes, 0: 128 MiB; the largest entry and 1 KiB must fit
	MaxEntries int           // raft.Config.MaxAppendEntries, up to 1,024; 0: 256

	// Dial connects to another broker. nil: a net.Dialer.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// OnProbe answers the question of whoever has shown that he knows the secret, or has a certificate, be he of this cluster or not. nil: with nothing.
	OnProbe func(from raft.ServerID, body []byte) []byte

	PingEvery time.Duration // how often each watched peer is pinged, 0: 200 ms
	DeadAfter time.Duration // a watched peer is dead after this without an answer, 0: 1 s
	// OnPeer is told when a watched peer is found alive, or dead. It is called by one goroutine and must not block.
	OnPeer func(peer raft.ServerID, alive bool)
	// OnDeserted is told that a voter of the group has voted for another in term: whoever leads in a lower one must not answer any more once this has
	// returned. It is called by connections' readers and must not block.
	OnDeserted func(group GroupID, term uint64)
	// Healthy is asked before a ping is answered; false: it is not, so that this broker is taken for dead. nil: it always is.
	Healthy func() bool

	greeting time.Duration // what a handshake may take; 0: 5 s
}

func (o *Options) complete() error {
	var faults []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	need(len(o.Self) > 0 && len(o.Self) <= maxName, "server id %q: it must have 1 to %d bytes", o.Self, maxName)
	need(len(o.Cluster) <= maxName, "cluster id of %d bytes, the limit is %d", len(o.Cluster), maxName)
	need(o.Listener != nil && o.Resolve != nil, "without a listener, or an address book")
	need(len(o.Secret) > 0 || o.TLS != nil, "without a shared secret or certificates, anybody could take part")
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}
	}
	if o.CertificateName == nil {
		o.CertificateName = brokerName
	}
	for d, standard := range map[*time.Duration]time.Duration{
		&o.Coalesce: 20 * time.Millisecond, &o.Ping: time.Second, &o.Timeout: 10 * time.Second, &o.Hold: 2 * time.Second,
		&o.greeting: 5 * time.Second, &o.PingEvery: 200 * time.Millisecond, &o.DeadAfter: time.Second,
	} {
		if *d == 0 {
			*d = standard
		}
	}
	if o.MaxFrame == 0 {
		o.MaxFrame = 128 << 20
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 256
	}
	need(o.MaxEntries <= maxEntries, "%d entries in a request, the limit is %d", o.MaxEntries, maxEntries)
	if o.TLS != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.ClientAuth, o.TLS.MinVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS13
	}
	return errors.Join(faults...)
}

// Transport is a broker's connections to its peers.
//
// Lock order: mu is a leaf, but for the locks of a connection's outbox and coalescer, and pacts.mu, which is one. pact.handling comes before
// all of them.
type Transport struct {
	o      Options
	begun  time.Time
	ctx    context.Context // ends with Close: the transport's own life, nobody's request
	cancel context.CancelFunc
	wg     sync.WaitGroup

	named atomic.Pointer[string] // the cluster's id; nil: it is not known yet
	calls calls
	pacts *pacts

	watching sync.Once     // the detector's goroutine runs from the first Watch on
	look     chan struct{} // wakes it

	mu      sync.Mutex
	closed  bool
	groups  map[GroupID]*Group
	held    map[GroupID]*held
	peers   map[raft.ServerID]*peer
	conns   map[*conn]struct{}
	toWatch map[raft.ServerID]*peer // replaced, never changed
}

// New starts to listen.
func New(o Options) (*Transport, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("transport between brokers: %w", err)
	}
	t := &Transport{
		o: o, begun: time.Now(), groups: map[GroupID]*Group{}, held: map[GroupID]*held{}, peers: map[raft.ServerID]*peer{},
		pacts: newPacts(1 + rand.Uint64N(math.MaxUint64)), look: make(chan struct{}, 1), conns: map[*conn]struct{}{}, calls: calls{serving: map[raft.ServerID]int{}},
	}
	t.SetCluster(o.Cluster)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.start(t.listen)
	return t, nil
}

// Close breaks all connections and waits until nothing is left running. Groups are best closed before.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	for _, h := range t.held {
		h.timer.Stop()
	}
	clear(t.held)
	conns := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		conns = append(conns, c)
	}
	t.mu.Unlock()
	t.cancel()
	err := t.o.Listener.Close()
	for _, c := range conns {
		c.fail(ErrClosed)
	}
	t.wg.Wait()
	if err != nil {
		return fmt.Errorf("close transport: %w", err)
	}
	return nil
}

// SetCluster tells the cluster's id, where Options left it open. Until then only probes are taken. The first one counts.
func (t *Transport) SetCluster(id string) {
	if id != "" && !t.named.CompareAndSwap(nil, &id) && t.cluster() != id {
		t.o.Logger.Error("a broker cannot change its cluster", "cluster", t.cluster(), "to", id)
	}
}

func (t *Transport) cluster() string {
	if id := t.named.Load(); id != nil {
		return *id
	}
	return ""
}

// start runs f on a goroutine that Close waits for; false: the transport is closed.
func (t *Transport) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

func (t *Transport) track(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.conns[c] = struct{}{}
	return true
}

func (t *Transport) untrack(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// Group is the group's transport, from now on the one that its requests go to. Requests that came while it was not open are tried again.
func (t *Transport) Group(id GroupID) *Group {
	g := &Group{t: t, id: id, rpcs: make(chan raft.RPC), done: make(chan struct{})}
	g.streams.Store(&map[raft.ServerAddress]*stream{})
	g.ballot.group, g.ballot.free = id, id == ControllerGroup
	t.pacts.join(&g.ballot)
	t.mu.Lock()
	t.groups[id] = g
	h := t.held[id]
	t.mu.Unlock()
	t.release(id, h, g)
	return g
}

func (t *Transport) peer(id raft.ServerID) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil {
		p = &peer{id: id, pact: t.pacts.of(id)}
		for i := range p.links {
			l := &p.links[i]
			l.t, l.to, l.purpose, l.changed = t, id, control+purpose(i), make(chan struct{})
		}
		for m := range p.turns {
			p.turns[m] = make(chan struct{}, callsMethod)
		}
		t.peers[id] = p
	}
	return p
}

// maxHandshakes bounds who has not yet shown who he is: further ones are turned away at once.
const maxHandshakes = 64

func (t *Transport) listen() {
	slots := make(chan struct{}, maxHandshakes)
	for {
		nc, err := t.o.Listener.Accept()
		if err != nil {
			if t.ctx.Err() != nil {
				return
			}
			t.o.Logger.Warn("cannot accept a connection between brokers", "err", err)
			select {
			case <-time.After(firstBackoff): // out of descriptors, most likely
				continue
			case <-t.ctx.Done():
				return
			}
		}
		select {
		case slots <- struct{}{}:
			if t.start(func() { t.serve(nc, func() { <-slots }) }) {
				continue
			}
		default:
			t.o.Logger.Warn("refused a connection between brokers", "remote", nc.RemoteAddr(), "err", "too many are being greeted")
		}
		_ = nc.Close()
	}
}

// serve greets whoever has connected, and serves the connection until it is broken.
func (t *Transport) serve(nc net.Conn, greeted func()) {
	stop := context.AfterFunc(t.ctx, func() { _ = nc.Close() })
	admitted, from, p, err := t.admit(t.ctx, nc)
	if err == nil && p == probe {
		err = t.answerProbe(admitted, from)
	}
	stop()
	greeted()
	if err != nil && t.ctx.Err() == nil {
		t.o.Logger.Log(t.ctx, levelOfAccept(err), "refused a connection between brokers", "remote", nc.RemoteAddr(), "err", err)
	}
	if err != nil || p == probe {
		_ = nc.Close()
		return
	}
	if err := newConn(t, admitted, from, p, nil).run(); t.ctx.Err() == nil {
		t.o.Logger.Debug("a broker's connection has ended", "broker", from, "err", err)
	}
}
