package transport

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
)

// levelOfDial is how loud it is told that a broker could not be connected to. While brokers come and go nobody listens, the other side ends, or one of
// the two is in no cluster yet: who is watched and does not answer is told of once, by detect. What else is wrong is somebody's configuration.
func levelOfDial(err error) slog.Level {
	var network *net.OpError
	if !errors.Is(err, errNotLetIn) && errors.As(err, &network) {
		return slog.LevelDebug
	}
	return levelOfAccept(err)
}

// levelOfAccept is how loud it is told that a connection was refused: detail where a broker was too early, or its process ended.
func levelOfAccept(err error) slog.Level {
	if strings.Contains(err.Error(), errCluster.Error()) || errors.Is(err, io.EOF) && !errors.Is(err, errNotLetIn) { // as the other side spells it
		return slog.LevelDebug
	}
	return slog.LevelWarn
}

// saidOfPeers are messages of hashicorp/raft that say no more than that another server is away, or behind. It says them again at every attempt,
// in every group.
var saidOfPeers = map[string]bool{
	"failed to appendEntries to": true, "failed to heartbeat to": true, "failed to pipeline appendEntries": true,
	"failed to start pipeline replication to": true, "failed to make requestVote RPC": true, "failed to send snapshot to": true,
	"peer has newer term, stopping replication": true,
}

// SaidOfPeers says that a message of the library is such a one: detail, since the transport has told it already.
func SaidOfPeers(msg string) bool { return saidOfPeers[msg] }
