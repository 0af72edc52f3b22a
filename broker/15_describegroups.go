package broker

import "context"

// DescribeGroups (15), versions 0 to 6. 3: authorized operations. 4: static members. 5: flexible. 6: an error message, and GROUP_ID_NOT_FOUND for a group
// that is not there, which before is one in state Dead.

func startDescribeGroups(_ context.Context, b *Broker, r *request) finish { return b.startGroupCall(r) }
