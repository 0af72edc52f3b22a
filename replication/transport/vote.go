package transport

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// voteTime is how long a vote is waited for: by then the next election may be on.
const voteTime = 2 * time.Second

var errPromised = fmt.Errorf("this broker has promised to help nobody else while the group's leader lives")

// RequestVote asks a peer for its vote. While this broker is bound by a promise, it asks nobody but the leader who has it.
func (g *Group) RequestVote(
	_ raft.ServerID, to raft.ServerAddress, r *raft.RequestVoteRequest, resp *raft.RequestVoteResponse,
) error {
	e := g.t.pacts.stands(&g.ballot, g.t.o.Self, r.Term)
	if !g.leadBy(to) && (g.await(e) != nil || !g.t.pacts.helps(&g.ballot, e, g.t.now())) {
		return wrap("vote of", to, errPromised)
	}
	body, err := g.ask(askVote, to, encodeVote(r, &e), min(voteTime, g.t.o.Timeout))
	if err == nil {
		resp.Term, resp.Granted, err = decodeResponse(body)
	}
	if err == nil && resp.Term > 0 {
		g.t.pacts.isNoLeader(&g.ballot, raft.ServerID(to), resp.Term-1)
	}
	return wrap("vote of", to, err)
}

// RequestPreVote asks a peer whether it would vote.
func (g *Group) RequestPreVote(
	_ raft.ServerID, to raft.ServerAddress, r *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	e := g.t.pacts.stands(&g.ballot, g.t.o.Self, r.Term)
	if !g.leadBy(to) && g.t.pacts.bound(&g.ballot, e, g.t.now()) > 0 {
		return wrap("pre-vote of", to, errPromised)
	}
	body, err := g.ask(askPreVote, to, encodePreVote(r), min(voteTime, g.t.o.Timeout))
	if err == nil {
		resp.Term, resp.Granted, err = decodeResponse(body)
	}
	if err == nil && resp.Granted { // a leader would not grant it
		g.t.pacts.isNoLeader(&g.ballot, raft.ServerID(to), r.Term-1)
	}
	return wrap("pre-vote of", to, err)
}

// HandOver says that this broker has stopped to answer for the group in term, for good: the peer that Raft then asks to stand, and the voters
// that this one asks, need not keep to their promises to this broker. Without it they do, and Raft's LeadershipTransfer takes a second longer.
//
// Whatever becomes of the transfer, the peer may still win an election in the next term, so nothing must be answered in this one any more: a
// broker that wants to go on leading is to be elected in a higher one (CallElection).
func (g *Group) HandOver(term uint64) { raise(&g.ballot.silent, term) }

// TimeoutNow asks a peer to stand for election. Raft does so to hand over the leadership, see HandOver.
func (g *Group) TimeoutNow(_ raft.ServerID, to raft.ServerAddress, _ *raft.TimeoutNowRequest, _ *raft.TimeoutNowResponse) error {
	_, err := g.ask(askTimeoutNow, to, appendUint64s(nil, g.ballot.silent.Load()), promiseFor+min(voteTime, g.t.o.Timeout))
	return wrap("election by", to, err)
}

// CallElection has the group's Raft stand for election, and returns at once. It is dropped where one is being called already, or where this
// broker has promised the group's leader not to, and that one lives. A leader that is told so steps down, and stands in a higher term.
//
// over: whoever has led the group in a term up to this has said himself that he does not any more, so no promise to him counts, here or
// with the voters. candidate: the term in which this Raft is a candidate, 0 where it is none: it would go on to wait for votes in that term,
// so it is first made a follower of the next.
func (g *Group) CallElection(over, candidate uint64) {
	if !g.calling.CompareAndSwap(false, true) {
		return
	}
	g.t.pacts.isOver(&g.ballot, over)
	h := rpcHeader(g.t.o.Self)
	r := &incoming{what: askTimeoutNow, command: &raft.TimeoutNowRequest{RPCHeader: h}}
	if candidate > 0 {
		r.first = &raft.RequestVoteRequest{RPCHeader: h, Candidate: h.Addr, Term: candidate + 1, LeadershipTransfer: true} // without a log: not granted
	}
	g.push(r)
}

// leadBy says whether a broker is the one that this one takes for the leader.
func (g *Group) leadBy(id raft.ServerAddress) bool {
	k := g.ballot.known.Load()
	return k != nil && k.id == raft.ServerID(id)
}

// await waits for the end of a promise that keeps this broker from helping a candidate, if the leader does not renew it.
func (g *Group) await(e election) error {
	bound := func() time.Duration { return g.t.pacts.bound(&g.ballot, e, g.t.now()) }
	d := bound()
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.done:
		return ErrClosed
	case <-g.t.ctx.Done():
		return ErrClosed
	}
	if bound() > 0 { // it was renewed: the leader lives
		return errPromised
	}
	return nil
}

// admits says whether a request may be given to Raft. If not, it has been answered.
func (g *Group) admits(r *incoming) bool {
	var err error
	switch command := r.command.(type) {
	case *raft.RequestVoteRequest:
		err = g.await(r.election)
	case *raft.RequestPreVoteRequest:
		err = g.await(election{candidate: r.c.peer, term: command.Term})
	case *raft.TimeoutNowRequest:
		if r.c == nil || !g.t.pacts.called(&g.ballot, r.c.peer, r.election.term) {
			err = g.await(g.t.pacts.stands(&g.ballot, g.t.o.Self, 0))
		}
	}
	if err != nil {
		r.refuse(codeFailed, err.Error())
	}
	return err == nil
}

// settles looks at what Raft has answered, and takes back what must not be said any more: a vote, an acknowledgement.
func (g *Group) settles(r *incoming, a *raft.RPCResponse) {
	ps, b := g.t.pacts, &g.ballot
	switch resp := a.Response.(type) {
	case *raft.AppendEntriesResponse:
		if r.term() == resp.Term {
			if later := ps.follows(b, r.c.peer, r.c.pact, resp.Term); later > 0 { // as Raft would answer by now
				resp.Term, resp.Success, resp.NoRetryBackoff = later, false, false
			}
		}
	case *raft.InstallSnapshotResponse:
		if r.term() == resp.Term {
			ps.follows(b, r.c.peer, r.c.pact, resp.Term)
		}
	case *raft.RequestVoteResponse:
		if resp.Granted && !ps.helps(b, r.election, g.t.now()) {
			resp.Granted = false
		}
		if led := b.led.Load(); resp.Term > led { // Raft is in a later term: it does not lead in that one
			ps.resigns(b, led)
		}
	case *raft.RequestPreVoteResponse:
		if resp.Granted { // so it leads in none
			ps.resigns(b, b.led.Load())
		}
	}
}

// term is the one that a leader's request is of.
func (r *incoming) term() uint64 {
	switch command := r.command.(type) {
	case *raft.AppendEntriesRequest:
		return command.Term
	case *raft.InstallSnapshotRequest:
		return command.Term
	}
	return 0
}
