package broker

import "context"

// LeaveGroup (13), versions 0 to 5. 3: several members, static ones too (KIP-345). 4: flexible. 5: reasons.

func startLeaveGroup(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
