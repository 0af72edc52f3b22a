package controller

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
)

// errAlone should never be seen: a lone voter has nobody to call.
var errAlone = errors.New("the controller group has one member")

// serverID names one life of a broker's data directory, so that a broker that lost it never votes as itself.
func serverID(broker int32, incarnation string) raft.ServerID {
	return raft.ServerID(strconv.Itoa(int(broker)) + "-" + incarnation)
}

// serverOf is a voter of the group. As in the transport between brokers its address is its server id.
func serverOf(b Broker) raft.Server {
	id := serverID(b.ID, b.Incarnation)
	return raft.Server{ID: id, Address: raft.ServerAddress(id)}
}

// network is what Raft sees of Options.Transport. It calls peers by their server id, whatever address the group's configuration has for
// them: directories of a broker that ran alone have the broker id there.
type network struct {
	raft.Transport
	between
	basic bool // between does nothing
	self  raft.ServerID
}

// between is what a *transport.Group can do and raft.Transport does not ask for.
type between interface {
	Match(raft.ServerID) (index uint64, at time.Time)
	Committed(index uint64)
	CallElection(over, candidate uint64)
}

var (
	_ between          = (*transport.Group)(nil)
	_ raft.WithPreVote = (*network)(nil)
	_ raft.WithClose   = (*network)(nil)
)

// basic is a transport that has nothing but what raft.Transport asks for, as that of a broker alone, or of a test.
type basic struct{}

func (basic) Match(raft.ServerID) (uint64, time.Time) { return 0, time.Time{} }
func (basic) Committed(uint64)                        {}
func (basic) CallElection(uint64, uint64)             {}

func newNetwork(t raft.Transport, self raft.ServerID) *network {
	if t == nil {
		t = aloneTransport{}
	}
	n := &network{Transport: t, self: self}
	if b, ok := t.(between); ok {
		n.between = b
	} else {
		n.between, n.basic = basic{}, true
	}
	return n
}

// handOver says that this broker is done with what it did as the leader in term. Only then others vote while it is alive.
func (n *network) handOver(term uint64) {
	if t, ok := n.Transport.(interface{ HandOver(term uint64) }); ok {
		t.HandOver(term)
	}
}

func (n *network) LocalAddr() raft.ServerAddress { return raft.ServerAddress(n.self) }

func (n *network) EncodePeer(id raft.ServerID, _ raft.ServerAddress) []byte { return []byte(id) }
func (n *network) DecodePeer(b []byte) raft.ServerAddress                   { return raft.ServerAddress(b) }

func (n *network) AppendEntriesPipeline(id raft.ServerID, _ raft.ServerAddress) (raft.AppendPipeline, error) {
	return n.Transport.AppendEntriesPipeline(id, raft.ServerAddress(id))
}

func (n *network) AppendEntries(id raft.ServerID, _ raft.ServerAddress, r *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	return n.Transport.AppendEntries(id, raft.ServerAddress(id), r, resp)
}

func (n *network) RequestVote(id raft.ServerID, _ raft.ServerAddress, r *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return n.Transport.RequestVote(id, raft.ServerAddress(id), r, resp)
}

// RequestPreVote makes network a raft.WithPreVote.
func (n *network) RequestPreVote(
	id raft.ServerID, _ raft.ServerAddress, r *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	t, ok := n.Transport.(raft.WithPreVote)
	if !ok {
		return errors.New("the transport has no pre-votes")
	}
	return t.RequestPreVote(id, raft.ServerAddress(id), r, resp)
}

func (n *network) InstallSnapshot(
	id raft.ServerID, _ raft.ServerAddress, r *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader,
) error {
	return n.Transport.InstallSnapshot(id, raft.ServerAddress(id), r, resp, data)
}

func (n *network) TimeoutNow(id raft.ServerID, _ raft.ServerAddress, r *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return n.Transport.TimeoutNow(id, raft.ServerAddress(id), r, resp)
}

// Close makes network a raft.WithClose.
func (n *network) Close() error {
	if t, ok := n.Transport.(raft.WithClose); ok {
		return t.Close()
	}
	return nil
}

// aloneTransport is the transport of a lone voter: nothing comes in, nothing goes out, and no port is needed.
type aloneTransport struct{ raft.Transport }

func (aloneTransport) Consumer() <-chan raft.RPC              { return nil } // nobody sends
func (aloneTransport) SetHeartbeatHandler(func(rpc raft.RPC)) {}

func (aloneTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, errAlone
}

func (aloneTransport) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error {
	return errAlone
}

func (aloneTransport) RequestVote(raft.ServerID, raft.ServerAddress, *raft.RequestVoteRequest, *raft.RequestVoteResponse) error {
	return errAlone
}

func (aloneTransport) InstallSnapshot(
	raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader,
) error {
	return errAlone
}

func (aloneTransport) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return errAlone
}
