package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ControllerGroup is the Raft group of the cluster's metadata.
var ControllerGroup = GroupID{Partition: -1}

// Method is what a call to another broker asks for.
type Method byte

// What brokers ask of each other beside Raft.
const (
	MethodGossip Method = iota + 1
	MethodStates
	MethodElect
	MethodCommand
	MethodJoin
	MethodManifest
	MethodRead
	MethodReset
	MethodTransfer
	MethodReplicas

	lastMethod = MethodReplicas
)

// String names the method for errors.
func (m Method) String() string {
	names := [...]string{"", "gossip", "states", "elect", "command", "join", "manifest", "read", "reset", "transfer", "replicas"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("method %d", byte(m))
}

var (
	// ErrNoMethod: the other broker has no handler for the method, or not yet.
	ErrNoMethod = errors.New("the other broker does not answer this method")
	// ErrUnreachable: no connection to the broker could be had, so the call has not been sent.
	ErrUnreachable = errors.New("broker cannot be reached")
)

// RemoteError is the error of the other broker's handler.
type RemoteError struct{ Message string }

func (e *RemoteError) Error() string { return e.Message }

// Handler answers a call, on a goroutine of its own; see Call for the limits. The body is the handler's for good. ctx ends at the caller's
// deadline, and when the connection or the transport ends. A caller sees the first KiB of an error's text.
type Handler func(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error)
