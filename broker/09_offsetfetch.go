package broker

import "context"

// OffsetFetch (9), versions 1 to 10; Kafka 4 has no older one. 2: null for all topics, an error for the whole. 5: leader epochs. 6: flexible. 7: stable offsets
// only, which without transactions all are. 8: several groups (KIP-709). 9: the member and its epoch. 10: topics by id.

func startOffsetFetch(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
