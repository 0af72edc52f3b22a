package transport

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// What a request asks for, and its body:
//
//	vote         term, last index, last term (8 each), flags (1): 1 whatever leader there is, 2 it has asked for that; up to which term leaders
//	             have said that they lead no more (8); replied with term (8), granted (1)
//	pre-vote     term, last index, last term (8 each); replied with the same
//	timeout now  the term in which the sender has led and stopped to answer, 0 if it has not (8); replied with nothing
//	install      term, last index, last term, index of the configuration (8 each), configuration; replied with term (8), done (1)
//	snapshot     of the controller, on a bulk connection: the same with the length of the configuration (4) before it, and the data after it
const (
	askVote byte = iota + 1
	askPreVote
	askTimeoutNow
	askInstall
	askSnapshot // becomes askInstall where it comes in
)

// rpcHeader says who sent a message: whom the handshake has shown to be at the other end.
func rpcHeader(from raft.ServerID) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(from), Addr: []byte(from)}
}

func appendUint64s(b []byte, vs ...uint64) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// The flags of a vote.
const (
	flagAnyLeader = 1 // the library's LeadershipTransfer: it is set for every election that was called
	flagTransfer  = 2 // the leader has called this one, and stopped to answer before
)

func encodeVote(r *raft.RequestVoteRequest, e *election) []byte {
	flags := boolByte(r.LeadershipTransfer)*flagAnyLeader | boolByte(e.transfer)*flagTransfer
	return appendUint64s(append(appendUint64s(nil, r.Term, r.LastLogIndex, r.LastLogTerm), flags), e.over)
}

// electionOf is that of a request for a vote, or the term of a timeout now, that decodeCommand has passed.
func electionOf(from raft.ServerID, r *request) (e election) {
	switch b := r.body; r.what {
	case askVote:
		e = election{from, binary.BigEndian.Uint64(b), b[24]&flagTransfer != 0, binary.BigEndian.Uint64(b[25:])}
	case askTimeoutNow:
		e.term = binary.BigEndian.Uint64(b)
	}
	return e
}

func encodePreVote(r *raft.RequestPreVoteRequest) []byte {
	return appendUint64s(nil, r.Term, r.LastLogIndex, r.LastLogTerm)
}

var errInstallData = errors.New("a checkpoint is sent without data: its files are pulled")

func encodeInstall(r *raft.InstallSnapshotRequest) ([]byte, error) {
	if r.Size != 0 {
		return nil, fmt.Errorf("%w, not %d bytes", errInstallData, r.Size)
	}
	return append(appendUint64s(nil, r.Term, r.LastLogIndex, r.LastLogTerm, r.ConfigurationIndex), r.Configuration...), nil
}

// encodeSnapshot encodes an install but for the data, which follow.
func encodeSnapshot(r *raft.InstallSnapshotRequest) []byte {
	b := appendUint64s(nil, r.Term, r.LastLogIndex, r.LastLogTerm, r.ConfigurationIndex)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(r.Configuration))), r.Configuration...)
}

// decodeCommand turns a request into what Raft is given, and the data of a snapshot.
func decodeCommand(from raft.ServerID, r *request) (command any, data []byte, err error) {
	if r.what != askSnapshot {
		command, err = decodeSmall(from, r.what, r.body)
		return command, nil, err
	}
	b := r.body
	if len(b) < 36 || r.group != ControllerGroup {
		return nil, nil, fmt.Errorf("%w: snapshot of group %v with %d bytes", errFrame, r.group, len(b))
	}
	n := uint64(binary.BigEndian.Uint32(b[32:]))
	if n > uint64(len(b)-36) {
		return nil, nil, fmt.Errorf("%w: snapshot: configuration of %d bytes, %d left", errFrame, n, len(b)-36)
	}
	data = b[36+n:]
	r.what = askInstall
	if command, err = decodeSmall(from, askInstall, append(b[:32:32], b[36:36+n]...)); err != nil {
		return nil, nil, err
	}
	command.(*raft.InstallSnapshotRequest).Size = int64(len(data))
	return command, data, nil
}

func decodeSmall(from raft.ServerID, what byte, b []byte) (any, error) {
	want := map[byte]int{askVote: 33, askPreVote: 24, askTimeoutNow: 8, askInstall: 32}
	n, known := want[what]
	if !known || len(b) < n || len(b) > n && what != askInstall {
		return nil, fmt.Errorf("%w: request %d with %d bytes", errFrame, what, len(b))
	}
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[8*at:]) }
	h := rpcHeader(from)
	switch what {
	case askVote:
		return &raft.RequestVoteRequest{
			RPCHeader: h, Term: u64(0), Candidate: h.Addr, LastLogIndex: u64(1), LastLogTerm: u64(2), LeadershipTransfer: b[24]&flagAnyLeader != 0,
		}, nil
	case askPreVote:
		return &raft.RequestPreVoteRequest{RPCHeader: h, Term: u64(0), LastLogIndex: u64(1), LastLogTerm: u64(2)}, nil
	case askTimeoutNow:
		return &raft.TimeoutNowRequest{RPCHeader: h}, nil
	}
	if _, err := DecodeConfiguration(b[32:]); err != nil {
		return nil, fmt.Errorf("%w: install: configuration: %w", errFrame, err)
	}
	return &raft.InstallSnapshotRequest{
		RPCHeader: h, SnapshotVersion: raft.SnapshotVersionMax, Term: u64(0), Leader: h.Addr, LastLogIndex: u64(1), LastLogTerm: u64(2),
		ConfigurationIndex: u64(3), Configuration: b[32:],
	}, nil
}

// encodeResponse encodes what Raft has answered to a request.
func encodeResponse(response any) []byte {
	switch r := response.(type) {
	case *raft.RequestVoteResponse:
		return append(appendUint64s(nil, r.Term), boolByte(r.Granted))
	case *raft.RequestPreVoteResponse:
		return append(appendUint64s(nil, r.Term), boolByte(r.Granted))
	case *raft.InstallSnapshotResponse:
		return append(appendUint64s(nil, r.Term), boolByte(r.Success))
	}
	return nil
}

// decodeResponse decodes the body of a reply to anything but TimeoutNow.
func decodeResponse(b []byte) (term uint64, yes bool, err error) {
	if len(b) != 9 {
		return 0, false, fmt.Errorf("%w: response of %d bytes", errFrame, len(b))
	}
	return binary.BigEndian.Uint64(b), b[8] == 1, nil
}

// answerTo is the answer to an append.
func answerTo(seq uint32, r raft.RPCResponse) answer {
	resp, ok := r.Response.(*raft.AppendEntriesResponse)
	if r.Error != nil || !ok {
		return answer{seq: seq, code: codeFailed}
	}
	a := answer{seq: seq, code: codeRejected, term: resp.Term, last: resp.LastLog}
	switch {
	case resp.Success:
		a.code = codeOK
	case resp.NoRetryBackoff:
		a.code = codeMismatch
	}
	return a
}

// DecodeConfiguration is raft.DecodeConfiguration, which panics on what it cannot decode.
func DecodeConfiguration(b []byte) (c raft.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}
