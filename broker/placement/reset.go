package placement

import (
	"context"
	"encoding/json"
	"fmt"
)

// callReset tells a broker that its fenced replica is out of the group. It answers when an empty one has been opened.
func (k *Keeper) callReset(ctx context.Context, to ServerID, id ID) error {
	reason := k.options.Peers.Fenced()[Replica{to, id}]
	if reason == "" {
		return fmt.Errorf("%w: %s of %s", ErrNotFenced, id, to)
	}
	_, err := k.options.Peers.CallReset(ctx, to, encode(resetCall{nameOf(id), reason}))
	return err
}

// HandleReset answers a leader that has removed this broker's fenced replica from the group (transport.MethodReset). Only
// the broker that is known to lead the partition is obeyed.
func (k *Keeper) HandleReset(ctx context.Context, from ServerID, body []byte) ([]byte, error) {
	var call resetCall
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedCall, err)
	}
	leader, ok := BrokerOf(from)
	if !ok || k.options.Peers.Leader(call.id()) != leader {
		return nil, fmt.Errorf("%w: %s does not lead %s as far as is known here", ErrNoLeader, from, call.id())
	}
	if err := k.options.Groups.Reset(ctx, call.id(), call.Reason); err != nil {
		return nil, fmt.Errorf("reset the replica of %s: %w", call.id(), err)
	}
	k.options.Logger.Warn("a fenced replica begins anew", "group", call.id().String(), "reason", call.Reason, "leader", from)
	return nil, nil
}
