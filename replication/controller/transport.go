package controller

import (
	"errors"
	"io"
	"strconv"

	"github.com/hashicorp/raft"
)

// errAlone should never be seen: a lone voter has nobody to call.
var errAlone = errors.New("the controller group has one member")

// aloneTransport is the transport of a lone voter: nothing comes in, nothing goes out, and no port is needed. Its address is the
// broker id, which is why a broker may restart under any other address.
type aloneTransport struct {
	addr raft.ServerAddress
	rpcs chan raft.RPC // nobody sends
}

func newAloneTransport(broker int32) *aloneTransport {
	return &aloneTransport{addr: serverAddress(broker), rpcs: make(chan raft.RPC)}
}

// serverAddress is how the controller group names a broker's address; the transport resolves it.
func serverAddress(broker int32) raft.ServerAddress {
	return raft.ServerAddress(strconv.Itoa(int(broker)))
}

// serverID names one life of a broker's data directory, so that a broker that lost it never votes as itself.
func serverID(broker int32, incarnation string) raft.ServerID {
	return raft.ServerID(strconv.Itoa(int(broker)) + "-" + incarnation)
}

func (t *aloneTransport) Consumer() <-chan raft.RPC              { return t.rpcs }
func (t *aloneTransport) LocalAddr() raft.ServerAddress          { return t.addr }
func (t *aloneTransport) SetHeartbeatHandler(func(rpc raft.RPC)) {}

func (t *aloneTransport) EncodePeer(_ raft.ServerID, addr raft.ServerAddress) []byte {
	return []byte(addr)
}

func (t *aloneTransport) DecodePeer(b []byte) raft.ServerAddress { return raft.ServerAddress(b) }

func (t *aloneTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, errAlone
}

func (t *aloneTransport) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest,
	*raft.AppendEntriesResponse) error {
	return errAlone
}

func (t *aloneTransport) RequestVote(raft.ServerID, raft.ServerAddress, *raft.RequestVoteRequest,
	*raft.RequestVoteResponse) error {
	return errAlone
}

func (t *aloneTransport) InstallSnapshot(raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest,
	*raft.InstallSnapshotResponse, io.Reader) error {
	return errAlone
}

func (t *aloneTransport) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest,
	*raft.TimeoutNowResponse) error {
	return errAlone
}
