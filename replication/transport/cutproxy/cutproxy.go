// Package cutproxy is a TCP proxy for tests: a wire between two brokers that can be cut, or made to swallow what is sent over it.
package cutproxy

import (
	"net"
	"sync"
	"sync/atomic"
)

// State is what a proxy does.
type State int32

const (
	Open  State = iota // it passes everything on
	Cut                // it breaks connections, and those that are made
	Stall              // it takes what comes and passes nothing on, as a network that loses everything does
)

// Proxy forwards from its own port of 127.0.0.1 to a target.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup
	accepted atomic.Int64

	mu    sync.Mutex
	state State
	conns map[net.Conn]struct{}
	done  bool
}

// New listens on a free port.
func New(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: l, target: target, conns: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Accepted counts the connections made to it.
func (p *Proxy) Accepted() int { return int(p.accepted.Load()) }

// Set changes what it does from now on. Cut breaks what is open, in both directions.
func (p *Proxy) Set(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = s
	if s == Cut {
		p.breakAll()
	}
}

// Close breaks everything and waits for its goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.done = true
	p.state = Cut
	p.breakAll()
	p.mu.Unlock()
	err := p.listener.Close()
	p.wg.Wait()
	return err
}

// breakAll is called with mu held.
func (p *Proxy) breakAll() {
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.wg.Go(func() { p.serve(in) })
	}
}

// hold notes a connection; false: it is to be closed.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done || p.state == Cut {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(in net.Conn) {
	defer p.drop(in)
	if !p.hold(in) {
		return
	}
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(out)
	if !p.hold(out) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.pass(in, out) })
	p.pass(out, in)
	back.Wait()
}

// pass copies until one end is closed, and then closes the other.
func (p *Proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if p.swallows() {
			n = 0
		}
		if _, werr := to.Write(b[:n]); werr != nil || err != nil {
			return
		}
	}
}

func (p *Proxy) swallows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == Stall
}
