package broker

import (
	"bytes"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// JoinGroup (11), versions 0 to 9. 1: the time for rebalances. 4: MEMBER_ID_REQUIRED (KIP-394). 5: static members (KIP-345). 6: flexible. 7: the protocol's
// type and name in the response. 8: reasons. 9: whether the leader need not assign. It is answered when the others have joined too, or their time is over.

func startJoinGroup(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.JoinGroupRequest)
	size := waitingBase
	for i := range req.Protocols {
		p := &req.Protocols[i]
		p.Metadata = bytes.Clone(p.Metadata)
		size += waitingItem + len(p.Name) + len(p.Metadata)
	}
	return b.startGroupWait(r, size)
}
