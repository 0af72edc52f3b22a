package interop

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// modern is the heartbeat by which a member joins a group of the new protocol (KIP-848).
func modern(group string, change func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.SetVersion(1)
		req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = group, "AAAAAAAAAAAAAAAAAAAAAQ", 0, 10000
		req.SubscribedTopicNames, req.Topics = []string{"odd"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		change(p, req)
		return req
	}
}

// beat is a heartbeat that changes nothing.
func beat(group string, change func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest)) request {
	return modern(group, func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.MemberEpoch, r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = p.generation, -1, nil, nil
		change(p, r)
	})
}

func describeModern(groups ...string) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.SetVersion(1)
		req.Groups = groups
		return req
	}
}

// modernCases are first heartbeats.
func modernCases() []refereeCase {
	form := func(name string, change func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest)) refereeCase {
		return one("consumer: "+name, modern("consumer-"+strings.ReplaceAll(name, " ", "-"), change))
	}
	return []refereeCase{
		form("empty group", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }),
		form("blank group", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "  " }),
		form("group id of 30000", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = strings.Repeat("g", 30000) }),
		form("empty member id", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }),
		form("empty member id at version 0", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SetVersion(0); r.MemberID = "" }),
		form("member id of 36", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = strings.Repeat("m", 36) }),
		form("member id of 37", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = strings.Repeat("m", 37) }),
		form("no rebalance timeout", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }),
		form("no subscription", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }),
		form("empty subscription", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{} }),
		form("no list of owned partitions", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }),
		form("owned partitions", func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: p.id, Partitions: []int32{0}}}
		}),
		form("unknown assignor", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("fair") }),
		form("empty assignor", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("") }),
		form("range", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("range") }),
		form("regular expression", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("odd.*") }),
		form("broken regular expression", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = kmsg.StringPtr("od(d") }),
		form("unknown topic", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{"nowhere"} }),
		form("topic twice", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{"odd", "odd"} }),
		form("topic that cannot be", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = []string{"a/b", ""} }),
		form("epoch 1", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 1 }),
		form("epoch -1", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }),
		form("epoch -2", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }),
		form("epoch -2 of an instance", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.MemberEpoch, r.InstanceID = -2, kmsg.StringPtr("one")
		}),
		form("epoch -3", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }),
		form("empty instance", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = kmsg.StringPtr("") }),
		form("empty rack", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = kmsg.StringPtr("") }),
		one("consumer describe: empty group", describeModern("", "nobody")),
		one("consumer describe: none", describeModern()),
	}
}

// modernMemberCases are requests to a group that has one member with both partitions.
func modernMemberCases() []refereeCase {
	in := func(name string, then func(group string) []step) refereeCase {
		group := "new-" + strings.ReplaceAll(name, " ", "-")
		return refereeCase{"consumer member: " + name, append([]step{send(modern(group, unchanged))}, then(group)...)}
	}
	hb := func(name string, change func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest)) refereeCase {
		return in(name, func(g string) []step { return []step{send(beat(g, change))} })
	}
	epoch := func(later int32) func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
		return func(p *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch += later }
	}
	fetched := func(id string, later int32) func(p *peer, g *kmsg.OffsetFetchRequestGroup) {
		return func(p *peer, g *kmsg.OffsetFetchRequestGroup) { g.MemberID, g.MemberEpoch = &id, p.generation+later }
	}
	const me = "AAAAAAAAAAAAAAAAAAAAAQ"
	instance := kmsg.StringPtr("one")
	return []refereeCase{
		hb("as it is", unchanged),
		hb("next epoch", epoch(1)),
		hb("last epoch", epoch(-1)),
		hb("epoch before the last", epoch(-2)),
		hb("joins again", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.MemberEpoch, r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 0, 10000, []string{"odd"}
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}),
		hb("stranger", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "BBBBBBBBBBBBBBBBBBBBBQ" }),
		hb("with an instance", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = instance }),
		hb("unknown assignor", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = kmsg.StringPtr("fair") }),
		hb("owns an unknown topic", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: [16]byte{9}, Partitions: []int32{0, -1}}}
		}),
		hb("stranger leaves", func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.MemberID, r.MemberEpoch = "BBBBBBBBBBBBBBBBBBBBBQ", -1
		}),
		in("leaves twice", func(g string) []step {
			last := func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }
			return []step{send(beat(g, last)), send(beat(g, last)), send(beat(g, unchanged)), send(describeModern(g)), send(deleteGroups(g))}
		}),
		in("static conflict", func(g string) []step {
			static := func(id string) request {
				return modern(g, func(_ *peer, r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.InstanceID = id, instance })
			}
			return []step{send(static("BBBBBBBBBBBBBBBBBBBBBQ")), send(static("CCCCCCCCCCCCCCCCCCCCCQ"))}
		}),
		in("commits", func(g string) []step {
			return []step{send(commit(g, asMember(0))), send(commit(g, asMember(1))), send(commit(g, asMember(-1))), send(commit(g, unchanged)),
				send(at(8, commit(g, asMember(1)))),
				send(commit(g, func(p *peer, r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = "nobody", p.generation }))}
		}),
		in("fetches offsets", func(g string) []step {
			return []step{send(fetchOffsets(g, fetched(me, 0))), send(fetchOffsets(g, fetched(me, 1))), send(fetchOffsets(g, fetched(me, -1))),
				send(fetchOffsets(g, fetched("nobody", 0))), send(fetchOffsets(g, unchanged))}
		}),
		in("deletes", func(g string) []step {
			return []step{send(deleteGroups(g)), send(deleteOffsets(g, "odd", 0)), send(deleteOffsets(g, "nowhere", 0))}
		}),
	}
}

// crossedCases mix the two protocols.
func crossedCases() []refereeCase {
	connect := func(group string) []step {
		as := func(then func(p *peer, r *kmsg.JoinGroupRequest)) request {
			return join(group, func(p *peer, r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect"; then(p, r) })
		}
		return []step{send(as(newMember)), send(as(unchanged))}
	}
	toModern := func(group string, then ...step) []step {
		return append([]step{send(modern(group, unchanged))}, then...)
	}
	return []refereeCase{
		{"crossed: consumer to a group of Connect's", append(connect("crossed-connect"), send(modern("crossed-connect", unchanged)))},
		{"crossed: Connect to a consumer group", toModern("crossed-new",
			send(join("crossed-new", func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID, r.ProtocolType = "", "connect" })))},
		{"crossed: unknown metadata to a consumer group", toModern("crossed-metadata",
			send(join("crossed-metadata", func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = []byte{1, 2, 3} })))},
		{"crossed: classic heartbeat, sync and leave", toModern("crossed-calls",
			send(groupHeartbeat("crossed-calls", unchanged)), send(syncGroup("crossed-calls", unchanged)), send(leave("crossed-calls", memberNamed("nobody", nil))))},
		{"crossed: consumer heartbeat of a classic group", joined("crossed-beat", send(beat("crossed-beat", unchanged)))},
		{"crossed: described by the other call", append(toModern("crossed-a", send(describeGroups("crossed-a"))),
			joined("crossed-b", send(describeModern("crossed-b")))...)},
	}
}
