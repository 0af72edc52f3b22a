package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNotOwned says that a record's partition went to another member of the group before the commit: that member reads the record
// again, unless it was committed before.
var ErrNotOwned = errors.New("the partition belongs to another member of the group now")

// GroupOptions of Client.Group.
type GroupOptions struct {
	// Group is the consumer group's id: its members share the topics' partitions, and its committed offsets say where they go on.
	Group string
	// Topics to read. A topic that is made later is read from then on.
	Topics []string
	// InstanceID makes a static member (KIP-345): one that comes back under its id within the session timeout gets its
	// partitions again without a rebalance. Empty: a dynamic one.
	InstanceID string
	// From is where a partition begins that the group has no offset of: FromStart, FromEnd, FromTime or FromAge. Where the committed
	// offset's record is gone, reading goes on with the first one that is there.
	From Position
	// ServerAssignor joins by the new protocol (KIP-848), in which the broker assigns: "uniform" or "range". Empty: the classic
	// protocol with the cooperative sticky assignor.
	ServerAssignor string
	// SessionTimeout is how soon a member that has died without a word is replaced (classic protocol; the broker bounds it). 0: 45 s.
	SessionTimeout time.Duration
	// DrainTimeout is how long a partition that is to go to another member waits for the records of it that are being handled. It is
	// half of the time that the group gives its members to let go. 0: 30 s.
	DrainTimeout time.Duration
}

const (
	defaultSession = 45 * time.Second
	defaultDrain   = 30 * time.Second
)

// validated checks o whole and fills in what is not set.
func (o GroupOptions) validated() (GroupOptions, error) {
	var faults []error
	if o.Group == "" {
		faults = append(faults, errors.New("Group is empty"))
	}
	if len(o.Topics) == 0 {
		faults = append(faults, errors.New("Topics is empty"))
	}
	if o.From.kind == atOffset || o.From.kind == atOffsets {
		faults = append(faults, errors.New("From must be FromStart, FromEnd, FromTime or FromAge: a group's offsets are set by its commits"))
	}
	switch o.ServerAssignor {
	case "", "uniform", "range":
	default:
		faults = append(faults, fmt.Errorf("ServerAssignor %q: want uniform or range", o.ServerAssignor))
	}
	if o.SessionTimeout < 0 || o.DrainTimeout < 0 {
		faults = append(faults, errors.New("SessionTimeout and DrainTimeout must not be negative"))
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = defaultSession
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = defaultDrain
	}
	return o, errors.Join(faults...)
}

func (o GroupOptions) kgo() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(o.Group), kgo.ConsumeTopics(o.Topics...), kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(o.From.groupStart(time.Now())),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), // nothing that is there is skipped
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(fetchWait), kgo.FetchMaxBytes(maxFetch),
		kgo.SessionTimeout(o.SessionTimeout), kgo.HeartbeatInterval(min(3*time.Second, o.SessionTimeout/3)),
		kgo.RebalanceTimeout(2 * o.DrainTimeout), kgo.BlockRebalanceOnPoll(),
	}
	if o.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(o.InstanceID))
	}
	switch o.ServerAssignor {
	case "uniform":
		return append(opts, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	case "range":
		return append(opts, kgo.Balancers(kgo.RangeBalancer()), kgo.ServerSideBalancer())
	}
	return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
}

// groupStart is the position as kgo wants it.
func (p Position) groupStart(now time.Time) kgo.Offset {
	if t, ok := p.timestamp(now); ok {
		return kgo.NewOffset().AfterMilli(t.UnixMilli())
	}
	if p.kind == atEnd {
		return kgo.NewOffset().AtEnd()
	}
	return kgo.NewOffset().AtStart()
}

// Group is a member of a consumer group. Its records are read by one loop at a time, over Messages or Batches; committing is safe
// from any goroutine.
//
// What always holds:
//   - A partition's records come in order of their offsets, from the committed one on.
//   - A committed offset covers only records that were finished: committing one whose predecessors are still being handled is
//     kept until they are.
//   - Before a partition goes to another member its records in hand are waited for (DrainTimeout), and what is finished of
//     it is committed. Records that were fetched and not handed out are dropped: the other member reads them.
type Group struct {
	c          *Client
	options    GroupOptions
	kgo        *kgo.Client
	committing sync.Mutex     // held over one commit: taken before mu
	committer  sync.WaitGroup // runCommitter
	stop       context.CancelFunc
	dirty      chan struct{} // of capacity 1: there is something to commit

	mu      sync.Mutex // guards what follows
	closing bool
	loop    context.CancelCauseFunc // of the loop under way; nil: none
	owned   map[topicPartition]*ownedPartition
	ready   []*ownedPartition // with queued records, in the order in which they are served
	changed chan struct{}     // closed and replaced when a batch is finished, an offset committed or a partition gone
}

// topicPartition names a partition.
type topicPartition struct {
	topic     string
	partition int32
}

// Group makes a member of a consumer group, which joins when its first loop begins. Close it to leave.
func (c *Client) Group(o GroupOptions) (*Group, error) {
	o, err := o.validated()
	if err != nil {
		return nil, fmt.Errorf("group options: %w", err)
	}
	g := &Group{c: c, options: o, owned: make(map[topicPartition]*ownedPartition),
		dirty: make(chan struct{}, 1), changed: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, c.explain(ErrClosed, "join group %q", o.Group)
	}
	c.groups[g] = struct{}{}
	return g, nil
}

