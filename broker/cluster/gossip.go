package cluster

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quirelog/quire/replication/transport"
)

const (
	// scanEvery is how often all groups are looked at: what Touch was not told of is found by then.
	scanEvery = 2 * time.Second
	// lagEvery is how often groups that are led here are looked at while not all voters are in sync: nobody tells when one has come level.
	lagEvery = 200 * time.Millisecond
	// gather is how long news wait for others that come at the same time.
	gather = 3 * time.Millisecond
	// fullEvery is how often a peer is told everything, whatever it is thought to know.
	fullEvery = 10 * time.Second
	// tellTime is how long a peer is waited for, tellAgain the first pause after it did not take a message, tellAtLast the longest.
	tellTime   = 2 * time.Second
	tellAgain  = 100 * time.Millisecond
	tellAtLast = 3 * time.Second
)

// sending is what this broker has to tell the others.
type sending struct {
	boot uint64
	wake chan struct{} // there is something touched, or a new peer

	lagging map[ID]struct{} // of the goroutine of run: led here, and not all voters are in sync

	mu      sync.Mutex
	touched map[ID]struct{}
	all     bool // look at all groups
	peers   map[ServerID]*listener
}

// listener is a peer that is told.
type listener struct {
	id   ServerID
	wake chan struct{}
	gone chan struct{} // closed when it is no member any more
	seq  uint64        // the sender's own

	// Guarded by sending.mu.
	started bool
	full    bool
	dirty   map[ID]struct{}
}

func (s *sending) init(now func() time.Time) {
	s.boot = uint64(now().UnixNano())
	s.wake, s.touched, s.peers = make(chan struct{}, 1), map[ID]struct{}{}, map[ServerID]*listener{}
	s.lagging = map[ID]struct{}{}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is set
	}
}

func (s *sending) setPeers(servers []ServerID, self ServerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.peers {
		if !slices.Contains(servers, id) {
			close(p.gone)
			delete(s.peers, id)
		}
	}
	for _, id := range servers {
		if id != self && s.peers[id] == nil {
			p := &listener{id: id, wake: make(chan struct{}, 1), gone: make(chan struct{}), full: true, dirty: map[ID]struct{}{}}
			p.wake <- struct{}{}
			s.peers[id] = p
		}
	}
	signal(s.wake)
}

// scan has all groups looked at.
func (s *sending) scan() {
	s.mu.Lock()
	s.all = true
	s.mu.Unlock()
	signal(s.wake)
}

// again has a peer told everything.
func (s *sending) again(id ServerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[id]; p != nil {
		p.full = true
		signal(p.wake)
	}
}

// spread has all peers told of groups.
func (s *sending) spread(ids []ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.peers {
		for _, id := range ids {
			p.dirty[id] = struct{}{}
		}
		signal(p.wake)
	}
}

// due takes what a peer is to be told.
func (s *sending) due(p *listener) (full bool, ids []ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	full = p.full
	p.full = false
	ids = slices.Collect(maps.Keys(p.dirty))
	clear(p.dirty)
	return full, ids
}

func (l *Leaders) touch(id ID) {
	s := &l.sending
	s.mu.Lock()
	s.touched[id] = struct{}{}
	s.mu.Unlock()
	signal(s.wake)
}

// run looks at the groups of this broker, and has a goroutine a peer that tells it of them.
func (l *Leaders) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	scan := time.NewTicker(scanEvery)
	defer scan.Stop()
	l.lookAtAll()
	for {
		l.sending.mu.Lock()
		touched, all := l.sending.touched, l.sending.all
		l.sending.touched, l.sending.all = map[ID]struct{}{}, false
		for _, p := range l.sending.peers {
			if !p.started {
				p.started = true
				wg.Go(func() { l.tellAlways(ctx, p) })
			}
		}
		l.sending.mu.Unlock()
		if all {
			l.lookAtAll()
		} else if len(touched) > 0 {
			l.lookAt(touched)
		}
		var lag <-chan time.Time
		if len(l.sending.lagging) > 0 {
			lag = time.After(lagEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-l.sending.wake:
		case <-lag:
			l.lookAt(maps.Clone(l.sending.lagging))
		case <-scan.C:
			l.lookAtAll()
		}
	}
}

