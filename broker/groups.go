package broker

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
)

// groups is the broker's side of consumer groups: it follows which partitions of the journal (__consumer_offsets) this broker leads, and has the coordinator
// lead their groups.
//
// What always holds: the coordinator is there from the moment that the journal is, and never changes, because the journal is never deleted and its number
// of partitions never changes. It leads a partition in at most one epoch at a time.
type groups struct {
	b           *Broker
	coordinator atomic.Pointer[consumergroup.Coordinator]
	waiting     quota       // memory of joins and syncs under way
	refused     atomic.Bool // the journal could not be made: said once, until it could
	woken       *partition.Waiter

	// Those of whoever follows: start, then the goroutine.
	seen     *controller.Image // whose deleted topics the coordinator knows
	followed map[int32]followed

	mu      sync.Mutex // guards what follows
	leads   map[int32]bool
	changed chan struct{} // closed and replaced when leads moves
}

// followed is a partition of the journal: p is nil where it is not open here, and epoch is -1 where the coordinator does not lead it.
type followed struct {
	p     *partition.Partition
	epoch int32
}

// quota is an amount of bytes of which parts are taken.
type quota struct {
	max  int64
	used atomic.Int64
}

// take takes n bytes, if they are there.
func (q *quota) take(n int64) bool {
	if q.used.Add(n) <= q.max {
		return true
	}
	q.used.Add(-n)
	return false
}

func (q *quota) give(n int64) { q.used.Add(-n) }

func newGroups(b *Broker) *groups {
	g := &groups{b: b, woken: partition.NewWaiter(), followed: map[int32]followed{}, leads: map[int32]bool{}, changed: make(chan struct{})}
	g.waiting.max = maxWaitingBytes
	return g
}

// startGroups has the groups of the journal's partitions that this broker leads loaded, in the background, and follows the leadership from then on.
func (b *Broker) startGroups() {
	g := b.groups
	_, changed := b.reconciler.current()
	g.follow()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run(ctx, changed)
	}()
	b.onClose("group coordinator", func(ctx context.Context) error {
		cancel()
		<-done
		if c := g.coordinator.Load(); c != nil {
			return c.Close(ctx)
		}
		return nil
	})
}

// run follows until ctx ends. changed is closed when something may have happened since the last time.
func (g *groups) run(ctx context.Context, changed <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			g.unwatch()
			return
		case <-changed:
		case <-g.woken.C():
		}
		_, changed = g.b.reconciler.current()
		g.follow()
	}
}

func (g *groups) unwatch() {
	for _, f := range g.followed {
		if f.p != nil {
			f.p.UnwatchLeading(g.woken)
		}
	}
}

// follow brings the coordinator in line with what this broker leads now, and with the topics that there are.
func (g *groups) follow() {
	image, _ := g.b.reconciler.current()
	if image == nil || image.Topics[consumergroup.JournalTopic] == nil {
		return
	}
	journal := image.Topics[consumergroup.JournalTopic]
	c := g.coordinator.Load()
	if c == nil {
		c = consumergroup.New(g.options(len(journal.Partitions)))
		g.coordinator.Store(c)
	}
	if gone := goneTopics(g.seen, image); len(gone) > 0 {
		c.TopicsDeleted(gone)
	}
	g.seen = image
	for n := range journal.Partitions {
		g.followPartition(c, partition.ID{Topic: journal.ID, Partition: int32(n)})
	}
	g.publish()
}

func (g *groups) followPartition(c *consumergroup.Coordinator, id partition.ID) {
	had, known := g.followed[id.Partition]
	if !known {
		had.epoch = -1
	}
	now := followed{p: g.b.partitions.ByID(id), epoch: -1}
	if now.p != had.p {
		if had.p != nil {
			had.p.UnwatchLeading(g.woken)
		}
		if now.p != nil {
			now.p.WatchLeading(g.woken) // before its role is looked at
		}
	}
	if now.p != nil {
		if epoch, leads := now.p.LeadsIn(); leads {
			now.epoch = epoch
		}
	}
	g.followed[id.Partition] = now
	if now == had {
		return
	}
	if had.epoch >= 0 {
		c.Resign(id.Partition)
	}
	if now.epoch >= 0 {
		c.Lead(id.Partition, &journalLog{p: now.p, epoch: partition.CurrentEpoch(now.epoch)})
	}
}

// goneTopics are the names of topics of one image that are not in a later one, or are others there.
func goneTopics(before, now *controller.Image) []string {
	if before == nil || before == now {
		return nil
	}
	var gone []string
	for id, t := range before.TopicsByID {
		if now.TopicsByID[id] == nil {
			gone = append(gone, t.Name)
		}
	}
	return gone
}

// publish tells awaitLeading what is led now.
func (g *groups) publish() {
	leads := map[int32]bool{}
	for n, f := range g.followed {
		if f.epoch >= 0 {
			leads[n] = true
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if maps.Equal(leads, g.leads) {
		return
	}
	g.leads = leads
	close(g.changed)
	g.changed = make(chan struct{})
}

// awaitLeading returns when the coordinator leads a partition of the journal.
func (g *groups) awaitLeading(ctx context.Context, n int32) error {
	for {
		g.mu.Lock()
		leads, changed := g.leads[n], g.changed
		g.mu.Unlock()
		if leads {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// journal is the journal's topic. Where there is none it is made, and has leaders then.
func (g *groups) journal(ctx context.Context) (*view, topicView, error) {
	v := g.b.view()
	if t, ok := v.byName(consumergroup.JournalTopic); ok {
		return v, t, nil
	}
	made := g.b.createTopics(ctx, []topicSpec{{name: consumergroup.JournalTopic, partitions: -1, factor: -1}}, false)[0]
	err := made.err
	if err == nil {
		err = g.b.awaitLeaders(ctx, made.topic)
	}
	if errors.Is(err, errTopicExists) || errors.Is(err, controller.ErrTopicExists) {
		err = nil // somebody else was quicker
	}
	switch {
	case err == nil:
		g.refused.Store(false)
	case g.refused.CompareAndSwap(false, true):
		g.b.log.Warn("consumer groups have no journal yet", "topic", consumergroup.JournalTopic, "err", err)
	}
	v = g.b.view()
	t, ok := v.byName(consumergroup.JournalTopic)
	if !ok && err == nil {
		err = errUnknownTopic
	}
	return v, t, err
}
