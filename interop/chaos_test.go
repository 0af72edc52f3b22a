package interop

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nemesis makes faults, one at a time. Each fault says what it did to whom, lasts, and is over when heal has run.
type nemesis struct {
	c     *cluster
	load  *load
	cl    *kgo.Client
	adm   *kadm.Client
	rng   *rand.Rand
	most  time.Duration // that a broker is stopped or the wires are cut for
	short time.Duration // between one fault and the next
}

// faults are all kinds, in the order in which a run goes over them.
func (n *nemesis) faults() []fault {
	return []fault{
		{"kill -9 of a leader", 2 * time.Second, func() string { return n.killOne(n.leader()) }},
		{"kill -9 of a follower", 2 * time.Second, func() string { return n.killOne(n.follower()) }},
		{"kill -9 of the controller", 2 * time.Second, func() string { return n.killOne(n.controller()) }},
		{"kill -9 of all three", 0, n.killAll},
		{"SIGSTOP", 4 * time.Second, n.suspend},
		{"isolation, silent", 4 * time.Second, func() string { return n.isolate(chaos.Stall) }},
		{"isolation, connections broken", 4 * time.Second, func() string { return n.isolate(chaos.Broken) }},
		{"one way cut", 4 * time.Second, n.oneWay},
		{"bridge", 4 * time.Second, n.bridge},
		{"slow wires", 4 * time.Second, n.slow},
		{"rolling restart", 2 * time.Second, n.roll},
	}
}

// fault is one kind. bound is how long a partition may at most acknowledge nothing; 0: as long as the whole cluster is away.
type fault struct {
	what  string
	bound time.Duration
	make  func() string
}

// TestChaos lets QUIRE_CHAOS_FAULTS (20) faults happen to a cluster under load, goes on until QUIRE_CHAOS_RECORDS records are acknowledged, and judges what was seen.
// QUIRE_CHAOS_SEED repeats a run's faults, QUIRE_CHAOS_ONLY keeps the kinds that have this in their name, QUIRE_CHAOS_PACE_US is the time between two records of a producer, and QUIRE_STRICT holds the bounds on pauses, on a machine
// that does nothing else.
func TestChaos(t *testing.T) {
	count := setting(t, "QUIRE_CHAOS_FAULTS", 20)
	seed := int64(setting(t, "QUIRE_CHAOS_SEED", int(time.Now().UnixNano())))
	t.Logf("QUIRE_CHAOS_SEED=%d", seed)
	c := startCluster(t, 3)
	pace := time.Duration(setting(t, "QUIRE_CHAOS_PACE_US", 2000)) * time.Microsecond
	l := startLoad(t, c, "orders", 12, 4, pace)
	cl := c.client()
	n := &nemesis{c: c, load: l, cl: cl, adm: kadm.NewClient(cl), rng: rand.New(rand.NewPCG(uint64(seed), 0)), most: 30 * time.Second, short: 1000 * time.Millisecond}
	if count < 100 {
		n.most, n.short = 4*time.Second, 300*time.Millisecond
	}
	n.settle()
	kinds := n.faults()
	if only := os.Getenv("QUIRE_CHAOS_ONLY"); only != "" {
		kinds = slices.DeleteFunc(kinds, func(f fault) bool { return !strings.Contains(f.what, only) })
	}
	pauses := make([][]time.Duration, len(kinds))
	for i := range count {
		f := kinds[i%len(kinds)]
		l.longest()
		began := time.Now()
		who := f.make()
		n.settle()
		took := l.longest()
		pauses[i%len(kinds)] = append(pauses[i%len(kinds)], took)
		t.Logf("%d: %s, %s: longest pause %v, all well after %v (%s)", i+1, f.what, who, took.Round(10*time.Millisecond), time.Since(began).Round(100*time.Millisecond),
			began.Format(time.TimeOnly))
		if os.Getenv("QUIRE_STRICT") != "" && f.bound > 0 && took > f.bound {
			t.Errorf("%d: %s, %s: a partition took no writes for %v, %v are allowed", i+1, f.what, who, took, f.bound)
		}
	}
	for i, f := range kinds[:min(len(kinds), count)] {
		slices.Sort(pauses[i])
		t.Logf("%s: %d times, longest pause: median %v, most %v", f.what, len(pauses[i]), pauses[i][len(pauses[i])/2].Round(10*time.Millisecond),
			slices.Max(pauses[i]).Round(10*time.Millisecond))
	}
	c.await(20*time.Minute, func(context.Context) error { return l.reached(int64(setting(t, "QUIRE_CHAOS_RECORDS", 0))) })
	l.finish()
	c.compareReplicas("orders", l.ledger.Stored)
}