// lookAtAll looks at every group that is open, or was told of.
func (l *Leaders) lookAtAll() {
	ids := map[ID]struct{}{}
	l.o.Groups.Each(func(id ID, _ Group) bool {
		ids[id] = struct{}{}
		return true
	})
	l.mu.RLock()
	maps.Copy(ids, l.members[l.o.Self].told)
	l.mu.RUnlock()
	for id := range l.o.Groups.Fenced() {
		ids[id] = struct{}{}
	}
	l.lookAt(ids)
}

// lookAt notes how groups are here, and has the peers told of those that have changed.
func (l *Leaders) lookAt(ids map[ID]struct{}) {
	fenced := l.o.Groups.Fenced()
	now := l.o.Now()
	reports := make([]report, 0, len(ids))
	for id := range ids {
		reports = append(reports, l.reportHere(id, now, fenced))
	}
	l.mu.Lock()
	news := l.take(l.o.Self, l.members[l.o.Self], false, reports)
	l.mu.Unlock()
	if len(news) > 0 {
		l.sending.spread(news)
	}
}

// reportHere is called by the goroutine of run.
func (l *Leaders) reportHere(id ID, now time.Time, fenced map[ID]string) report {
	r := report{id: id}
	if why, ok := fenced[id]; ok {
		r.fenced = reason(why)
		return r
	}
	delete(l.sending.lagging, id)
	g := l.o.Groups.Get(id)
	if g == nil {
		return r
	}
	s := g.Status()
	if s.State != Leader {
		return r
	}
	r.leads, r.serves, r.term = true, s.Serves, s.Term
	for _, server := range g.InSync(now) {
		if server == l.o.Self || l.o.Peers.Alive(server) { // the dead leave at once, and a former incarnation is no broker
			r.inSync = append(r.inSync, brokerOf(server))
		}
	}
	slices.Sort(r.inSync)
	if len(r.inSync) < len(s.Voters) && id != transport.ControllerGroup { // of which nobody tells who is in sync
		l.sending.lagging[id] = struct{}{}
	}
	return r
}

// tellAlways tells one peer what is new, and now and then everything.
func (l *Leaders) tellAlways(ctx context.Context, p *listener) {
	full := time.NewTicker(fullEvery)
	defer full.Stop()
	pause := tellAgain
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.gone:
			return
		case <-p.wake:
		case <-full.C:
			l.sending.again(p.id)
		}
		wait := gather
		if l.o.Peers.Alive(p.id) { // else it is told everything when it is back
			if l.tell(ctx, p) {
				pause = tellAgain
			} else {
				wait = pause
				pause = min(2*pause, tellAtLast)
				l.sending.again(p.id)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// tell sends a peer what is new, and says whether it has taken that.
func (l *Leaders) tell(ctx context.Context, p *listener) bool {
	m := l.message(p)
	if !m.full && len(m.reports) == 0 {
		return true
	}
	p.seq++
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	reply, err := l.o.Peers.CallGossip(ctx, p.id, m.encode())
	if err != nil {
		l.o.Logger.Debug("a broker was not told who leads", "broker", p.id, "err", err)
	}
	return err == nil && bytes.Equal(reply, replyTaken)
}

func (l *Leaders) message(p *listener) message {
	full, ids := l.sending.due(p)
	m := message{full: full, boot: l.sending.boot, seq: p.seq + 1}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if full {
		ids = slices.Collect(maps.Keys(l.members[l.o.Self].told))
	}
	m.reports = make([]report, len(ids))
	for i, id := range ids {
		m.reports[i] = *l.reportOf(l.o.Self, id)
	}
	return m
}
