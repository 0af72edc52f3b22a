// Package broker is the server: listeners, request dispatch with one file an API key, configuration, metrics and wiring.
package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quirelog/quire/broker/cluster"
	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment/flush"
)

// Broker is a running broker. Its fields are set by Start, before anything is served, and never change.
type Broker struct {
	cfg        config.Config
	options    Options
	log        *slog.Logger
	controller *controller.Controller
	partitions *partition.Manager
	reconciler *reconciler
	groups     *groups
	clusterID  string

	self         replication.ServerID
	registration controller.Broker // as it is to be in the metadata
	peers        *peers
	transport    *transport.Transport
	cluster      atomic.Pointer[string] // clusterID, once others may be told
	node         *replication.Node
	opened       atomic.Bool // partitions are there
	keepLeading  atomic.Bool // see KeepLeading
	members      *cluster.Cluster
	keeper       *placement.Keeper
	touched      broadcast // a group, a leader or a broker has changed

	handlerState

	dispatch *dispatch
	metrics  *metrics
	kafka    *listener
	admin    *admin
	stopping chan struct{} // closed when Close begins: long polls end
	ballast  []byte        // see gcBallastBytes

	memory int64 // as limitMemory last set it; 0: it does not. Start's, then the retention goroutine's
	ready  atomic.Bool
	failed atomic.Pointer[error] // why promises can no longer be kept

	closers  []closer // what was opened, in that order
	closing  sync.Once
	closeErr error
}

// closer undoes one step of Start.
type closer struct {
	what  string
	close func(ctx context.Context) error
}

// Options of Start beside the configuration.
type Options struct {
	Logger  *slog.Logger // nil: discards
	Version string       // as `quire version` prints it
	// OnFatal is told when the broker can no longer keep its promises (a failed fsync): the process must end at once.
	OnFatal func(error)
	// LimitMemory tells the garbage collector of this process what the broker's limits allow (see memoryLimit), unless
	// somebody has told it something else (GOMEMLIMIT). It is for a process that is a broker and nothing else.
	LimitMemory bool
	// RPCListener is where other brokers reach this one, in place of one on rpc-addr; closed with the broker. nil: none.
	RPCListener net.Listener
}

const (
	// drainTime is how long Close lets requests under way finish before it cuts their connections.
	drainTime = 3 * time.Second
	// abortTime bounds the undoing of a Start that failed.
	abortTime = 10 * time.Second
)

// Start opens the data directory, listens and serves. It returns when requests are answered (ready): the partitions are open and lead.
// A directory in use is a *LockedError, a taken port a *PortError. ctx bounds starting only.
func Start(ctx context.Context, cfg config.Config, o Options) (*Broker, error) {
	b := newBroker(cfg, o)
	if err := b.start(ctx); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
		defer cancel()
		return nil, errors.Join(err, b.Close(undo))
	}
	return b, nil
}

func newBroker(cfg config.Config, o Options) *Broker {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{cfg: cfg, options: o, log: o.Logger, ballast: ballast(), metrics: newMetrics(), stopping: make(chan struct{})}
	b.handlerState = newHandlerState(cfg)
	b.groups = newGroups(b)
	b.dispatch = newDispatch(apis(), b.metrics)
	return b
}

func (b *Broker) onClose(what string, f func(context.Context) error) {
	b.closers = append(b.closers, closer{what, f})
}

// start binds the ports early, so that a taken one fails before anything is opened; clients that come meanwhile wait in the
// listener's backlog.
func (b *Broker) start(ctx context.Context) error {
	lock, err := lockDir(b.cfg.DataDir)
	if err != nil {
		return err
	}
	b.onClose("data directory lock", func(context.Context) error { return lock.Close() })
	meta, err := openMeta(b.cfg.DataDir, b.cfg.NodeID)
	if err != nil {
		return err
	}
	b.self = meta.server()
	b.newMembership()
	ln, err := b.listenKafka()
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		b.startAdmin,
		func() error { return b.startTransport(&meta, ln.Addr()) },
		func() error { return b.enter(ctx, &meta) },
		func() error { return b.openController(ctx) },
		b.openStorage,
		func() error { return b.startMembership(ctx) },
		func() error { return b.startReconciler(ctx) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	b.watchDisk()
	b.limitMemory()
	b.startRetention()
	b.startGroups()
	b.kafka = serveListener(b, ln, b.connLimits)
	b.onClose("connections", b.closeConnections)
	b.onClose("leaderships", b.drain)
	b.ready.Store(true)
	return nil
}

func (b *Broker) listenKafka() (net.Listener, error) {
	ln, err := listen("kafka-addr", b.cfg.KafkaAddr)
	if err != nil {
		return nil, err
	}
	b.onClose("listener", func(context.Context) error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // draining connections has closed it already
			return err
		}
		return nil
	})
	return ln, nil
}

