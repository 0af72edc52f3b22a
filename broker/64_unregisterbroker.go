package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// UnregisterBroker (64), version 0 (KIP-500): a broker that is gone for good is forgotten. It must have no replicas left; one that still runs
// registers again.

// unregisterTimeout is how long the change may take; the request has no time of its own.
const unregisterTimeout = defaultRequestTime

func startUnregisterBroker(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.UnregisterBrokerRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, unregisterTimeout)
		defer cancel()
		resp := req.ResponseKind().(*kmsg.UnregisterBrokerResponse)
		resp.ErrorCode, resp.ErrorMessage = errorFields(b.unregister(ctx, req.BrokerID))
		return reply{msg: resp}
	}
}

func (b *Broker) unregister(ctx context.Context, id int32) error {
	if b.alive(b.controller.Image(), id) {
		return fmt.Errorf("%w: broker %d is running: stop it first", errInvalidRequest, id)
	}
	return b.controller.UnregisterBroker(ctx, id)
}
