package broker

import (
	"net"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/replication/controller"
)

// advertised is the host and port that this broker is registered under.
func advertised(cfg config.Config, listening net.Addr) (host string, port int32) {
	tcp := listening.(*net.TCPAddr)
	host, port = config.SplitAdvertised(cfg.AdvertisedAddr)
	if host == "" {
		host = tcp.IP.String()
		if tcp.IP.IsUnspecified() {
			host = outwardAddr()
		}
	}
	if port == 0 {
		port = int32(tcp.Port)
	}
	return host, port
}

// outwardAddr is an address of this machine that others may reach; the loopback address if there is none.
func outwardAddr() string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
				return n.IP.String()
			}
		}
	}
	return "127.0.0.1"
}

// endpoint is where the client of c is told to dial br. For this broker, unless advertised-addr says otherwise, it is the
// address that the client has just reached it at: that one is sure to work.
func (b *Broker) endpoint(c *conn, br controller.Broker) (host string, port int32) {
	if br.ID == b.cfg.NodeID && b.cfg.AdvertisedAddr == "" && c != nil {
		if local, ok := c.nc.LocalAddr().(*net.TCPAddr); ok {
			return local.IP.String(), int32(local.Port)
		}
	}
	return br.Host, br.Port
}
