package replication

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
)

// inSyncTime is how far a voter may be behind and still counts as in sync: Kafka's replica.lag.time.max.ms.
const inSyncTime = 30 * time.Second

// A leader notes where its log ended at most once in lagStep, for lagSteps of them: 40 s.
const (
	lagStep  = time.Second
	lagSteps = 40
)

// lag tells how long ago a leader's log ended where a follower's ends now. A follower of a busy log is always some entries
// behind, so what counts is not whether it has everything but when it had.
//
// What always holds: ends[i] is the index at which the log ended until just before times[i], both growing with i. Only a
// leader with followers notes them, before it appends; so what lies above the last one was appended after its time.
type lag struct {
	mu    sync.Mutex
	times []time.Time
	ends  []segment.Index
}

// appending notes that the log, which ends at end, is about to grow.
func (l *lag) appending(end segment.Index, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.times)
	if n > 0 && now.Sub(l.times[n-1]) < lagStep {
		return
	}
	if n == lagSteps {
		copy(l.times, l.times[1:])
		copy(l.ends, l.ends[1:])
		l.times, l.ends = l.times[:n-1], l.ends[:n-1]
	}
	l.times, l.ends = append(l.times, now), append(l.ends, end)
}

// level is the newest time that is known at which the log held nothing beyond match; zero: none, or longer ago.
func (l *lag) level(match segment.Index) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.ends) - 1; i >= 0; i-- {
		if l.ends[i] <= match {
			return l.times[i]
		}
	}
	return time.Time{}
}

// forget begins anew with a leadership.
func (l *lag) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times, l.ends = nil, nil
}

// appending is called before the leader stores entries, of which first is the first.
func (g *Group) appending(first *raft.Log) {
	if first.Type == raft.LogNoop {
		g.lag.forget()
	}
	if !g.members.newest.Load().alone {
		g.lag.appending(g.log.LastIndex(), time.Now())
	}
}

// Match is how far a member's log is known to agree with this leader's, and when it last had everything that this leader had at
// that moment; zero: not in this leadership, or long ago.
func (g *Group) Match(id ServerID) (segment.Index, time.Time) {
	end := g.log.LastIndex()
	if id == g.node.options.Self {
		return end, time.Now()
	}
	if g.peers == nil {
		return 0, time.Time{}
	}
	match, at := g.peers.Match(id)
	if match == 0 {
		return 0, time.Time{}
	}
	if m := segment.Index(match); m < end {
		if level := g.lag.level(m); level.Before(at) {
			return m, level
		}
	}
	return segment.Index(match), at
}

// matched is called by the readers of connections.
func (g *Group) matched(ServerID, uint64) {
	g.moves.signal()
	if g.options.Matched != nil {
		g.options.Matched()
	}
}

// Confirmed is the newest entry that at least so many voters are known to have, this leader included; 0: none, or there are not so many.
func (g *Group) Confirmed(voters int) segment.Index {
	m := g.members.newest.Load()
	if voters < 1 || voters > len(m.voters) {
		return 0
	}
	have := make([]segment.Index, 0, len(m.voters))
	for _, id := range m.voters {
		i, _ := g.Match(id)
		have = append(have, i)
	}
	slices.Sort(have)
	return have[len(have)-voters]
}

// InSync lists the voters that are alive and had everything this leader had at some moment of the last 30 s, itself included; nobody
// where it does not lead.
func (g *Group) InSync(now time.Time) []ServerID {
	if g.serving.Load() == 0 {
		return nil
	}
	voters := g.members.newest.Load().voters
	in := make([]ServerID, 0, len(voters))
	for _, id := range voters {
		if alive := g.node.options.Alive; alive != nil && id != g.node.options.Self && !alive(id) {
			continue
		}
		if _, at := g.Match(id); now.Sub(at) <= inSyncTime {
			in = append(in, id)
		}
	}
	return in
}
