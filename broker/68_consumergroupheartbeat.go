package broker

import "context"

// ConsumerGroupHeartbeat (68), versions 0 and 1 (KIP-848). 1: a regular expression for topics, and members that make their ids themselves.

func startConsumerGroupHeartbeat(_ context.Context, b *Broker, r *request) finish {
	return b.startGroupCall(r)
}
