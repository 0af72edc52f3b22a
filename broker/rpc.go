package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/quirelog/quire/broker/forming"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/replication/transport"
)

// loopbackSecret stands in for a secret between brokers that reach each other over the loopback only: whoever runs something on this
// machine may take part then, as may whoever connects to its unprotected Kafka listener. config refuses it for any other address.
const loopbackSecret = "quire brokers on one machine"

// startTransport listens for other brokers. Nothing but questions who this is (see welcome) is taken before the broker is in a cluster.
func (b *Broker) startTransport(m *dirMeta, kafka net.Addr) error {
	tlsConfig, err := b.cfg.LoadTLS()
	if err != nil {
		return err
	}
	ln := b.options.RPCListener
	if ln == nil {
		if ln, err = listen("rpc-addr", b.cfg.RPCAddr); err != nil {
			return err
		}
	}
	b.registration = controller.Broker{ID: m.NodeID, Rack: b.cfg.Rack, RPCAddr: b.rpcAddr(ln.Addr()), Incarnation: m.Incarnation}
	b.registration.Host, b.registration.Port = advertised(b.cfg, kafka)
	b.peers = openPeers(b.cfg.DataDir, b.self)
	secret := []byte(b.cfg.Secret)
	if len(secret) == 0 && tlsConfig == nil {
		secret = []byte(loopbackSecret)
	}
	b.transport, err = transport.New(transport.Options{
		Self: b.self, Listener: ln, Resolve: b.peers.resolve, Dial: dialFrom(b.cfg.RPCAddr), Secret: secret, TLS: tlsConfig, Logger: b.log,
		OnProbe: b.welcome, OnPeer: b.peerChanged, OnDeserted: b.deserted,
		Healthy: func() bool { return b.failed.Load() == nil }, // others should not count on who can store nothing
	})
	if err != nil {
		ln.Close()
		return err
	}
	b.onClose("transport", func(context.Context) error { return b.transport.Close() })
	return nil
}

// rpcAddr is where other brokers are told to dial this one.
func (b *Broker) rpcAddr(listening net.Addr) string {
	if b.cfg.RPCAdvertisedAddr != "" {
		return b.cfg.RPCAdvertisedAddr
	}
	tcp := listening.(*net.TCPAddr)
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = outwardAddr()
	}
	return net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// hello is what this broker tells of itself.
func (b *Broker) hello() forming.Hello {
	h := forming.Hello{Self: b.registration, Seeds: b.cfg.Seeds, Brokers: b.peers.all()}
	if id := b.cluster.Load(); id != nil {
		h.ClusterID = *id
	}
	return h
}

// welcome answers a broker that asks who this is, and notes where that one listens.
func (b *Broker) welcome(from replication.ServerID, body []byte) []byte {
	h, err := forming.Decode(body)
	if err != nil || h.Server() != string(from) {
		b.log.Warn("a broker's question is not understood", "broker", from, "err", err)
		return nil
	}
	b.note(h)
	return b.hello().Encode()
}

// note keeps the addresses that a hello tells, unless it is of another cluster.
func (b *Broker) note(h forming.Hello) {
	if id := b.cluster.Load(); id != nil && h.ClusterID != "" && h.ClusterID != *id {
		return
	}
	b.peers.heard(h.Self, true)
	for _, other := range h.Brokers {
		b.peers.heard(other, false)
	}
	b.watchPeers()
}

// ask asks the broker at addr who it is.
func (b *Broker) ask(ctx context.Context, addr string) (forming.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	from, reply, err := b.transport.Probe(ctx, addr, b.hello().Encode())
	if err != nil {
		return forming.Hello{}, err
	}
	h, err := forming.Decode(reply)
	if err == nil && h.Server() != string(from) {
		err = fmt.Errorf("broker %s says that it is %s", from, h.Server())
	}
	if err == nil {
		b.note(h)
	}
	return h, err
}

// watchPeers has the transport watch over every broker that is known, once this one is in a cluster with them.
func (b *Broker) watchPeers() {
	if b.cluster.Load() == nil {
		return
	}
	known := b.peers.all()
	ids := make([]replication.ServerID, len(known))
	for i := range known {
		ids[i] = serverID(known[i])
	}
	b.transport.Watch(ids)
}