// Message is one record of a group's partition.
type Message struct {
	*Record
	batch Batch
}

// Commit marks the message as finished, and returns when the group's offset covers it or, where earlier messages of its partition are
// still being handled, at once: the commit follows when they are finished. ErrNotOwned: another member reads the message again.
func (m *Message) Commit(ctx context.Context) error { return m.batch.Commit(ctx) }

// Batch is consecutive records of one partition.
type Batch struct {
	Records []*Record
	owner   *ownedPartition
	work    *work
}

// Messages are the group's records one by one, for ever: until the loop is left, ctx ends or the group is closed. A message that is
// not committed is read again by whoever has the partition next.
//
//	for m, err := range g.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		handle(m.Record)
//		if err := m.Commit(ctx); err != nil && !errors.Is(err, client.ErrNotOwned) {
//			return err
//		}
//	}
//
// An error is the last thing that comes: an *Error.
func (g *Group) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for b, err := range g.Batches(ctx, 1) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(&Message{Record: b.Records[0], batch: *b}, nil) {
				return
			}
		}
	}
}

// Batches are the group's records as Messages has them, up to most records of one partition at a time; most 0: as many as there are.
func (g *Group) Batches(ctx context.Context, most int) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		ctx, err := g.begin(ctx)
		if err == nil {
			defer g.end()
			err = g.run(ctx, most, yield)
		}
		if err != nil {
			yield(nil, g.c.explain(err, "read as group %q", g.options.Group))
		}
	}
}

// begin joins the group, unless an earlier loop has. Close ends the context it returns.
func (g *Group) begin(ctx context.Context) (context.Context, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closing:
		return ctx, ErrClosed
	case g.loop != nil:
		return ctx, errors.New("another loop reads already: one at a time")
	}
	if g.kgo == nil {
		cl, err := g.c.connect(append(g.options.kgo(),
			kgo.OnPartitionsAssigned(g.assigned), kgo.OnPartitionsRevoked(g.revoked), kgo.OnPartitionsLost(g.lost))...)
		if err != nil {
			return ctx, err
		}
		committing, stop := context.WithCancel(context.Background())
		g.kgo, g.stop = cl, stop
		g.committer.Go(func() { g.runCommitter(committing) })
	}
	ctx, g.loop = context.WithCancelCause(ctx)
	return ctx, nil
}

func (g *Group) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.loop(nil)
	g.loop = nil
}

func (g *Group) run(ctx context.Context, most int, yield func(*Batch, error) bool) error {
	for {
		b, err := g.next(ctx, most)
		if err != nil {
			return err
		}
		if !yield(b, nil) {
			return nil
		}
	}
}

// next hands out records that were fetched, or fetches.
func (g *Group) next(ctx context.Context, most int) (*Batch, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if b := g.handOut(most); b != nil {
			return b, nil
		}
		if err := g.poll(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
	}
}

// poll fetches. Between a poll and AllowRebalance no partition comes or goes, so what is queued belongs to who owns it now.
func (g *Group) poll(ctx context.Context) error {
	fetches := g.kgo.PollFetches(ctx)
	defer g.kgo.AllowRebalance()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, e := range fetches.Errors() {
		return fmt.Errorf("topic %q partition %d: %w", e.Topic, e.Partition, e.Err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if p := g.owned[topicPartition{f.Topic, f.Partition}]; p != nil && len(f.Records) > 0 {
			if len(p.queue) == 0 {
				g.ready = append(g.ready, p)
			}
			p.queue = append(p.queue, f.Records...)
		}
	})
	return nil
}

// handOut takes records of the partition whose turn it is; nil where there are none.
func (g *Group) handOut(most int) *Batch {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.ready) > 0 {
		p := g.ready[0]
		g.ready = g.ready[1:]
		if p.gone || p.leaving || len(p.queue) == 0 {
			continue
		}
		n := len(p.queue)
		if most > 0 {
			n = min(n, most)
		}
		b := p.handOut(n)
		if len(p.queue) > 0 {
			g.ready = append(g.ready, p)
		}
		return b
	}
	return nil
}

// Close commits what is finished and leaves the group: a dynamic member's partitions go to others at once, a static one's after its
// session timeout. Messages in hand are not waited for. ctx bounds it. Closing again does nothing.
func (g *Group) Close(ctx context.Context) error {
	g.mu.Lock()
	again, joined := g.closing, g.kgo != nil
	g.closing = true
	if g.loop != nil {
		g.loop(ErrClosed)
	}
	g.notify()
	g.mu.Unlock()
	g.c.forget(g)
	if again || !joined {
		return nil
	}
	g.stop()
	g.committer.Wait()
	err := g.commitFinished(ctx)
	g.kgo.AllowRebalance()
	err = errors.Join(err, g.kgo.LeaveGroupContext(ctx))
	g.kgo.Close()
	g.dropAll()
	if err != nil {
		return g.c.explain(err, "leave group %q", g.options.Group)
	}
	return nil
}
