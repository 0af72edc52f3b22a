package broker

import "context"

// ListGroups (16), versions 0 to 5: the groups that this broker coordinates. 3: flexible. 4: by state (KIP-518). 5: by type (KIP-848).

func startListGroups(_ context.Context, b *Broker, r *request) finish {
	if b.groups.coordinator.Load() == nil {
		return answer(r.msg.ResponseKind()) // none has ever been
	}
	return b.startGroupCall(r)
}
