package chaos

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// Way is what becomes of the bytes that one broker sends to another.
type Way int

const (
	Open   Way = iota
	Stall      // they wait until the way is open again, as on a network that loses everything: nobody is told
	Slow       // they come later, by Mesh's delay
	Broken     // connections are broken, and those that are made
)

// Mesh stands between brokers, which reach each other at its addresses. Broker i of n (from 0) listens, and dials, at its own address of the loopback, Host(i), by
// which the proxies tell who it is; so each way between two brokers has a state of its own.
type Mesh struct {
	delay   time.Duration
	proxies []*proxy
	wg      sync.WaitGroup

	mu      sync.Mutex
	ways    [][]Way
	changed chan struct{} // closed and replaced when ways change
	conns   map[*crossing]struct{}
	closed  bool
}

// proxy stands before one broker.
type proxy struct {
	listener net.Listener
	target   string
}

// crossing is a connection between two brokers.
type crossing struct {
	from, to int // the dialer, and whom it dials
	in, out  net.Conn
}

// Host is the address of the loopback that broker i listens on and dials from.
func Host(i int) string { return fmt.Sprintf("127.0.0.%d", 11+i) }

// NewMesh makes the wires to brokers that listen at targets (of Host). Slow ways take delay longer.
func NewMesh(targets []string, delay time.Duration) (*Mesh, error) {
	m := &Mesh{delay: delay, changed: make(chan struct{}), conns: map[*crossing]struct{}{}}
	for range targets {
		m.ways = append(m.ways, make([]Way, len(targets)))
	}
	for to, target := range targets {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("a wire to broker %d: %w", to, err)
		}
		m.proxies = append(m.proxies, &proxy{listener: l, target: target})
	}
	for to, p := range m.proxies {
		m.wg.Go(func() { m.accept(p, to) })
	}
	return m, nil
}

// Addr is where broker i is to be reached by the others.
func (m *Mesh) Addr(i int) string { return m.proxies[i].listener.Addr().String() }

// Set changes the way from one broker to another.
func (m *Mesh) Set(from, to int, w Way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ways[from][to] = w
	m.announce()
}

// Isolate changes all ways from and to a broker.
func (m *Mesh) Isolate(i int, w Way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for j := range m.ways {
		m.ways[i][j], m.ways[j][i] = w, w
	}
	m.announce()
}

// Mend opens all ways.
func (m *Mesh) Mend() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, to := range m.ways {
		clear(to)
	}
	m.announce()
}

// announce is called with mu held.
func (m *Mesh) announce() {
	for c := range m.conns {
		if m.ways[c.from][c.to] == Broken || m.ways[c.to][c.from] == Broken {
			c.cut()
		}
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Close breaks everything and waits for its goroutines.
func (m *Mesh) Close() {
	m.mu.Lock()
	m.closed = true
	for c := range m.conns {
		c.cut()
	}
	m.announce()
	m.mu.Unlock()
	for _, p := range m.proxies {
		_ = p.listener.Close()
	}
	m.wg.Wait()
}

func (c *crossing) cut() {
	_ = c.in.Close()
	_ = c.out.Close()
}

func (m *Mesh) accept(p *proxy, to int) {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		m.wg.Go(func() { m.cross(p, in, to) })
	}
}

// dialer tells who has dialed by the address that it dialed from; -1: somebody else.
func (m *Mesh) dialer(c net.Conn) int {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	for i := range m.proxies {
		if Host(i) == host {
			return i
		}
	}
	return -1
}

func (m *Mesh) cross(p *proxy, in net.Conn, to int) {
	defer in.Close()
	from := m.dialer(in)
	if from < 0 {
		return
	}
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer out.Close()
	c := &crossing{from: from, to: to, in: in, out: out}
	if !m.hold(c) {
		return
	}
	defer m.drop(c)
	var back sync.WaitGroup
	back.Go(func() { m.pass(c, in, out, to, from) })
	m.pass(c, out, in, from, to)
	back.Wait()
}

func (m *Mesh) hold(c *crossing) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.ways[c.from][c.to] == Broken || m.ways[c.to][c.from] == Broken {
		return false
	}
	m.conns[c] = struct{}{}
	return true
}

func (m *Mesh) drop(c *crossing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
}

// pass copies what one broker sends to another, until an end is closed; then it closes the other.
func (m *Mesh) pass(c *crossing, dst, src net.Conn, from, to int) {
	defer c.cut()
	b := make([]byte, 64<<10)
	for {
		n, err := src.Read(b)
		if !m.clear(from, to) {
			return
		}
		if _, werr := dst.Write(b[:n]); werr != nil || err != nil {
			return
		}
	}
}

// clear returns when bytes may go on their way; false: the connection is to be broken.
func (m *Mesh) clear(from, to int) bool {
	for {
		m.mu.Lock()
		way, closed, changed := m.ways[from][to], m.closed, m.changed
		m.mu.Unlock()
		switch {
		case closed || way == Broken:
			return false
		case way == Open:
			return true
		case way == Slow:
			select {
			case <-time.After(m.delay):
				return true
			case <-changed:
			}
		default:
			<-changed
		}
	}
}
