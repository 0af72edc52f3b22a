package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

const (
	// reconcileAtOnce is how many partitions are opened or deleted side by side. They mostly wait for flush cycles, which
	// they share.
	reconcileAtOnce = 32
	// reconcileRetry is the usual reconciler.retry.
	reconcileRetry = 5 * time.Second
)

// reconciler opens, reconfigures and deletes this broker's partitions to match the controller's image. Its goroutine, run, is
// the only one that does; others wait for what it has done.
type reconciler struct {
	self       int32
	server     replication.ServerID // self in Raft groups
	views      *views
	controller *controller.Controller
	partitions *partition.Manager
	log        *slog.Logger
	retry      time.Duration // how long a partition that could not be opened or deleted is left alone

	// The goroutine's own.
	configured map[controller.TopicID]partition.Config // that the open partitions have

	mu      sync.Mutex // guards what follows
	applied *controller.Image
	failed  map[partition.ID]error // not open, though it should be
	changed chan struct{}          // closed and replaced when applied moves
}

func newReconciler(server replication.ServerID, vs *views, c *controller.Controller, m *partition.Manager, log *slog.Logger) *reconciler {
	return &reconciler{self: vs.cfg.NodeID, server: server, views: vs, controller: c, partitions: m, log: log, retry: reconcileRetry,
		configured: map[controller.TopicID]partition.Config{}, failed: map[partition.ID]error{}, changed: make(chan struct{})}
}

// run applies images until ctx ends.
//
// Directories that no topic owns are looked for at the start, and again after a failure: a deletion that went wrong half way
// has closed its partition and left files behind.
func (r *reconciler) run(ctx context.Context) {
	orphans := true
	for {
		image := r.controller.Image()
		failures := r.apply(ctx, image)
		if orphans || failures != nil {
			failures = errors.Join(failures, r.partitions.DeleteOrphans(ctx, func(id partition.ID) bool { return r.wants(image, id) }))
		}
		orphans = failures != nil
		r.publish(image)
		var retry <-chan time.Time
		if failures != nil && ctx.Err() == nil {
			r.log.Error("partitions do not match the metadata yet", "err", failures, "retry_in", r.retry)
			retry = time.After(r.retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.controller.Changed(image):
		case <-retry:
		}
	}
}

func (r *reconciler) publish(image *controller.Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.applied = image
	maps.DeleteFunc(r.failed, func(id partition.ID, _ error) bool { return !r.wants(image, id) })
	close(r.changed)
	r.changed = make(chan struct{})
}

// apply deletes what is gone first: a topic made again under its name needs the place.
func (r *reconciler) apply(ctx context.Context, image *controller.Image) error {
	var gone []partition.ID
	for _, p := range r.partitions.All() {
		if !r.wants(image, p.ID()) {
			gone = append(gone, p.ID())
		}
	}
	deleted := sideBySide(gone, func(id partition.ID) error { return r.partitions.Delete(ctx, id) })
	var missing []partition.Spec
	for id, t := range r.views.of(image).topics {
		missing = append(missing, r.missing(t)...)
		if c := partitionConfig(&t.config); r.configured[id] != c {
			r.reconfigure(t.Topic, c)
			r.configured[id] = c
		}
	}
	for id := range r.configured {
		if image.TopicsByID[id] == nil {
			delete(r.configured, id)
		}
	}
	opened := sideBySide(missing, func(s partition.Spec) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_, err := r.partitions.Open(s)
		r.note(s.ID, err)
		return err
	})
	return errors.Join(deleted, opened)
}

// note remembers whether a partition could be opened.
func (r *reconciler) note(id partition.ID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.failed, id)
		return
	}
	r.failed[id] = err
}

// failure is why a partition that should be open is not; nil where nothing failed.
func (r *reconciler) failure(id partition.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed[id]
}

// failures counts the partitions that could not be opened.
func (r *reconciler) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failed)
}

// wants says whether this broker has a replica of the partition.
func (r *reconciler) wants(image *controller.Image, id partition.ID) bool {
	t := image.TopicsByID[id.Topic]
	return t != nil && int(id.Partition) < len(t.Partitions) && slices.Contains(t.Partitions[id.Partition].Replicas, r.self)
}

// missing lists the partitions of t that belong here and are not open.
func (r *reconciler) missing(t topicView) []partition.Spec {
	var specs []partition.Spec
	for n, part := range t.Partitions {
		id := partition.ID{Topic: t.ID, Partition: int32(n)}
		if !slices.Contains(part.Replicas, r.self) || r.partitions.ByID(id) != nil {
			continue
		}
		specs = append(specs, partition.Spec{ID: id, Topic: t.Name, Voters: r.founders(part), Only: len(part.Replicas) == 1,
			Config: partitionConfig(&t.config)})
	}
	return specs
}

func (r *reconciler) reconfigure(t *controller.Topic, c partition.Config) {
	for n := range t.Partitions {
		if p := r.partitions.ByID(partition.ID{Topic: t.ID, Partition: int32(n)}); p != nil {
			p.Reconfigure(c)
		}
	}
}

// partitionConfig is what of a topic's configuration its partitions need.
func partitionConfig(c *topicconfig.Config) partition.Config {
	return partition.Config{
		SegmentBytes: c.SegmentBytes, SegmentAge: c.SegmentAge, LogAppendTime: c.LogAppendTime, Retention: c.Expires(),
		MinInsync: int(c.MinInsyncReplicas),
	}
}

// serverID names a broker in the partitions' Raft groups.
func serverID(b controller.Broker) replication.ServerID {
	return replication.ServerID(fmt.Sprintf("%d-%s", b.ID, b.Incarnation))
}

// founders are the voters that a new partition begins with; nil where this server is none of them, and joins what they have begun.
func (r *reconciler) founders(p controller.Partition) []replication.ServerID {
	if !slices.Contains(p.Founders, string(r.server)) {
		return nil
	}
	ids := make([]replication.ServerID, len(p.Founders))
	for i, id := range p.Founders {
		ids[i] = replication.ServerID(id)
	}
	return ids
}

// current is the newest image that has been applied, nil if none has, and what is closed when a newer one has.
func (r *reconciler) current() (*controller.Image, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied, r.changed
}

// await returns when the image, or a newer one, has been applied.
func (r *reconciler) await(ctx context.Context, image *controller.Image) error {
	for {
		applied, changed := r.current()
		if applied != nil && applied.Version >= image.Version {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sideBySide runs do for every item, reconcileAtOnce at a time, and joins the errors.
func sideBySide[T any](items []T, do func(T) error) error {
	var g errgroup.Group
	g.SetLimit(reconcileAtOnce)
	errs := make([]error, len(items))
	for i, item := range items {
		g.Go(func() error {
			errs[i] = do(item)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errors.Join(errs...)
}
