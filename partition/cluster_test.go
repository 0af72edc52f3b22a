package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// trio is three brokers' partitions, with a real transport between them and nobody who calls elections but the test.
type trio struct {
	t       *testing.T
	brokers []*trioBroker
	changed sync.Map // ID → true: told by Options.Changed

	mu    sync.Mutex
	addrs map[replication.ServerID]string
}

type trioBroker struct {
	*rig
	trio  *trio
	id    replication.ServerID
	dir   string
	votes string
	fs    vfs.FS
	wire  *transport.Transport
	reads int // of MethodRead; guarded by trio.mu
}

func newTrio(t *testing.T) *trio {
	c := &trio{t: t, addrs: map[replication.ServerID]string{}}
	for _, id := range []replication.ServerID{"1-a", "2-a", "3-a"} {
		c.brokers = append(c.brokers, &trioBroker{trio: c, id: id, dir: t.TempDir(), votes: t.TempDir(), fs: vfs.OS})
	}
	for _, b := range c.brokers {
		b.start()
		t.Cleanup(b.stop)
	}
	return c
}

func (c *trio) ids() (ids []replication.ServerID) {
	for _, b := range c.brokers {
		ids = append(ids, b.id)
	}
	return ids
}

func (c *trio) resolve(id replication.ServerID) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.addrs[id]; a != "" {
		return a, nil
	}
	return "", errors.New("it is down")
}

func (c *trio) listening(id replication.ServerID, addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs[id] = addr
}

// start starts the broker and opens nothing.
func (b *trioBroker) start() {
	t := b.trio.t
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	b.wire, err = transport.New(transport.Options{
		Self: b.id, Cluster: "test", Secret: []byte("secret"), Listener: l, Resolve: b.trio.resolve,
		PingEvery: 20 * time.Millisecond, Coalesce: 5 * time.Millisecond,
		OnDeserted: func(id transport.GroupID, term uint64) {
			if n := b.rig; n != nil {
				if g := n.node.Group(id); g != nil {
					g.Deserted(segment.Term(term))
				}
			}
		},
	})
	must(err)
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), nil)).With("broker", b.id)
	}
	node, err := replication.OpenNode(replication.NodeOptions{Dir: b.votes, Self: b.id, Transport: b.wire.Raft, Logger: log, TailCacheBytes: 1})
	must(err)
	b.wire.Handle(transport.MethodManifest, node.HandleManifest)
	b.wire.Handle(transport.MethodRead, func(ctx context.Context, from replication.ServerID, body []byte) ([]byte, error) {
		b.trio.mu.Lock()
		b.reads++
		b.trio.mu.Unlock()
		return node.HandleRead(ctx, from, body)
	})
	r := &rig{node: node, flusher: flush.New(flush.Options{FS: b.fs, Dir: b.dir, Mode: flush.OS})}
	r.Manager, err = NewManager(Options{
		FS: b.fs, Dir: b.dir, Node: node, Flusher: r.flusher, MinFree: 1, Logger: log, Changed: func(id ID) { b.trio.changed.Store(id, true) },
		Source: func(leader replication.ServerID, id ID) replication.Source {
			return replication.NewRemoteSource(id, func(ctx context.Context, m transport.Method, body []byte) ([]byte, error) {
				return b.wire.Call(ctx, leader, m, body)
			})
		},
	})
	must(err)
	b.rig = r
	b.trio.listening(b.id, l.Addr().String())
	b.wire.Watch(b.trio.ids())
}

func (b *trioBroker) stop() {
	if b.rig == nil {
		return
	}
	b.trio.listening(b.id, "")
	if err := b.rig.close(); err != nil {
		b.trio.t.Errorf("close %s: %v", b.id, err)
	}
	if err := b.wire.Close(); err != nil {
		b.trio.t.Error(err)
	}
	b.rig = nil
}

func (c *trio) spec() Spec {
	s := spec("orders", 1, 0)
	s.Voters = c.ids()
	s.Config.SegmentBytes = 4 << 10
	return s
}

func (b *trioBroker) open() *Partition {
	b.trio.t.Helper()
	return mustOpen(b.trio.t, b.Manager, b.trio.spec())
}

func (b *trioBroker) replica() *Partition { return b.Get("orders", 0) }

// elect has b lead. A candidate that is refused waits for long: it is asked again, as the elector does.
func (c *trio) elect(b *trioBroker) *Partition {
	c.t.Helper()
	for _, r := range c.brokers { // as with the elector, nobody is asked who cannot be reached
		if r.rig != nil && r.wire != nil {
			eventually(c.t, "peers", func() bool { return c.reached(r) })
		}
	}
	var asked time.Time
	eventually(c.t, "lead of "+string(b.id), func() bool {
		if time.Since(asked) > 2*time.Second {
			asked = time.Now()
			b.replica().Group().CallElection(0)
		}
		_, err := b.replica().Marks(-1)
		return err == nil
	})
	return b.replica()
}

func (c *trio) reached(b *trioBroker) bool {
	for _, o := range c.brokers {
		if o != b && o.rig != nil && !b.wire.Alive(o.id) {
			return false
		}
	}
	return true
}

// produce appends n batches of about 1 KiB and waits for them.
func (c *trio) produce(p *Partition, n int) {
	c.t.Helper()
	for i := range n {
		mustAppend(c.t, p, build(c.t, -1, 0, 8, fmt.Sprintf("%0100d", i)))
	}
}

// agree waits until all replicas that are up know the same to be committed, and compares what they give out.
func (c *trio) agree(leader *Partition) {
	c.t.Helper()
	m, err := leader.Marks(-1)
	if err != nil {
		c.t.Fatal(err)
	}
	var first []byte
	for _, b := range c.brokers {
		if b.rig == nil {
			continue
		}
		eventually(c.t, string(b.id)+" is level", func() bool {
			f, err := b.replica().MarksAsFollower(-1)
			return err == nil && f.HighWatermark == m.HighWatermark && f.LogStart == m.LogStart
		})
		got, err := followed(b.replica(), m.LogStart)
		if err != nil {
			c.t.Fatalf("%s: %v", b.id, err)
		}
		if first == nil {
			first = got
		}
		if !slices.Equal(first, got) {
			c.t.Fatalf("%s gives out other bytes", b.id)
		}
	}
}

// followed is all that a replica gives out from an offset on.
func followed(p *Partition, from Offset) (all []byte, err error) {
	for {
		chunk, m, err := p.ReadAsFollower(from, 1<<20, -1)
		if err != nil || from >= m.HighWatermark {
			return all, err
		}
		b := make([]byte, chunk.Len)
		_, err = chunk.ReadAt(b, 0)
		chunk.Close()
		if err != nil {
			return all, err
		}
		all = append(all, b...)
		for len(b) > 0 {
			var one []byte
			if one, b, err = batch.Split(b); err != nil {
				return all, err
			}
			h, err := batch.Validate(one)
			if err != nil {
				return all, err
			}
			from = h.Next()
		}
	}
}
