package interop

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupCases are consumer groups: every key at every version, requests that are out of place, and replays of old ones. Each case has groups of its own.
func groupCases() []refereeCase {
	cases := []refereeCase{{"groups: the first one", []step{
		{req: findCoordinator("first"), until: "ErrorCode=0 ErrorCode=0"},
		{req: groupHeartbeat("first", func(*peer, *kmsg.HeartbeatRequest) {}), until: "ErrorCode=25"},
	}}}
	for _, more := range [][]refereeCase{
		groupVersionCases(), joinCases(), memberCases(), staticMemberCases(), commitCases(), groupReadCases(), groupDeleteCases(), modernCases(),
		modernMemberCases(), crossedCases(),
	} {
		cases = append(cases, more...)
	}
	return cases
}

func findCoordinator(group string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.SetVersion(4)
		req.CoordinatorKey, req.CoordinatorKeys = group, []string{group}
		return req
	}
}

// join is of a member of the protocol range; it has the id it was given last.
func join(group string, change func(p *peer, r *kmsg.JoinGroupRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrJoinGroupRequest()
		req.SetVersion(9)
		req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = group, 10000, 10000, "consumer"
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("odd")}}
		req.MemberID = p.member
		change(p, req)
		return req
	}
}

// subscription is the metadata of a consumer that reads one topic.
func subscription(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = []string{topic}
	return m.AppendTo(nil)
}

func newMember(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID = "" }

func syncGroup(group string, change func(p *peer, r *kmsg.SyncGroupRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrSyncGroupRequest()
		req.SetVersion(5)
		req.Group, req.Generation, req.MemberID = group, p.generation, p.member
		req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: p.member, MemberAssignment: []byte{0, 0}}}
		change(p, req)
		return req
	}
}

func groupHeartbeat(group string, change func(p *peer, r *kmsg.HeartbeatRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrHeartbeatRequest()
		req.SetVersion(4)
		req.Group, req.Generation, req.MemberID = group, p.generation, p.member
		change(p, req)
		return req
	}
}

func leave(group string, members ...func(p *peer) kmsg.LeaveGroupRequestMember) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.SetVersion(5)
		req.Group, req.MemberID = group, p.member
		for _, m := range members {
			req.Members = append(req.Members, m(p))
		}
		return req
	}
}

// memberNamed is a member that leaves, by its id or as a static one.
func memberNamed(id string, instance *string) func(p *peer) kmsg.LeaveGroupRequestMember {
	return func(*peer) kmsg.LeaveGroupRequestMember {
		return kmsg.LeaveGroupRequestMember{MemberID: id, InstanceID: instance}
	}
}

func self(p *peer) kmsg.LeaveGroupRequestMember {
	return kmsg.LeaveGroupRequestMember{MemberID: p.member}
}

// commit is of offset 5 of the topic odd, from outside of any membership.
func commit(group string, change func(p *peer, r *kmsg.OffsetCommitRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.SetVersion(9)
		req.Group, req.Generation, req.RetentionTimeMillis = group, -1, -1
		rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		rt.Topic, rt.TopicID, rp.Offset, rp.Metadata = "odd", p.id, 5, kmsg.StringPtr("note")
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		change(p, req)
		return req
	}
}

func unchanged[R any](*peer, R) {}

func fetchOffsets(group string, change func(p *peer, g *kmsg.OffsetFetchRequestGroup)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.SetVersion(9)
		g, gt := kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroupTopic()
		gt.Topic, gt.TopicID, gt.Partitions = "odd", p.id, []int32{0, 1}
		g.Group, g.Topics = group, append(g.Topics, gt)
		change(p, &g)
		req.Groups = append(req.Groups, g)
		req.Group = group
		req.Topics = append(req.Topics, kmsg.OffsetFetchRequestTopic{Topic: "odd", Partitions: []int32{0, 1}})
		return req
	}
}

func describeGroups(groups ...string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.SetVersion(6)
		req.Groups = groups
		return req
	}
}

func deleteGroups(groups ...string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.SetVersion(2)
		req.Groups = groups
		return req
	}
}