// settle waits until every broker is ready, every partition has all its replicas in sync and every partition has acknowledged something since.
func (n *nemesis) settle() {
	n.c.t.Helper()
	n.c.mesh.Mend()
	for _, b := range n.c.brokers {
		b.resume()
		if b.cmd == nil {
			b.run(n.c.t)
		}
	}
	n.c.awaitReady(time.Minute)
	n.c.await(time.Minute, func(ctx context.Context) error { return inSync(ctx, n.adm, n.load.topic, 3) })
	since := now()
	n.c.await(time.Minute, func(context.Context) error { return n.load.silent(since) })
	n.pass(n.short)
}

// pass lets time pass.
func (n *nemesis) pass(d time.Duration) {
	select {
	case <-time.After(d):
	case <-n.c.t.Context().Done():
	}
}

func (n *nemesis) broker(id int32) *clusterBroker { return n.c.brokers[id-1] }

func (n *nemesis) any() *clusterBroker { return n.c.brokers[n.rng.IntN(len(n.c.brokers))] }

// leader leads some partition, follower follows in some: with several partitions that is any of them, but for the most loaded.
func (n *nemesis) leader() *clusterBroker {
	var by []int32
	n.c.await(time.Minute, func(ctx context.Context) (err error) {
		by, err = leaders(ctx, n.adm, n.load.topic)
		return err
	})
	return n.broker(by[n.rng.IntN(len(by))])
}

func (n *nemesis) follower() *clusterBroker {
	leader := n.leader()
	for {
		if b := n.any(); b != leader {
			return b
		}
	}
}

// controller asks the controller group itself (DescribeQuorum), since clients are told any broker.
func (n *nemesis) controller() *clusterBroker {
	req := kmsg.NewPtrDescribeQuorumRequest()
	rt := kmsg.NewDescribeQuorumRequestTopic()
	rt.Topic = "__cluster_metadata"
	rt.Partitions = append(rt.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, rt)
	var id int32
	n.c.await(time.Minute, func(ctx context.Context) error {
		resp, err := req.RequestWith(ctx, n.cl)
		if err == nil && len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 {
			id = resp.Topics[0].Partitions[0].LeaderID
		}
		if err == nil && id < 1 {
			err = context.DeadlineExceeded
		}
		return err
	})
	return n.broker(id)
}

func (n *nemesis) name(b *clusterBroker) string { return "broker " + strconv.Itoa(int(b.id)) }

func (n *nemesis) killOne(b *clusterBroker) string {
	b.kill()
	n.pass(n.lasting())
	b.run(n.c.t)
	return n.name(b)
}

func (n *nemesis) killAll() string {
	for _, b := range n.c.brokers {
		b.kill()
	}
	for _, i := range n.rng.Perm(len(n.c.brokers)) {
		n.c.brokers[i].run(n.c.t)
	}
	return "all"
}

func (n *nemesis) suspend() string {
	b := n.leader()
	d := time.Second + time.Duration(n.rng.Int64N(int64(n.most-time.Second)))
	b.suspend()
	n.pass(d)
	b.resume()
	return n.name(b) + " for " + d.Round(time.Millisecond).String()
}

// lasting is how long a fault of the wires lasts, or a broker is gone: long enough for the others to see it.
func (n *nemesis) lasting() time.Duration {
	return 1500*time.Millisecond + time.Duration(n.rng.Int64N(int64(n.most/6)))
}

func (n *nemesis) isolate(w chaos.Way) string {
	b := n.leader()
	n.c.mesh.Isolate(int(b.id-1), w)
	n.pass(n.lasting())
	n.c.mesh.Mend()
	return n.name(b)
}

func (n *nemesis) oneWay() string {
	p := n.rng.Perm(len(n.c.brokers))
	n.c.mesh.Set(p[0], p[1], chaos.Stall)
	n.pass(n.lasting())
	n.c.mesh.Mend()
	return "from " + n.name(n.c.brokers[p[0]]) + " to " + n.name(n.c.brokers[p[1]])
}

// bridge leaves one broker that reaches both others, which do not reach each other.
func (n *nemesis) bridge() string {
	p := n.rng.Perm(len(n.c.brokers))
	n.c.mesh.Set(p[0], p[1], chaos.Stall)
	n.c.mesh.Set(p[1], p[0], chaos.Stall)
	n.pass(n.lasting())
	n.c.mesh.Mend()
	return "over " + n.name(n.c.brokers[p[2]])
}

func (n *nemesis) slow() string {
	b := n.any()
	n.c.mesh.Isolate(int(b.id-1), chaos.Slow)
	n.pass(n.lasting())
	n.c.mesh.Mend()
	return n.name(b)
}

func (n *nemesis) roll() string {
	for _, b := range n.c.brokers {
		if err := b.stop(); err != nil {
			n.c.t.Error(err)
		}
		b.cmd = nil
		b.run(n.c.t)
		n.c.awaitReady(time.Minute)
		n.c.await(time.Minute, func(ctx context.Context) error { return inSync(ctx, n.adm, n.load.topic, 3) })
	}
	return "one after the other"
}
