package broker

import "context"

// Heartbeat (12), versions 0 to 4. 3: static members. 4: flexible.

func startHeartbeat(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
