package transport

import "github.com/hashicorp/raft"

// Leased says whether this broker, where it leads the group in term by the votes of voters, may answer for the group: nobody can have been
// elected after it, as far as it has not stopped to lead by its own doing. It is to be asked before that is looked at: what tells of another
// election is handled before it makes this true. It takes a few atomic loads for each voter.
func (g *Group) Leased(term uint64, voters []raft.ServerID) bool {
	streams := *g.streams.Load()
	since := g.t.now() - leaseFor
	among, backing := false, 0
	for _, id := range voters {
		if id == g.t.o.Self {
			among = true
			backing++
		} else if s := streams[raft.ServerAddress(id)]; s != nil && s.backing.counts(term, since) {
			backing++
		}
	}
	return among && backing > len(voters)/2 && term >= g.ballot.against.Load()
}

// Resign tells the peers that this broker no longer leads the group in term, and answers nothing for it: they may elect another at once. To be
// called whenever a leadership has ended and its last answer is out; Close does so too.
func (g *Group) Resign(term uint64) { g.t.pacts.resigns(&g.ballot, term) }

// Fresh has is tell whether the group's log holds nothing but its bootstrap: then no leader can have counted on this broker before its process
// began, and it need not keep to promises that it may have forgotten. It is to be called before Raft is opened; is must not block.
func (g *Group) Fresh(is func() bool) {
	g.t.pacts.mu.Lock()
	defer g.t.pacts.mu.Unlock()
	g.ballot.fresh = is
}

// OnMatch has f told when the newest entry that a peer is known to hold moves, as by Match. Connections' readers call it: it must not block,
// and of two calls the second may have the older entry.
func (g *Group) OnMatch(f func(peer raft.ServerID, index uint64)) { g.onMatch.Store(&f) }
