package transport

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// detector finds out which of the watched peers live: one ping a peer and interval, for all groups. step is its logic, detect its goroutine,
// which alone has watched.
type detector struct {
	every, dead time.Duration
	watched     map[raft.ServerID]*watched
}

// watched is a peer that is pinged.
type watched struct {
	peer  *peer
	next  time.Duration // when it is to be pinged
	alive bool
}

// step says at a time who is to be pinged and who has come to life or died since the last, and when to look again.
func (d *detector) step(now time.Duration) (pings, changed []*watched, wake time.Duration) {
	wake = now + d.every
	for _, w := range d.watched {
		if now >= w.next {
			w.next = max(w.next+d.every, now+d.every/2) // evenly, but where it is late
			pings = append(pings, w)
		}
		until := time.Duration(w.peer.pact.heard.Load()) + d.dead
		if alive := now < until; alive != w.alive {
			w.alive = alive
			changed = append(changed, w)
		}
		if wake = min(wake, w.next); w.alive {
			wake = min(wake, until)
		}
	}
	return pings, changed, wake
}

// set replaces the peers that are watched, and returns those that no longer are.
func (d *detector) set(peers map[raft.ServerID]*peer) (gone []*peer) {
	for id, w := range d.watched {
		if peers[id] == nil {
			gone = append(gone, w.peer)
			delete(d.watched, id)
		}
	}
	for id, p := range peers {
		if d.watched[id] == nil {
			d.watched[id] = &watched{peer: p}
		}
	}
	return gone
}

// Watch sets the brokers that are pinged, and to which control connections are kept; this broker itself is none of them. A peer that is new among them counts as
// dead until it answers.
func (t *Transport) Watch(peers []raft.ServerID) {
	set := map[raft.ServerID]*peer{}
	for _, id := range peers {
		if id != t.o.Self {
			set[id] = t.peer(id)
		}
	}
	t.watching.Do(func() { t.start(t.detect) })
	t.mu.Lock()
	t.toWatch = set
	t.mu.Unlock()
	t.lookAgain()
}

// lookAgain wakes the detector.
func (t *Transport) lookAgain() {
	select {
	case t.look <- struct{}{}:
	default:
	}
}

// Alive says whether the peer has answered a ping within Options.DeadAfter.
func (t *Transport) Alive(id raft.ServerID) bool {
	return t.now() < time.Duration(t.pacts.of(id).heard.Load())+t.o.DeadAfter
}

// LastAnswer is when the peer last answered a ping; zero: never.
func (t *Transport) LastAnswer(id raft.ServerID) time.Time {
	if heard := time.Duration(t.pacts.of(id).heard.Load()); heard != never {
		return t.begun.Add(heard)
	}
	return time.Time{}
}

// Promised is for how long this broker does nothing against a leader, since it has answered his pings; 0: it is free. leader "" asks for a
// group whose leader is not known: for a while after its start a process keeps to what it may have promised before.
func (t *Transport) Promised(leader raft.ServerID) time.Duration {
	if leader == "" {
		return max(0, promiseFor-t.now())
	}
	return t.pacts.promised(leader, t.now())
}

func (t *Transport) now() time.Duration { return time.Since(t.begun) }

// detect pings, and tells who lives, until the transport is closed.
func (t *Transport) detect() {
	d := detector{every: t.o.PingEvery, dead: t.o.DeadAfter, watched: map[raft.ServerID]*watched{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.look:
		case <-timer.C:
		}
		t.mu.Lock()
		peers := t.toWatch
		t.mu.Unlock()
		for _, p := range d.set(peers) {
			p.link(control).keep(false)
		}
		pings, changed, wake := d.step(t.now())
		for _, w := range changed {
			t.o.Logger.Info("a broker's state has changed", "broker", w.peer.id, "alive", w.alive)
			if t.o.OnPeer != nil {
				t.o.OnPeer(w.peer.id, w.alive)
			}
		}
		for _, w := range pings {
			t.pingPeer(w.peer)
		}
		timer.Reset(wake - t.now())
	}
}

// pingPeer sends a ping, or sees to it that there is a connection for the next. One that has been silent for as long as makes a broker dead is
// broken: another one may get through, and sooner than what is sent again and again on this.
func (t *Transport) pingPeer(p *peer) {
	l := p.link(control)
	l.keep(true)
	c := l.current()
	if c == nil {
		return
	}
	now := t.now()
	if silent := now - time.Duration(c.heard.Load()); silent > t.o.DeadAfter+t.o.PingEvery/2 {
		c.fail(fmt.Errorf("%w for %v", errSilent, silent))
		return
	}
	b := t.pacts.bulletin(p.pact)
	c.out.add(func(to []byte) []byte { return encodePulse(to, kindPulse, uint64(now), &b) }, nil)
}

// pulse takes a ping, which it answers, or the answer to one. Readers call it.
func (c *conn) pulse(kind byte, frame []byte) error {
	if c.purpose != control {
		return fmt.Errorf("%w: a pulse on a connection of kind %d", errFrame, c.purpose)
	}
	at, b, err := decodePulse(frame)
	if err != nil {
		return err
	}
	t, p := c.t, c.pact
	p.handling.Lock()
	defer p.handling.Unlock()
	stale := t.readBulletin(c.peer, p, &b)
	switch now := t.now(); {
	case stale:
	case kind == kindPulse:
		if t.o.Healthy == nil || t.o.Healthy() {
			answer := t.pacts.answer(p, now)
			c.out.add(func(to []byte) []byte { return encodePulse(to, kindPulsed, at, &answer) }, nil)
		}
	case at <= uint64(now):
		if b.whole {
			p.answered.Store(max(p.answered.Load(), int64(at)))
		}
		if before := time.Duration(p.heard.Swap(int64(now))); now >= before+t.o.DeadAfter {
			t.lookAgain() // it has come to life
		}
	}
	return nil
}

// readBulletin does what a peer's notices ask for. p.handling is held.
func (t *Transport) readBulletin(from raft.ServerID, p *pact, b *bulletin) (stale bool) {
	news, stale := t.pacts.read(p, b)
	for i := range news {
		n := &news[i]
		t.mu.Lock()
		g := t.groups[n.group]
		t.mu.Unlock()
		if g != nil {
			t.pacts.heed(n, from, &g.ballot, &g.stream(raft.ServerAddress(from)).backing)
		}
		if n.kind == deserted && t.o.OnDeserted != nil {
			t.o.OnDeserted(n.group, n.term)
		}
	}
	return stale
}
