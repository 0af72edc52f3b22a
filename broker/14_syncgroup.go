package broker

import (
	"bytes"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SyncGroup (14), versions 0 to 5. 3: static members. 4: flexible. 5: the protocol's type and name. It is answered when the leader has assigned.

func startSyncGroup(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.SyncGroupRequest)
	size := waitingBase
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		a.MemberAssignment = bytes.Clone(a.MemberAssignment)
		size += waitingItem + len(a.MemberID) + len(a.MemberAssignment)
	}
	return b.startGroupWait(r, size)
}
