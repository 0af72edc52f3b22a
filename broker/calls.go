package broker

import (
	"context"
	"time"

	"github.com/quirelog/quire/broker/cluster"
	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/transport"
)

// calls are the other brokers, as the elector and the keeper see them.
type calls struct{ b *Broker }

var (
	_ cluster.Peers   = calls{}
	_ placement.Peers = calls{}
)

// handleCalls answers what other brokers ask. It is called once everything that answers is there.
func (b *Broker) handleCalls() {
	for m, h := range map[transport.Method]transport.Handler{
		transport.MethodGossip:   b.members.Leaders.HandleGossip,
		transport.MethodStates:   b.members.Elector.HandleStates,
		transport.MethodElect:    b.members.Elector.HandleElect,
		transport.MethodCommand:  b.controller.HandleCommand,
		transport.MethodJoin:     b.controller.HandleJoin,
		transport.MethodManifest: b.node.HandleManifest,
		transport.MethodRead:     b.node.HandleRead,
		transport.MethodReset:    b.keeper.HandleReset,
		transport.MethodTransfer: b.keeper.HandleTransfer,
		transport.MethodReplicas: b.keeper.HandleReplicas,
	} {
		b.transport.Handle(m, h)
	}
}

// Alive says whether a broker has answered lately.
func (c calls) Alive(id replication.ServerID) bool { return id == c.b.self || c.b.transport.Alive(id) }

// Promised is for how long this broker will not vote against a leader.
func (c calls) Promised(leader replication.ServerID) time.Duration {
	return c.b.transport.Promised(leader)
}

// Leader is the broker that leads a partition; -1: none is known.
func (c calls) Leader(id placement.ID) int32 { return c.b.leadOf(id).broker }

// Fenced are the replicas that brokers have told of as fenced.
func (c calls) Fenced() map[placement.Replica]string {
	fenced := map[placement.Replica]string{}
	for r, why := range c.b.members.Leaders.Fenced() {
		fenced[placement.Replica(r)] = why
	}
	return fenced
}

// Changed is closed at the next change of a leader or a fence, or of who is alive.
func (c calls) Changed() <-chan struct{} { return c.b.members.Leaders.Changed() }

func (c calls) CallGossip(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodGossip, body)
}

func (c calls) CallStates(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodStates, body)
}

func (c calls) CallElect(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodElect, body)
}

func (c calls) CallTransfer(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodTransfer, body)
}

func (c calls) CallReset(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodReset, body)
}

func (c calls) CallReplicas(ctx context.Context, to replication.ServerID, body []byte) ([]byte, error) {
	return c.b.transport.Call(ctx, to, transport.MethodReplicas, body)
}
