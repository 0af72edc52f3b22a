package replication

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"
)

var errNoPeers = errors.New("a group of one voter has no peers")

// loneTransport is the transport of a group that has no peers. Its address is the server id, so a single broker leads its
// partitions whatever address it listens on.
type loneTransport struct {
	self raft.ServerAddress
	rpcs chan raft.RPC
}

func newLoneTransport(self ServerID) *loneTransport {
	return &loneTransport{self: raft.ServerAddress(self), rpcs: make(chan raft.RPC, 1)}
}

// callElection makes the group stand for election at once. It must follow, not lead.
func (t *loneTransport) callElection() {
	header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(t.self), Addr: []byte(t.self)}
	rpc := raft.RPC{Command: &raft.TimeoutNowRequest{RPCHeader: header}, RespChan: make(chan raft.RPCResponse, 1)}
	select {
	case t.rpcs <- rpc:
	default: // one is waiting already
	}
}

func (t *loneTransport) Consumer() <-chan raft.RPC          { return t.rpcs }
func (t *loneTransport) LocalAddr() raft.ServerAddress      { return t.self }
func (t *loneTransport) SetHeartbeatHandler(func(raft.RPC)) {}

func (t *loneTransport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }
func (t *loneTransport) DecodePeer(b []byte) raft.ServerAddress                  { return raft.ServerAddress(b) }

func (t *loneTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, errNoPeers
}

func (t *loneTransport) AppendEntries(raft.ServerID, raft.ServerAddress, *raft.AppendEntriesRequest, *raft.AppendEntriesResponse) error {
	return errNoPeers
}

func (t *loneTransport) RequestVote(raft.ServerID, raft.ServerAddress, *raft.RequestVoteRequest, *raft.RequestVoteResponse) error {
	return errNoPeers
}

func (t *loneTransport) RequestPreVote(
	raft.ServerID, raft.ServerAddress, *raft.RequestPreVoteRequest, *raft.RequestPreVoteResponse,
) error {
	return errNoPeers
}

func (t *loneTransport) InstallSnapshot(
	raft.ServerID, raft.ServerAddress, *raft.InstallSnapshotRequest, *raft.InstallSnapshotResponse, io.Reader,
) error {
	return errNoPeers
}

func (t *loneTransport) TimeoutNow(raft.ServerID, raft.ServerAddress, *raft.TimeoutNowRequest, *raft.TimeoutNowResponse) error {
	return errNoPeers
}
