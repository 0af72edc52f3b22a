package placement

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// changesAtOnce is how many groups a Keeper changes side by side. A change mostly waits for disks.
	changesAtOnce = 32
	changeTimeout = 10 * time.Second
	resetTimeout  = time.Minute // the other broker closes, renames and opens files
	// A group whose change failed is left alone for retryMin, and twice as long after each failure more, up to retryMax.
	retryMin = time.Second
	retryMax = 30 * time.Second
	// settleTime is how long the brokers must have been enough for internal topics to get more replicas: brokers that are
	// started together register one after the other.
	settleTime = 3 * time.Second
)

// pace is how often a Keeper looks.
type pace struct {
	gap     time.Duration // between two looks at least
	pending time.Duration // while something is under way or failed
	idle    time.Duration
}

// Keeper brings the groups that this broker leads to what the image wants. Whoever leads next goes on from the group's
// configuration: a Keeper remembers nothing that is needed.
//
// Run's goroutine decides, and alone uses what is not below mu; each change waits on a goroutine of its own.
type Keeper struct {
	options Options
	pace    pace

	busy     map[ID]bool // a change is under way
	trouble  map[ID]trouble
	balancer balancer
	growing  bool      // a reassignment of internal topics is under way
	growAt   time.Time // when it was first seen to be due; zero: it is not
	done     chan outcome
	draining chan struct{} // closed by Drain
	drain    sync.Once
}

// trouble is a group whose last change failed.
type trouble struct {
	until time.Time
	wait  time.Duration
}

// outcome of a change. id is the zero ID for that of internal topics.
type outcome struct {
	id  ID
	err error
}

// New makes a Keeper that does nothing of its own until Run. The options must be complete, but where they say that nil is something.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		options: o, pace: pace{gap: 100 * time.Millisecond, pending: 250 * time.Millisecond, idle: 5 * time.Second},
		busy: map[ID]bool{}, trouble: map[ID]trouble{}, balancer: balancer{quiet: quietTime},
		done: make(chan outcome), draining: make(chan struct{}),
	}
}

// Run works until ctx ends or Drain is called, and waits for what it has started.
func (k *Keeper) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		wake := k.changed()
		pause := k.look(ctx)
		if !k.rest(ctx, pause, wake) {
			break
		}
	}
	cancel()
	for len(k.busy) > 0 || k.growing {
		k.settle(<-k.done)
	}
}

// changed are the channels that a look asked now would have been too early for.
func (k *Keeper) changed() [3]<-chan struct{} {
	c := k.options.Controller
	return [3]<-chan struct{}{c.Changed(c.Image()), k.options.Peers.Changed(), k.options.Groups.Changed()}
}

// rest waits until it is time to look again: after pause, or as soon as there is anything to wake for, but not before the gap is
// over. It takes outcomes meanwhile. false: it never is.
func (k *Keeper) rest(ctx context.Context, pause time.Duration, wake [3]<-chan struct{}) bool {
	gap, end := time.NewTimer(k.pace.gap), time.NewTimer(max(pause, k.pace.gap))
	defer gap.Stop()
	defer end.Stop()
	for woken, early := false, true; early || !woken; {
		select {
		case <-ctx.Done():
			return false
		case <-k.draining:
			return false
		case o := <-k.done:
			k.settle(o)
			woken = true // for the group's next step
		case <-wake[0]:
			woken, wake[0] = true, nil
		case <-wake[1]:
			woken, wake[1] = true, nil
		case <-wake[2]:
			woken, wake[2] = true, nil
		case <-gap.C:
			early = false
		case <-end.C:
			return true
		}
	}
	return true
}

// settle notes what came of a change.
func (k *Keeper) settle(o outcome) {
	if o.id == (ID{}) {
		k.growing, k.growAt = false, time.Time{}
		return
	}
	delete(k.busy, o.id)
	if o.err == nil {
		delete(k.trouble, o.id)
		return
	}
	t := k.trouble[o.id]
	t.wait = min(max(2*t.wait, retryMin), retryMax)
	t.until = k.options.Now().Add(t.wait)
	k.trouble[o.id] = t
}

