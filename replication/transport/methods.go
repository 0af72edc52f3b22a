package transport

import (
	"context"
	"errors"

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
)

var (
	// ErrNoMethod: the other broker has no handler for the method, or not yet.
	ErrNoMethod = errors.New("the other broker does not answer this method")
	// ErrUnreachable: no connection to the broker could be had, so the call has not been sent.
	ErrUnreachable = errors.New("broker cannot be reached")
)

// RemoteError is the error of the other broker's handler.
type RemoteError struct{ Message string }

func (e *RemoteError) Error() string { return e.Message }

var errUnbuilt = errors.New("not built yet")

// Handler answers a call. Body and answer have up to 8 MiB; the body is the handler's for good. ctx ends when the caller no longer waits, as far as that is known.
type Handler func(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error)

// Handle sets the handler of a method, at any time.
func (t *Transport) Handle(Method, Handler) {}

// Call asks a broker and waits for its answer; asking oneself calls the handler.
//
// Errors: *RemoteError of the handler, ErrNoMethod, ErrBusy, ErrUnreachable (it was not sent), ErrBroken (it may have been served), ErrClosed, or that of ctx.
func (t *Transport) Call(context.Context, raft.ServerID, Method, []byte) ([]byte, error) {
	return nil, errUnbuilt
}

// SetCluster tells the cluster's id, where Options left it open. Only the first call counts.
func (t *Transport) SetCluster(string) {}

// Probe asks whoever listens at addr, of this cluster or another, a single question of up to 64 KiB, and tells who answered; that may be this broker itself.
func (t *Transport) Probe(context.Context, string, []byte) (from raft.ServerID, reply []byte, err error) {
	return "", nil, errUnbuilt
}
