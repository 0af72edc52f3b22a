package broker

import "context"

// DeleteGroups (42), versions 0 to 3. 2: flexible. 3: error messages.

func startDeleteGroups(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
