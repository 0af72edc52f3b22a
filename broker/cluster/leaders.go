package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Lead says who leads a partition.
type Lead struct {
	Broker int32
	Epoch  int32   // Raft's term
	InSync []int32 // broker ids, ascending; shared, not to be changed
}

// Replica is one server's replica of one partition.
type Replica struct {
	Server    ServerID
	Partition ID
}

// Leaders is the table of who leads what.
//
// What always holds: claims has what every member has told last, this broker among them, and of nobody else. A group has one claim
// of a broker at most. mu is a leaf: nothing is called while it is held.
type Leaders struct {
	o       Options
	touched func(ID) // told of groups that others have told something new of
	sending sending

	mu      sync.RWMutex
	members map[ServerID]*member
	heard   map[ServerID]bool // who is alive, as onPeer has told
	claims  map[ID][]claim
	fenced  map[Replica]string
	shared  map[Replica]string // a copy of fenced that is never written; nil: to be made
	changed chan struct{}
}

// member is another broker, or this one, and what was taken of its messages.
type member struct {
	alive     bool
	whole     bool // a full message was taken
	boot, seq uint64
	told      map[ID]struct{} // what it leads or has fenced
}

// claim is one broker's word that it leads a group.
type claim struct {
	server ServerID
	from   *member
	term   uint64
	serves bool
	lead   Lead
}

func newLeaders(o Options) *Leaders {
	l := &Leaders{
		o: o, members: map[ServerID]*member{}, heard: map[ServerID]bool{}, claims: map[ID][]claim{},
		fenced: map[Replica]string{}, changed: make(chan struct{}),
	}
	l.members[o.Self] = &member{alive: true, told: map[ID]struct{}{}}
	l.sending.init(o.Now)
	return l
}

// newest is the claim of the highest term. Where its broker is dead the group has no leader: those of lower terms were deposed.
func (l *Leaders) newest(id ID) (claim, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var best claim
	for _, c := range l.claims[id] {
		if c.term > best.term {
			best = c
		}
	}
	return best, best.from != nil && best.from.alive
}

// Lookup tells who leads a group and serves it: the leader of the highest term that anybody has told of, while it is alive. It
// costs a map access.
func (l *Leaders) Lookup(id ID) (Lead, bool) {
	c, ok := l.newest(id)
	if !ok || !c.serves {
		return Lead{}, false
	}
	return c.lead, true
}

// Changed is closed at the next change of any lead or fence, or of who is alive.
func (l *Leaders) Changed() <-chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.changed
}

// Fenced are the replicas that brokers have told of as fenced, with the reason, those of dead ones too. The map is shared and never
// written again.
func (l *Leaders) Fenced() map[Replica]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared == nil {
		l.shared = maps.Clone(l.fenced)
	}
	return l.shared
}

// announce wakes who waits for a change. The caller holds mu.
func (l *Leaders) announce() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// take notes what a member tells of itself, and returns the groups of which that is new. The caller holds mu.
func (l *Leaders) take(server ServerID, from *member, full bool, reports []report) []ID {
	var news []ID
	if full {
		var gone []ID
		told := make(map[ID]struct{}, len(reports))
		for i := range reports {
			told[reports[i].id] = struct{}{}
		}
		for id := range from.told {
			if _, ok := told[id]; !ok {
				gone = append(gone, id)
			}
		}
		for _, id := range gone {
			news = l.put(news, server, from, &report{id: id})
		}
	}
	for i := range reports {
		news = l.put(news, server, from, &reports[i])
	}
	if len(news) > 0 {
		l.announce()
	}
	return news
}

// put notes one report, and adds its group to news if it says something new.
func (l *Leaders) put(news []ID, server ServerID, from *member, r *report) []ID {
	if now := l.reportOf(server, r.id); now.equal(r) {
		return news
	}
	claims := slices.DeleteFunc(slices.Clone(l.claims[r.id]), func(c claim) bool { return c.server == server })
	if r.leads {
		claims = append(claims, claim{
			server: server, from: from, term: r.term, serves: r.serves,
			lead: Lead{Broker: brokerOf(server), Epoch: int32(r.term), InSync: r.inSync},
		})
	}
	if len(claims) > 0 {
		l.claims[r.id] = claims
	} else {
		delete(l.claims, r.id)
	}
	if replica := (Replica{server, r.id}); l.fenced[replica] != r.fenced {
		l.shared = nil
		if r.fenced != "" {
			l.fenced[replica] = r.fenced
		} else {
			delete(l.fenced, replica)
		}
	}
	if r.blank() {
		delete(from.told, r.id)
	} else {
		from.told[r.id] = struct{}{}
	}
	return append(news, r.id)
}

// reportOf is what a member has told of a group. The caller holds mu.
func (l *Leaders) reportOf(server ServerID, id ID) *report {
	r := &report{id: id, fenced: l.fenced[Replica{server, id}]}
	for _, c := range l.claims[id] {
		if c.server == server {
			r.leads, r.serves, r.term, r.inSync = true, c.serves, c.term, c.lead.InSync
		}
	}
	return r
}

// HandleGossip takes what a broker tells of itself (transport.MethodGossip). One that is not a member is refused.
func (l *Leaders) HandleGossip(_ context.Context, from ServerID, body []byte) ([]byte, error) {
	m, err := decodeMessage(body)
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", from, err)
	}
	l.mu.Lock()
	member := l.members[from]
	var news []ID
	reply := replyTaken
	switch {
	case member == nil || from == l.o.Self:
		err = fmt.Errorf("broker %s is not a member of the cluster as far as this one knows", from)
	case member.whole && m.boot == member.boot && m.seq <= member.seq: // it came late, or twice
	case m.full || member.whole && m.boot == member.boot && m.seq == member.seq+1:
		member.whole, member.boot, member.seq = true, m.boot, m.seq
		news = l.take(from, member, m.full, m.reports)
	default:
		reply = replyAgain
	}
	l.mu.Unlock()
	for _, id := range news {
		l.touched(id)
	}
	return reply, err
}

// setMembers makes servers, and this one, the members.
func (l *Leaders) setMembers(servers []ServerID) {
	alive := map[ServerID]bool{}
	for _, s := range servers {
		alive[s] = l.o.Peers.Alive(s)
	}
	alive[l.o.Self] = true
	var news []ID
	l.mu.Lock()
	for s, up := range alive {
		if now, ok := l.heard[s]; ok {
			up = now
		}
		if l.members[s] == nil {
			l.members[s] = &member{alive: up, told: map[ID]struct{}{}}
		}
	}
	for s, m := range l.members {
		if _, ok := alive[s]; !ok {
			news = append(news, l.take(s, m, true, nil)...)
			delete(l.members, s)
		}
	}
	maps.DeleteFunc(l.heard, func(s ServerID, _ bool) bool { return l.members[s] == nil })
	l.mu.Unlock()
	l.sending.setPeers(servers, l.o.Self)
	for _, id := range news {
		l.touched(id)
	}
}

func (l *Leaders) onPeer(id ServerID, alive bool) {
	l.mu.Lock()
	l.heard[id] = alive
	if m := l.members[id]; m != nil && m.alive != alive && id != l.o.Self {
		m.alive = alive
		l.announce()
	}
	l.mu.Unlock()
	if alive {
		l.sending.again(id)
	}
	l.sending.scan() // it is in sync no more, or again
}