// look goes over all groups that this server leads, starts what is to be done, and returns when to look again.
func (k *Keeper) look(ctx context.Context) time.Duration {
	v := k.sight()
	var states []*state
	groups := map[ID]Group{}
	k.options.Groups.Each(func(id ID, g Group) bool {
		if s := v.state(id, g); s != nil {
			states = append(states, s)
			groups[id] = g
		}
		return true
	})
	k.forget(groups)
	v.countLearners(states)
	waiting := k.grow(ctx, v)
	var could []handOver
	for _, s := range states {
		switch c := next(s); {
		case k.busy[s.id] || v.now.Before(k.trouble[s.id].until) || len(k.busy) >= changesAtOnce:
			waiting = true
		case c.kind != nothing:
			k.start(ctx, s, groups[s.id], c)
		case !s.settled():
			waiting = true
		case s.preferred != "" && s.preferred != s.self && s.good(s.preferred):
			could = append(could, handOver{s.id, s.preferred})
		}
	}
	if !k.options.NoBalance {
		k.balance(ctx, v.now, could, groups)
	}
	if waiting || len(k.busy) > 0 || k.balancer.waits() {
		return k.pace.pending
	}
	return k.pace.idle
}

// forget drops what is remembered of groups that this server no longer leads.
func (k *Keeper) forget(led map[ID]Group) {
	for id := range k.trouble {
		if _, ok := led[id]; !ok {
			delete(k.trouble, id)
		}
	}
}

func (k *Keeper) balance(ctx context.Context, now time.Time, could []handOver, groups map[ID]Group) {
	for _, h := range k.balancer.due(now, could) {
		k.do(ctx, h.id, changeTimeout, func(ctx context.Context) error {
			return k.step(ctx, h.id, groups[h.id], change{transfer, h.to}, nil)
		})
	}
}

// start makes one change of a group.
func (k *Keeper) start(ctx context.Context, s *state, g Group, c change) {
	limit := changeTimeout
	if c.kind == reset {
		limit = resetTimeout
	}
	k.do(ctx, s.id, limit, func(ctx context.Context) error { return k.step(ctx, s.id, g, c, s.want) })
}

func (k *Keeper) do(ctx context.Context, id ID, limit time.Duration, f func(context.Context) error) {
	k.busy[id] = true
	go func() {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		k.done <- outcome{id, f(ctx)}
	}()
}

// step makes a change, and tells of it.
func (k *Keeper) step(ctx context.Context, id ID, g Group, c change, want []ServerID) error {
	var err error
	switch c.kind {
	case addLearner:
		err = g.AddLearner(ctx, c.server)
	case promote:
		err = g.Promote(ctx, c.server)
	case remove:
		err = g.Remove(ctx, c.server)
	case transfer:
		err = g.Transfer(ctx, c.server)
	case reset:
		err = k.callReset(ctx, c.server, id)
	case complete:
		err = k.options.Controller.CompleteReassignment(ctx, id.Topic, id.Partition, brokersOf(want))
	}
	log := k.options.Logger.With("group", id.String(), "change", c.kind.String())
	if c.server != "" {
		log = log.With("server", c.server)
	}
	switch {
	case err != nil:
		log.Warn("cannot change a partition's replicas yet", "err", err)
		return fmt.Errorf("group %s: %s %s: %w", id, c.kind, c.server, err)
	case c.kind == remove || c.kind == reset || c.kind == complete:
		log.Info("a partition's replicas changed")
	default:
		log.Debug("a partition's replicas changed")
	}
	return nil
}

func brokersOf(ids []ServerID) []int32 {
	list := make([]int32, 0, len(ids))
	for _, id := range ids {
		broker, _ := BrokerOf(id)
		list = append(list, broker)
	}
	return list
}

// grow lets the controller's leader raise the replicas of internal topics, once that has been due for settleTime. It returns
// whether it is due.
func (k *Keeper) grow(ctx context.Context, v *sight) bool {
	c := k.options.Controller
	if k.growing || k.options.Internal == nil || !c.Leads() {
		return k.growing
	}
	moves := PlanInternal(v.image, Nodes(v.image, v.alive), k.options.Internal)
	switch {
	case len(moves) == 0:
		k.growAt = time.Time{}
		return false
	case k.growAt.IsZero():
		k.growAt = v.now
	case v.now.Sub(k.growAt) >= settleTime:
		k.growing = true
		go func() {
			ctx, cancel := context.WithTimeout(ctx, changeTimeout)
			defer cancel()
			each, err := c.Reassign(ctx, moves)
			k.options.Logger.Info("internal topics get more replicas", "partitions", len(moves), "err", errors.Join(append(each, err)...))
			k.done <- outcome{err: err}
		}()
	}
	return true
}
