package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/quirelog/quire/replication/transport"
)

const (
	// stepEvery is the shortest time between two looks at what is vacant: calls for many groups go together.
	stepEvery = 5 * time.Millisecond
	// callTime is how long a call of a peer is waited for.
	callTime = askWait
)

// Elector calls elections in groups that have no leader.
//
// core belongs to the goroutine of run; others leave what they have for it under mu.
type Elector struct {
	o       Options
	leaders *Leaders
	core    *core
	wake    chan struct{}

	mu      sync.Mutex
	touched map[ID]struct{}
	all     bool          // look at all groups
	heard   []func(*core) // what came of calls
	mail    map[ServerID]*mail
}

// mail is what is to be sent to a peer: one call is under way at a time, and what comes meanwhile goes together.
type mail struct {
	busy   bool
	asks   []ID
	orders []order
}

func newElector(o Options, l *Leaders) *Elector {
	return &Elector{
		o: o, leaders: l, core: newCore(o.Self), wake: make(chan struct{}, 1), touched: map[ID]struct{}{}, mail: map[ServerID]*mail{},
	}
}

func (e *Elector) touch(id ID) {
	e.mu.Lock()
	e.touched[id] = struct{}{}
	e.mu.Unlock()
	signal(e.wake)
}

func (e *Elector) onPeer(ServerID) {
	e.mu.Lock()
	e.all = true
	e.mu.Unlock()
	signal(e.wake)
}

func (e *Elector) run(ctx context.Context) {
	var calls sync.WaitGroup
	defer calls.Wait()
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	e.lookAtAll()
	for {
		e.lookAtTouched()
		e.step(ctx, &calls)
		if !sleep(ctx, stepEvery) {
			return
		}
		var due <-chan time.Time
		if at := e.core.next(e.o.Now()); !at.IsZero() {
			due = time.After(at.Sub(e.o.Now()))
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-due:
		case <-scan.C:
			e.lookAtAll()
		}
	}
}

// sleep is false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// alive says so of this broker too.
func (e *Elector) alive(id ServerID) bool { return id == e.o.Self || e.o.Peers.Alive(id) }

// look is how a group is here and now.
func (e *Elector) look(id ID, g Group) view {
	v := view{Status: g.Status(), preferred: e.o.Groups.Preferred(id)}
	if c, ok := e.leaders.newest(id); ok && c.server != e.o.Self { // of itself it knows better
		v.claimed, v.claimer = c.term, c.lead.Broker
	}
	if v.led() || v.Leader == e.o.Self || v.Leader == "" && v.Fresh || id == transport.ControllerGroup {
		return v // nobody has been promised anything: nobody has led a new group, and the controller's leaders have no lease
	}
	v.promised = e.o.Peers.Promised(v.Leader)
	return v
}

func (e *Elector) lookAt(now time.Time, id ID) {
	if g := e.o.Groups.Get(id); g != nil {
		e.core.see(now, id, e.look(id, g), e.alive)
	} else {
		e.core.forget(id)
	}
}

func (e *Elector) lookAtAll() {
	now := e.o.Now()
	e.o.Groups.Each(func(id ID, g Group) bool {
		e.core.see(now, id, e.look(id, g), e.alive)
		return true
	})
	for id := range e.core.vacant {
		if e.o.Groups.Get(id) == nil {
			e.core.forget(id)
		}
	}
}

// lookAtTouched takes what others have left.
func (e *Elector) lookAtTouched() {
	e.mu.Lock()
	touched, all, heard := e.touched, e.all, e.heard
	e.touched, e.all, e.heard = map[ID]struct{}{}, false, nil
	e.mu.Unlock()
	for _, f := range heard {
		f(e.core)
	}
	if all {
		e.lookAtAll()
		return
	}
	now := e.o.Now()
	for id := range touched {
		e.lookAt(now, id)
	}
}

