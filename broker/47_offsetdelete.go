package broker

import "context"

// OffsetDelete (47), version 0 (KIP-496).

func startOffsetDelete(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
