package consumergroup

import (
	"fmt"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupBytes is about what a group holds in memory before it has members or offsets.
const groupBytes = 1 << 10

// membersShare is the part of MaxBytes, as a divisor, that is kept for those who are members already: their groups go on where strangers have
// taken the rest.
const membersShare = 4

// measure brings the sum of what groups hold in line with what this one holds now.
func (r *registry) measure(g *group) {
	n := groupBytes + len(g.id) + g.offsets.Bytes()
	if g.consumer != nil {
		n += g.consumer.Bytes()
	} else {
		n += g.classic.Bytes()
	}
	r.c.bytes.Add(int64(n) - g.bytes)
	g.bytes = int64(n)
}

// room says whether groups may hold n bytes more: COORDINATOR_NOT_AVAILABLE, which clients try again, where they may not. A newcomer may less.
func (r *registry) room(n int, newcomer bool) error {
	limit := r.c.o.MaxBytes
	if limit <= 0 || n <= 0 {
		return nil
	}
	if newcomer {
		limit -= limit / membersShare
	}
	held := r.c.bytes.Load()
	if held+int64(n) <= limit {
		if held < limit/2 {
			r.c.full.Store(false)
		}
		return nil
	}
	if r.c.full.CompareAndSwap(false, true) {
		r.c.log.Warn("group coordinator: groups hold as much memory as they may, members and offsets are refused", "bytes", held, "limit", limit)
	}
	return fmt.Errorf("groups hold %d bytes, %d more are above %d: %w", held, n, limit, kerr.CoordinatorNotAvailable)
}

// joinRoom is room for a join: what a member offers already may stay.
func (r *registry) joinRoom(g *group, req *kmsg.JoinGroupRequest) error {
	had := 0
	if g != nil && g.consumer == nil {
		had = g.classic.MemberBytes(req.MemberID)
	}
	return r.room(weight(req)-had, req.MemberID == "")
}

// syncRoom is room for the assignments of a sync, which take the place of those before.
func (r *registry) syncRoom(g *group, req *kmsg.SyncGroupRequest) error {
	if len(req.GroupAssignment) == 0 || g.consumer != nil {
		return nil
	}
	return r.room(weight(req)-weightBase-g.classic.AssignedBytes(), false)
}

// heartbeatRoom is room for what a member of the new protocol says about itself.
func (r *registry) heartbeatRoom(req *kmsg.ConsumerGroupHeartbeatRequest) error {
	if req.MemberEpoch < 0 || req.MemberEpoch > 0 && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil {
		return nil
	}
	return r.room(weight(req), req.MemberEpoch == 0)
}

// commitRoom is room for offsets. They replace what was committed before, so that members of a group go on committing where there is none.
func (r *registry) commitRoom(g *group, req *kmsg.OffsetCommitRequest, commits []*journal.OffsetCommit) error {
	if r.room(weight(req), true) == nil {
		return nil
	}
	n := 0
	for _, e := range commits {
		n += g.offsets.Growth(e)
	}
	return r.room(n, req.Generation < 0)
}