func (e *Elector) step(ctx context.Context, calls *sync.WaitGroup) {
	now := e.o.Now()
	for _, id := range e.core.due(now) {
		e.lookAt(now, id)
	}
	w := e.core.step(now, e.alive)
	if orders := w.elect[e.o.Self]; len(orders) > 0 {
		e.core.refused(now, e.o.Self, e.stand(orders))
		delete(w.elect, e.o.Self)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for to, ids := range w.ask {
		m := e.mailFor(to)
		m.asks = append(m.asks, ids...)
	}
	for to, orders := range w.elect {
		m := e.mailFor(to)
		m.orders = append(m.orders, orders...)
	}
	for to, m := range e.mail {
		if !m.busy {
			m.busy = true
			calls.Go(func() { e.send(ctx, to, m) })
		}
	}
}

func (e *Elector) mailFor(to ServerID) *mail {
	m := e.mail[to]
	if m == nil {
		m = &mail{}
		e.mail[to] = m
	}
	return m
}

// send makes one call after another while there is something for a peer.
func (e *Elector) send(ctx context.Context, to ServerID, m *mail) {
	for {
		e.mu.Lock()
		orders := m.orders[:min(len(m.orders), maxAsked)]
		m.orders = m.orders[len(orders):]
		asks := m.asks[:min(len(m.asks), maxAsked)]
		m.asks = m.asks[len(asks):]
		if len(orders) == 0 && len(asks) == 0 {
			delete(e.mail, to)
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		if len(orders) > 0 {
			e.callElect(ctx, to, orders)
		}
		if len(asks) > 0 && !e.callStates(ctx, to, asks) {
			e.mu.Lock()
			rest := m.asks // no use to try them too
			m.asks = nil
			e.mu.Unlock()
			e.tellCore(func(c *core) { c.missed(to, rest) })
		}
	}
}

// tellCore leaves what was heard for the goroutine of run.
func (e *Elector) tellCore(f func(*core)) {
	e.mu.Lock()
	e.heard = append(e.heard, f)
	e.mu.Unlock()
	signal(e.wake)
}

func (e *Elector) callElect(ctx context.Context, to ServerID, orders []order) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := e.o.Peers.CallElect(ctx, to, encodeOrders(orders))
	var refused []ID
	if err == nil {
		refused, err = decodeIDs(body)
	}
	if err != nil { // it may have been told all the same: it gets the time to win
		e.o.Logger.Debug("a broker was not told to stand for election", "broker", to, "groups", len(orders), "err", err)
	}
	if len(refused) > 0 {
		e.tellCore(func(c *core) { c.refused(e.o.Now(), to, refused) })
	}
}

func (e *Elector) callStates(ctx context.Context, to ServerID, ids []ID) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := e.o.Peers.CallStates(ctx, to, encodeIDs(ids))
	var answers []answer
	if err == nil {
		answers, err = decodeAnswers(body, ids)
	}
	if err != nil {
		e.o.Logger.Debug("a broker does not tell how its groups are", "broker", to, "groups", len(ids), "err", err)
		e.tellCore(func(c *core) { c.missed(to, ids) })
		return false
	}
	e.tellCore(func(c *core) { c.hear(to, answers) })
	return true
}

// HandleStates tells another broker's elector of groups (transport.MethodStates).
func (e *Elector) HandleStates(_ context.Context, from ServerID, body []byte) ([]byte, error) {
	ids, err := decodeIDs(body)
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", from, err)
	}
	answers := make([]answer, len(ids))
	for i, id := range ids {
		answers[i] = answer{id: id}
		if g := e.o.Groups.Get(id); g != nil {
			v := e.look(id, g)
			answers[i] = v.answer(id)
		}
	}
	return encodeAnswers(answers), nil
}

// HandleElect stands for election in groups where another broker's elector wants it (transport.MethodElect), and answers with those
// where it does not.
func (e *Elector) HandleElect(_ context.Context, from ServerID, body []byte) ([]byte, error) {
	orders, err := decodeOrders(body)
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", from, err)
	}
	return encodeIDs(e.stand(orders)), nil
}

// stand stands for election, and returns the groups where this broker does not: where it leads, or knows who does, has no vote, or
// where an election was held since it was asked.
func (e *Elector) stand(orders []order) (refused []ID) {
	for _, o := range orders {
		if g := e.o.Groups.Get(o.id); g != nil {
			if v := e.look(o.id, g); v.mayStand(o) {
				g.CallElection(o.over)
				continue
			}
		}
		refused = append(refused, o.id)
	}
	return refused
}
