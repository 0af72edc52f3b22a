package broker

import (
	"net"
	"net/netip"
	"time"
)

// The keys of the limits on connections, as logs and metrics name them.
const (
	keyConnections        = "max.connections"
	keyConnectionsPerIP   = "max.connections.per.ip"
	keyConnectionsOfOneIP = "max.connections.per.ip.overrides"
)

// connLimits are the limits on connections as they are at the moment.
type connLimits struct {
	all       int // max.connections
	perAddr   int // max.connections.per.ip
	overrides map[netip.Addr]int
	rate      int // max.connection.creation.rate, a second
}

// ofAddr is the limit of one address, with the key that sets it.
func (l connLimits) ofAddr(a netip.Addr) (limit int, key string) {
	if limit, set := l.overrides[a]; set {
		return limit, keyConnectionsOfOneIP
	}
	return l.perAddr, keyConnectionsPerIP
}

func (b *Broker) connLimits() connLimits {
	live := &b.view().live
	return connLimits{all: live.MaxConnections, perAddr: live.MaxConnectionsPerIP, overrides: live.ConnectionsOfIP, rate: live.ConnectionRate}
}

// admission counts open connections and says which may come in. Its owner locks it.
//
// What always holds: all is the sum of byAddr, in which no address has 0.
type admission struct {
	all    int
	byAddr map[netip.Addr]int
}

// refusal is why a connection may not come in.
type refusal struct {
	key   string
	limit int
}

// admit counts a connection in, if the limits allow one more.
func (a *admission) admit(addr netip.Addr, limits connLimits) (refusal, bool) {
	if a.all >= limits.all {
		return refusal{keyConnections, limits.all}, false
	}
	if limit, key := limits.ofAddr(addr); a.byAddr[addr] >= limit {
		return refusal{key, limit}, false
	}
	a.all++
	a.byAddr[addr]++
	return refusal{}, true
}

// leave counts a connection out.
func (a *admission) leave(addr netip.Addr) {
	a.all--
	if a.byAddr[addr]--; a.byAddr[addr] == 0 {
		delete(a.byAddr, addr)
	}
}

// addrOf is the address that a connection counts for: an IPv4 address is the same in its IPv6 form, and a link-local one on
// every interface.
func addrOf(nc net.Conn) netip.Addr {
	tcp, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// refusalLogInterval is the least time between two lines about refused connections: a flood of them must not become a flood
// of lines.
const refusalLogInterval = 10 * time.Second

// refusalLog says which refusals are logged.
type refusalLog struct {
	last   time.Time
	silent int // refused since the last line
}

// note counts one refusal; where it is to be logged, refused is how many there were since the last line, this one included.
func (l *refusalLog) note(now time.Time) (refused int, log bool) {
	l.silent++
	if !l.last.IsZero() && now.Sub(l.last) < refusalLogInterval {
		return 0, false
	}
	refused = l.silent
	l.last, l.silent = now, 0
	return refused, true
}

// pacer spaces events at a rate. What a quiet second left over may come at once.
type pacer struct{ next time.Time }

// delay is how long the event that comes now has to wait.
func (p *pacer) delay(now time.Time, perSecond int) time.Duration {
	if quiet := now.Add(-time.Second); p.next.Before(quiet) {
		p.next = quiet
	}
	p.next = p.next.Add(time.Second / time.Duration(perSecond))
	return max(0, p.next.Sub(now))
}