func deleteOffsets(group, topic string, partitions ...int32) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		rt := kmsg.NewOffsetDeleteRequestTopic()
		rt.Topic = topic
		for _, n := range partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: n})
		}
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func listGroups(states, types []string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrListGroupsRequest()
		req.SetVersion(5)
		req.StatesFilter, req.TypesFilter = states, types
		return req
	}
}

// joined are the steps that make one member the whole of a group of the classic protocol, which is stable then.
func joined(group string, then ...step) []step {
	return append([]step{
		send(join(group, newMember)), send(join(group, unchanged)), send(syncGroup(group, unchanged)),
	}, then...)
}

func groupVersionCases() []refereeCase {
	var cases []refereeCase
	for _, c := range []struct {
		name        string
		first, last int16
		of          func(group string) request
	}{
		{"find coordinator", 0, 6, findCoordinator},
		{"join", 0, 9, func(g string) request { return join(g, newMember) }},
		{"sync an unknown group", 0, 5, func(g string) request { return syncGroup(g, unchanged) }},
		{"heartbeat to an unknown group", 0, 4, func(g string) request { return groupHeartbeat(g, unchanged) }},
		{"leave an unknown group", 0, 5, func(g string) request { return leave(g, self) }},
		{"commit", 2, 10, func(g string) request { return commit(g, unchanged) }},
		{"offsets of an unknown group", 1, 10, func(g string) request { return fetchOffsets(g, unchanged) }},
		{"describe an unknown group", 0, 6, func(g string) request { return describeGroups(g) }},
		{"delete an unknown group", 0, 2, func(g string) request { return deleteGroups(g) }},
		{"list groups", 0, 5, func(string) request { return listGroups([]string{"Dead"}, nil) }},
		{"consumer heartbeat", 0, 1, func(g string) request { return modern(g, unchanged) }},
		{"consumer describe", 0, 1, func(g string) request { return describeModern(g) }},
	} {
		for v := c.first; v <= c.last; v++ {
			name := fmt.Sprintf("%s, version %d", c.name, v)
			if c.name == "list groups" && v < 4 {
				continue // without filters the answer is of all groups
			}
			cases = append(cases, one(name, at(v, c.of(strings.ReplaceAll(name, " ", "-")))))
		}
	}
	return cases
}

func joinCases() []refereeCase {
	form := func(name string, change func(p *peer, r *kmsg.JoinGroupRequest)) refereeCase {
		return one("join: "+name, join("join-"+name, func(p *peer, r *kmsg.JoinGroupRequest) {
			r.MemberID = ""
			change(p, r)
		}))
	}
	return []refereeCase{
		form("empty group id", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Group = "" }),
		form("group id of 249", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("g", 249) }),
		form("group id of 30000", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Group = strings.Repeat("g", 30000) }),
		form("session too short", func(_ *peer, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 }),
		form("session too long", func(_ *peer, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800001 }),
		form("session longest", func(_ *peer, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1800000 }),
		form("session 0", func(_ *peer, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 0 }),
		form("session -1", func(_ *peer, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 }),
		form("rebalance timeout -1", func(_ *peer, r *kmsg.JoinGroupRequest) { r.RebalanceTimeoutMillis = -1 }),
		form("unknown member", func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" }),
		form("no protocols", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols = nil }),
		form("no protocol type", func(_ *peer, r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }),
		form("protocol without a name", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "" }),
		form("protocol twice", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols = append(r.Protocols, r.Protocols[0]) }),
		form("garbage metadata", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte{1} }),
		form("giant metadata", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = make([]byte, 500_000) }),
		form("empty instance id", func(_ *peer, r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr("") }),
		form("instance id that cannot be", func(_ *peer, r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr("a/b") }),
		form("unknown static member", func(_ *peer, r *kmsg.JoinGroupRequest) {
			r.MemberID, r.InstanceID = "nobody", kmsg.StringPtr("one")
		}),
		form("instance id of 300", func(_ *peer, r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr(strings.Repeat("i", 300)) }),
	}
}