// openStorage opens what lies under the partitions, and their manager.
func (b *Broker) openStorage() error {
	flusher := flush.New(flush.Options{
		Dir: b.cfg.DataDir, Mode: b.cfg.Durability, Interval: b.cfg.FlushInterval,
		OnFailure: b.fatal, Observe: b.metrics.observeFlush,
	})
	b.onClose("flusher", flusher.Close)
	var err error
	b.node, err = replication.OpenNode(replication.NodeOptions{
		Dir: b.cfg.DataDir, Self: b.self, Logger: b.log, Transport: b.transport.Raft, Alive: b.aliveServer,
	})
	if err != nil {
		return fmt.Errorf("open replication: %w", err)
	}
	b.onClose("replication", func(context.Context) error { return b.node.Close() })

	b.partitions, err = partition.NewManager(partition.Options{
		Dir: b.cfg.DataDir, Node: b.node, Flusher: flusher, OpenFiles: partitionFiles(openFileLimit()), Logger: b.log,
		Source: b.remote, Changed: b.touch,
	})
	if err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	b.onClose("partitions", b.partitions.Close)
	b.opened.Store(true)
	return nil
}

// openController opens this broker's member of the controller group.
func (b *Broker) openController(ctx context.Context) error {
	c, err := controller.Open(ctx, controller.Options{
		Dir: filepath.Join(b.cfg.DataDir, controllerDir), Self: b.registration, ClusterID: b.clusterID, Logger: b.log,
		Transport: b.transport.Group(transport.ControllerGroup), Alive: b.aliveServer,
		Forward: func(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
			return b.transport.Call(ctx, to, transport.MethodCommand, body)
		},
	})
	if err != nil {
		return fmt.Errorf("open controller: %w", err)
	}
	b.controller = c
	b.onClose("controller", c.Close)
	b.keeper = placement.New(placement.Options{
		Self: b.self, Groups: kept{b}, Controller: c, Peers: calls{b}, Internal: isInternal, Logger: b.log,
	})
	return nil
}

// startReconciler returns when the partitions of the image are open here, and those that nobody else has lead. One that cannot be opened is
// tried again and does not keep the others from being served.
func (b *Broker) startReconciler(ctx context.Context) error {
	b.reconciler = newReconciler(b.self, &b.views, b.controller, b.partitions, b.log)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.reconciler.run(running)
	}()
	b.onClose("reconciler", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
	image := b.controller.Image()
	if err := b.reconciler.await(ctx, image); err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	if err := b.awaitOwn(ctx, image); err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	return nil
}

// fatal is told that the disk has failed.
func (b *Broker) fatal(err error) {
	if !b.failed.CompareAndSwap(nil, &err) {
		return
	}
	b.log.Error("storage has failed: nothing more can be promised", "err", err)
	if b.options.OnFatal != nil {
		b.options.OnFatal(err)
	}
}

// KeepLeading has Close hand over nothing: for who stops all brokers of a cluster at once, when there is nobody to take over.
func (b *Broker) KeepLeading() { b.keepLeading.Store(true) }

// Addr is the Kafka listener's address.
func (b *Broker) Addr() string { return b.kafka.ln.Addr().String() }

// HTTPAddr is the admin listener's address; "" when there is none.
func (b *Broker) HTTPAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.ln.Addr().String()
}

// Alive lists the brokers of the cluster that answer this one, itself included, by node id.
func (b *Broker) Alive() []int32 {
	var ids []int32
	for _, br := range b.aliveBrokers(b.controller.Image()) {
		ids = append(ids, br.ID)
	}
	return ids
}

// RPCAddr is where other brokers reach this one.
func (b *Broker) RPCAddr() string { return b.registration.RPCAddr }

func (b *Broker) closeConnections(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	b.kafka.close(ctx)
	return nil
}

// Close stops listening, finishes what is under way until ctx ends, and closes partitions cleanly. Closing again returns what
// the first did.
func (b *Broker) Close(ctx context.Context) error {
	b.closing.Do(func() {
		b.ready.Store(false)
		close(b.stopping)
		var errs []error
		for _, c := range slices.Backward(b.closers) {
			if err := c.close(ctx); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", c.what, err))
			}
		}
		b.closeErr = errors.Join(errs...)
	})
	return b.closeErr
}
