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

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
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
	self       replication.ServerID

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
	if meta.ClusterID == "" {
		meta.ClusterID = newUUID()
		if err := meta.write(b.cfg.DataDir); err != nil {
			return err
		}
	}
	b.clusterID, b.self = meta.ClusterID, meta.server()
	ln, err := listen("kafka-addr", b.cfg.KafkaAddr)
	if err != nil {
		return err
	}
	b.onClose("listener", func(context.Context) error {
		if err := ln.Close(); !errors.Is(err, net.ErrClosed) { // draining connections has closed it already
			return err
		}
		return nil
	})
	if err := b.startAdmin(); err != nil {
		return err
	}
	if err := b.openStorage(ctx, ln.Addr()); err != nil {
		return err
	}
	if err := b.startReconciler(ctx); err != nil {
		return err
	}
	b.watchDisk()
	b.limitMemory()
	b.startRetention()
	b.startGroups()
	b.kafka = serveListener(b, ln, b.connLimits)
	b.onClose("connections", b.closeConnections)
	b.ready.Store(true)
	return nil
}

// openStorage opens what lies under the partitions, and their manager.
func (b *Broker) openStorage(ctx context.Context, listening net.Addr) error {
	flusher := flush.New(flush.Options{
		Dir: b.cfg.DataDir, Mode: b.cfg.Durability, Interval: b.cfg.FlushInterval,
		OnFailure: b.fatal, Observe: b.metrics.observeFlush,
	})
	b.onClose("flusher", flusher.Close)

	host, port := advertised(b.cfg, listening)
	_, incarnation := splitServer(b.self)
	c, err := controller.Open(ctx, controller.Options{
		Dir:       filepath.Join(b.cfg.DataDir, controllerDir),
		Self:      controller.Broker{ID: b.cfg.NodeID, Host: host, Port: port, Rack: b.cfg.Rack, RPCAddr: b.cfg.RPCAddr, Incarnation: incarnation},
		ClusterID: b.clusterID, Logger: b.log,
	})
	if err != nil {
		return fmt.Errorf("open controller: %w", err)
	}
	b.controller = c
	b.onClose("controller", c.Close)
	image := c.Image()
	if image.ClusterID != b.clusterID {
		return fmt.Errorf("data directory %s belongs to cluster %s, but its controller to %s",
			b.cfg.DataDir, b.clusterID, image.ClusterID)
	}

	node, err := replication.OpenNode(replication.NodeOptions{
		Dir: b.cfg.DataDir, Self: b.self, Logger: b.log})
	if err != nil {
		return fmt.Errorf("open replication: %w", err)
	}
	b.onClose("replication", func(context.Context) error { return node.Close() })

	b.partitions, err = partition.NewManager(partition.Options{
		Dir: b.cfg.DataDir, Node: node, Flusher: flusher, OpenFiles: partitionFiles(openFileLimit()), Logger: b.log})
	if err != nil {
		return fmt.Errorf("open partitions: %w", err)
	}
	b.onClose("partitions", b.partitions.Close)
	return nil
}

// startReconciler returns when the partitions of the image are open and lead. One that cannot be opened is tried again and
// does not keep the others from being served.
func (b *Broker) startReconciler(ctx context.Context) error {
	b.reconciler = newReconciler(&b.views, b.controller, b.partitions, b.log)
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
	for _, t := range b.controller.Image().Topics {
		err := b.reconciler.awaitLeaders(ctx, t)
		if ctx.Err() != nil {
			return fmt.Errorf("open partitions: %w", err)
		}
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

// Addr is the Kafka listener's address.
func (b *Broker) Addr() string { return b.kafka.ln.Addr().String() }

// HTTPAddr is the admin listener's address; "" when there is none.
func (b *Broker) HTTPAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.ln.Addr().String()
}

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
