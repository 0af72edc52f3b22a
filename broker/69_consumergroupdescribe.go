package broker

import "context"

// ConsumerGroupDescribe (69), versions 0 and 1 (KIP-848). 1: the kind of each member, classic or of the new protocol.

func startConsumerGroupDescribe(_ context.Context, b *Broker, r *request) finish {
	return b.startGroupCall(r)
}
