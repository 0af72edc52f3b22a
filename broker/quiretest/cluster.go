package quiretest

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/client"
	"github.com/quirelog/quire/segment/flush"
)

// Cluster is a cluster of brokers of one test, all in the test's own process.
type Cluster struct {
	Brokers []*Broker // by node id, from 1 on
	t       testing.TB
	outside *Broker // that does not run: whose the client is
}

// StartCluster starts n brokers that form a cluster, on free ports and directories that go with the test, and returns when all of them answer
// requests and see each other. Topics get three replicas, or one a broker where there are fewer, unless they say otherwise. As with Start the brokers stop at the end
// of the test, and what they leave behind fails it.
//
//	c := quiretest.StartCluster(t, 3)
//	err := c.Client().Publish(t.Context(), &client.Record{Topic: "orders", Value: []byte("a coffee")})
//	c.Stop(1)
func StartCluster(t testing.TB, n int, change ...func(*config.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, outside: newBroker(t, config.Config{})}
	listeners := make([]net.Listener, n)
	var seeds []string
	for i := range listeners {
		var err error
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatalf("quiretest: listen for other brokers: %v", err)
		}
		seeds = append(seeds, listeners[i].Addr().String())
	}
	for i := range listeners {
		c.add(seeds[i], seeds, change)
	}
	t.Cleanup(c.stop)
	c.start(listeners)
	c.outside.makeClient(c.Addrs()...)
	return c
}

// add makes the next broker, which does not run yet.
func (c *Cluster) add(rpcAddr string, seeds []string, change []func(*config.Config)) *Broker {
	cfg := config.Default()
	cfg.NodeID, cfg.DataDir, cfg.KafkaAddr, cfg.HTTPAddr = int32(len(c.Brokers)+1), c.t.TempDir(), "127.0.0.1:0", ""
	cfg.RPCAddr, cfg.Seeds, cfg.Durability = rpcAddr, slices.Clone(seeds), flush.OS
	for _, f := range change {
		f(&cfg)
	}
	b := newBroker(c.t, cfg)
	c.Brokers = append(c.Brokers, b)
	return b
}

// Join starts one more broker, which joins the cluster through the first one, and returns when it answers requests. Its node id is the next.
func (c *Cluster) Join(change ...func(*config.Config)) *Broker {
	c.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatalf("quiretest: listen for other brokers: %v", err)
	}
	b := c.add(ln.Addr().String(), []string{c.Brokers[0].cfg.RPCAddr}, change)
	if err := b.run(ln); err != nil {
		c.t.Fatalf("quiretest: start broker %d: %v", b.cfg.NodeID, err)
	}
	c.meet()
	return b
}

// start starts all brokers side by side: none is ready before a majority is there.
func (c *Cluster) start(listeners []net.Listener) {
	c.t.Helper()
	errs := make([]error, len(c.Brokers))
	var all sync.WaitGroup
	for i, b := range c.Brokers {
		all.Go(func() { errs[i] = b.run(listeners[i]) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			c.t.Errorf("quiretest: start broker %d: %v", i+1, err)
		}
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
	c.meet()
}

// meet waits until all brokers that run see each other: what is placed before that is placed on fewer.
func (c *Cluster) meet() {
	c.t.Helper()
	var running []*Broker
	for _, b := range c.Brokers {
		if b.broker != nil {
			running = append(running, b)
		}
	}
	deadline := time.Now().Add(startTimeout)
	for _, b := range running {
		for len(b.broker.Alive()) < len(running) {
			if time.Now().After(deadline) {
				c.t.Fatalf("quiretest: broker %d sees brokers %v only, of %d that run", b.cfg.NodeID, b.broker.Alive(), len(running))
			}
			<-time.After(time.Millisecond)
		}
	}
}

func (c *Cluster) stop() {
	c.outside.stop()
	c.StopAll()
}

// StopAll stops all brokers at once.
func (c *Cluster) StopAll() {
	for _, b := range c.Brokers {
		if b.broker != nil {
			b.broker.KeepLeading()
		}
	}
	var all sync.WaitGroup
	for _, b := range c.Brokers {
		all.Go(b.stop)
	}
	all.Wait()
}

// StartAll starts all brokers again after StopAll, and returns when they answer requests.
func (c *Cluster) StartAll() {
	c.t.Helper()
	c.start(make([]net.Listener, len(c.Brokers)))
}

// Addrs are host:port of the Kafka listeners of those that run.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, b := range c.Brokers {
		if b.broker != nil {
			addrs = append(addrs, b.Addr())
		}
	}
	return addrs
}

// Client is a client of the cluster, the same at each call.
func (c *Cluster) Client() *client.Client { return c.outside.client }

// Stop stops a broker cleanly: it hands over what it leads. Its directory stays.
func (c *Cluster) Stop(node int) {
	c.t.Helper()
	c.Brokers[node-1].stop()
}

// Start starts a broker again that was stopped, on the ports that it had, and returns when it answers requests.
func (c *Cluster) Start(node int) {
	c.t.Helper()
	b := c.Brokers[node-1]
	if b.broker != nil {
		c.t.Fatalf("quiretest: broker %d runs", node)
	}
	b.id = fmt.Sprintf("%s#%d", c.t.Name(), started.Add(1))
	if err := b.run(nil); err != nil {
		c.t.Fatalf("quiretest: start broker %d again: %v", node, err)
	}
	c.meet()
}
