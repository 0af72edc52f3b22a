package broker

import "context"

// OffsetCommit (8), versions 2 to 10; Kafka 4 has no older ones. 2 to 4: how long to keep the offsets. 6: leader epochs. 7: static members. 8: flexible.
// 9: the new protocol's member epoch in place of the generation. 10: topics by id.

func startOffsetCommit(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
