package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// ErrIDInUse is told to a broker whose id another one has that is alive. Its own former life counts as alive for about a second.
var ErrIDInUse = errors.New("another broker has this id and is running")

// JoinRequest is a body for HandleJoin of any broker of the cluster: self with its incarnation, and the address where the others reach it.
func JoinRequest(self Broker) ([]byte, error) {
	if err := self.check(); err != nil {
		return nil, err
	}
	return json.Marshal(self)
}

// HandleJoin registers a broker: a new one, or one with a new incarnation, address or rack. It returns when that is committed; the controller
// then takes it into its group. ErrIDInUse; ErrTimeout when there is no controller until ctx ends.
func (c *Controller) HandleJoin(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error) {
	var b Broker
	if err := strictJSON(body, &b); err != nil {
		return nil, fmt.Errorf("join request of %s: %w", from, err)
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("join request of %s: %w", from, err)
	}
	switch {
	case b.RPCAddr == "":
		return nil, fmt.Errorf("join request of %s: it does not say where it is reached", from)
	case serverID(b.ID, b.Incarnation) != from:
		return nil, fmt.Errorf("join request of %s: it is for broker %d, incarnation %s", from, b.ID, b.Incarnation)
	case c.Image().Brokers[b.ID] == b:
		c.poke()
		return nil, nil
	}
	if err := c.mayRegister(b); err != nil {
		return nil, err
	}
	_, err := c.propose(ctx, &registerBroker{Broker: b})
	c.poke()
	return nil, err
}

// mayRegister refuses a broker that would take the place of one that is alive.
func (c *Controller) mayRegister(b Broker) error {
	if err := b.check(); err != nil {
		return err
	}
	old, known := c.Image().Brokers[b.ID]
	if known && old.Incarnation != b.Incarnation && c.alive(serverID(old.ID, old.Incarnation)) {
		return fmt.Errorf("%w: %d, at %s; give the new one an id of its own", ErrIDInUse, b.ID, old.RPCAddr)
	}
	return nil
}

func (c *Controller) alive(id raft.ServerID) bool { return id == c.store.server || c.o.Alive(id) }

// Ready waits for an image that has all that this broker has ever seen, and in which it is registered; it registers itself anew where an address
// or its rack is another one now. A broker that the cluster does not know must be introduced by HandleJoin. ErrTimeout when ctx ends
// first; ErrIDInUse.
func (c *Controller) Ready(ctx context.Context) error {
	timer := time.NewTicker(retryAfter)
	defer timer.Stop()
	for {
		i := c.Image()
		if i.ClusterID != "" && i.Version >= c.store.known.index.Load() {
			if i.Brokers[c.o.Self.ID] == c.o.Self {
				return nil
			}
			if _, known := i.Brokers[c.o.Self.ID]; known {
				_, err := c.propose(ctx, &registerBroker{Broker: c.o.Self})
				return err
			}
		}
		select {
		case <-c.Changed(i):
		case <-timer.C: // a truncation of the log changes no image
		case <-c.fsm.stopped:
			return c.fsm.stopErr
		case <-c.closed:
			return fmt.Errorf("%w: it is closing", ErrNotController)
		case <-ctx.Done():
			return timeout(ctx)
		}
	}
}
