package interop

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// memberCases are requests to a group of the classic protocol that has one member.
func memberCases() []refereeCase {
	in := func(name string, then func(group string) []step) refereeCase {
		group := "in-" + strings.ReplaceAll(name, " ", "-")
		return refereeCase{"member: " + name, joined(group, then(group)...)}
	}
	rejoin := func(name string, change func(p *peer, r *kmsg.JoinGroupRequest)) refereeCase {
		return in("join, "+name, func(g string) []step { return []step{send(join(g, change))} })
	}
	sync := func(name string, change func(p *peer, r *kmsg.SyncGroupRequest)) refereeCase {
		return in("sync, "+name, func(g string) []step { return []step{send(syncGroup(g, change))} })
	}
	beat := func(name string, change func(p *peer, r *kmsg.HeartbeatRequest)) refereeCase {
		return in("heartbeat, "+name, func(g string) []step { return []step{send(groupHeartbeat(g, change))} })
	}
	return []refereeCase{
		rejoin("as it is", unchanged),
		rejoin("unknown member", func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" }),
		rejoin("other protocol type", func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID, r.ProtocolType = "", "connect" }),
		rejoin("no protocol in common", func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID, r.Protocols[0].Name = "", "other" }),
		rejoin("with an instance id", func(_ *peer, r *kmsg.JoinGroupRequest) { r.InstanceID = kmsg.StringPtr("one") }),
		sync("again", unchanged),
		sync("unknown member", func(_ *peer, r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" }),
		sync("no member", func(_ *peer, r *kmsg.SyncGroupRequest) { r.MemberID = "" }),
		sync("next generation", func(_ *peer, r *kmsg.SyncGroupRequest) { r.Generation++ }),
		sync("last generation", func(_ *peer, r *kmsg.SyncGroupRequest) { r.Generation-- }),
		sync("negative generation", func(_ *peer, r *kmsg.SyncGroupRequest) { r.Generation = -1 }),
		sync("other protocol", func(_ *peer, r *kmsg.SyncGroupRequest) { r.Protocol = kmsg.StringPtr("other") }),
		sync("other protocol type", func(_ *peer, r *kmsg.SyncGroupRequest) { r.ProtocolType = kmsg.StringPtr("connect") }),
		sync("no protocol", func(_ *peer, r *kmsg.SyncGroupRequest) { r.ProtocolType, r.Protocol = nil, nil }),
		sync("empty group", func(_ *peer, r *kmsg.SyncGroupRequest) { r.Group = "" }),
		sync("assignment to a stranger", func(_ *peer, r *kmsg.SyncGroupRequest) { r.GroupAssignment[0].MemberID = "nobody" }),
		beat("as it is", unchanged),
		beat("unknown member", func(_ *peer, r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" }),
		beat("next generation", func(_ *peer, r *kmsg.HeartbeatRequest) { r.Generation++ }),
		beat("last generation", func(_ *peer, r *kmsg.HeartbeatRequest) { r.Generation-- }),
		beat("negative generation", func(_ *peer, r *kmsg.HeartbeatRequest) { r.Generation = -1 }),
		beat("instance that is not there", func(_ *peer, r *kmsg.HeartbeatRequest) { r.InstanceID = kmsg.StringPtr("one") }),
		beat("empty group", func(_ *peer, r *kmsg.HeartbeatRequest) { r.Group = "" }),
		in("leave twice", func(g string) []step {
			return []step{send(leave(g, memberNamed("nobody", nil), self)), send(leave(g, self)), send(groupHeartbeat(g, unchanged))}
		}),
		in("leave nobody", func(g string) []step { return []step{send(leave(g)), send(leave("", self))} }),
		in("leave by an unknown instance", func(g string) []step { return []step{send(leave(g, memberNamed("", kmsg.StringPtr("one"))))} }),
		in("join old versions", func(g string) []step { return []step{send(at(0, join(g, unchanged))), send(at(3, join(g, unchanged)))} }),
		in("replayed after a rejoin", func(g string) []step {
			old := func(_ *peer, r *kmsg.HeartbeatRequest) { r.Generation = 1 }
			metadata := func(_ *peer, r *kmsg.JoinGroupRequest) { r.Protocols[0].Metadata = subscription("other") }
			return []step{
				send(join(g, metadata)), send(groupHeartbeat(g, unchanged)), send(groupHeartbeat(g, old)),
				send(commit(g, asMember(-1))), send(commit(g, asMember(0))), send(syncGroup(g, unchanged)), send(commit(g, asMember(-1))), send(commit(g, asMember(0))),
			}
		}),
	}
}

// asMember makes a commit the member's, in a generation or an epoch that many later.
func asMember(later int32) func(p *peer, r *kmsg.OffsetCommitRequest) {
	return func(p *peer, r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = p.member, p.generation+later }
}

// staticMemberCases take a static member's place by another.
func staticMemberCases() []refereeCase {
	instance := kmsg.StringPtr("one")
	static := func(id string) func(p *peer, r *kmsg.JoinGroupRequest) {
		return func(_ *peer, r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = id, instance }
	}
	again := func(p *peer, r *kmsg.JoinGroupRequest) { r.InstanceID = instance }
	first := func(group string, then ...step) []step {
		sync := func(_ *peer, r *kmsg.SyncGroupRequest) { r.InstanceID = instance }
		return append([]step{send(join(group, static(""))), send(syncGroup(group, sync))}, then...)
	}
	return []refereeCase{
		{"static: rejoins", first("static-rejoins", send(join("static-rejoins", again)), send(groupHeartbeat("static-rejoins", unchanged)))},
		{"static: replaced", first("static-replaced", send(join("static-replaced", static(""))), send(join("static-replaced", static("nobody"))),
			send(groupHeartbeat("static-replaced", func(_ *peer, r *kmsg.HeartbeatRequest) { r.InstanceID = instance })))},
		{"static: strangers are fenced", first("static-fenced",
			send(groupHeartbeat("static-fenced", func(_ *peer, r *kmsg.HeartbeatRequest) { r.MemberID, r.InstanceID = "nobody", instance })),
			send(syncGroup("static-fenced", func(_ *peer, r *kmsg.SyncGroupRequest) { r.MemberID, r.InstanceID = "nobody", instance })),
			send(commit("static-fenced", func(p *peer, r *kmsg.OffsetCommitRequest) {
				r.MemberID, r.InstanceID, r.Generation = "nobody", instance, p.generation
			})),
			send(leave("static-fenced", memberNamed("nobody", instance))))},
		{"static: removed by its instance", first("static-removed", send(leave("static-removed", memberNamed("", instance))),
			send(leave("static-removed", memberNamed("", instance))), send(commit("static-removed", func(p *peer, r *kmsg.OffsetCommitRequest) {
				r.MemberID, r.InstanceID, r.Generation = p.member, instance, p.generation
			})))},
	}
}

func commitCases() []refereeCase {
	form := func(name string, change func(p *peer, r *kmsg.OffsetCommitRequest)) refereeCase {
		return one("commit: "+name, commit("commit-"+strings.ReplaceAll(name, " ", "-"), change))
	}
	part := func(name string, change func(rp *kmsg.OffsetCommitRequestTopicPartition)) refereeCase {
		return form(name, func(_ *peer, r *kmsg.OffsetCommitRequest) { change(&r.Topics[0].Partitions[0]) })
	}
	member := func(name string, change func(p *peer, r *kmsg.OffsetCommitRequest)) refereeCase {
		group := "committing-" + strings.ReplaceAll(name, " ", "-")
		return refereeCase{"commit of a member: " + name, joined(group, send(commit(group, change)))}
	}
	long := func(n int) func(rp *kmsg.OffsetCommitRequestTopicPartition) {
		return func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Metadata = kmsg.StringPtr(strings.Repeat("m", n)) }
	}
	return []refereeCase{
		part("metadata of 4096", long(4096)),
		part("metadata of 4097", long(4097)),
		part("null metadata", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Metadata = nil }),
		part("unknown partition", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Partition = 9 }),
		part("negative partition", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Partition = -1 }),
		part("negative offset", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Offset = -1 }),
		part("offset beyond the end", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.Offset = 1 << 50 }),
		part("negative leader epoch", func(rp *kmsg.OffsetCommitRequestTopicPartition) { rp.LeaderEpoch = -7 }),
		form("unknown topic", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "nowhere" }),
		form("empty topic", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic = "" }),
		form("unknown topic id", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.SetVersion(10); r.Topics[0].TopicID = [16]byte{9} }),
		form("topic id zero", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.SetVersion(10); r.Topics[0].TopicID = [16]byte{} }),
		form("known and unknown topic", func(_ *peer, r *kmsg.OffsetCommitRequest) {
			other := r.Topics[0]
			other.Topic = "nowhere"
			r.Topics = append(r.Topics, other)
		}),
		form("no topics", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Topics = nil }),
		form("no partitions", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions = nil }),
		form("partition twice", func(_ *peer, r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
		}),
		form("empty group", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Group = "" }),
		form("generation of no group", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.Generation = 3 }),
		form("member of no group", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = "nobody", 1 }),
		form("instance of no group", func(_ *peer, r *kmsg.OffsetCommitRequest) { r.InstanceID = kmsg.StringPtr("one") }),
		member("as it is", asMember(0)),
		member("from outside", unchanged),
		member("next generation", asMember(1)),
		member("last generation", asMember(-1)),
		member("stranger", func(p *peer, r *kmsg.OffsetCommitRequest) { r.MemberID, r.Generation = "nobody", p.generation }),
		member("no generation", func(p *peer, r *kmsg.OffsetCommitRequest) { r.MemberID = p.member }),
		member("instance that is not there", func(p *peer, r *kmsg.OffsetCommitRequest) {
			asMember(0)(p, r)
			r.InstanceID = kmsg.StringPtr("one")
		}),
	}
}

func groupReadCases() []refereeCase {
	form := func(name string, version int16, change func(p *peer, g *kmsg.OffsetFetchRequestGroup)) refereeCase {
		return refereeCase{"offsets: " + name, []step{send(commit("read", unchanged)), send(at(version, fetchOffsets("read", change)))}}
	}
	return []refereeCase{
		form("as committed", 9, unchanged),
		form("all topics", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics = nil }),
		form("unknown topic", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics[0].Topic = "nowhere" }),
		form("unknown topic id", 10, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics[0].TopicID = [16]byte{9} }),
		form("topic id zero", 10, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics[0].TopicID = [16]byte{} }),
		form("unknown partitions", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics[0].Partitions = []int32{-1, 77} }),
		form("no partitions", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Topics[0].Partitions = nil }),
		form("empty group", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) { g.Group = "" }),
		form("a member of the other protocol", 9, func(_ *peer, g *kmsg.OffsetFetchRequestGroup) {
			g.MemberID, g.MemberEpoch = kmsg.StringPtr("nobody"), 3
		}),
		one("describe groups: none", describeGroups()),
		one("describe groups: empty id", describeGroups("", "read")),
		{"describe groups: one twice", []step{send(commit("read", unchanged)), send(describeGroups("read", "read"))}},
		{"find coordinator: empty", []step{send(findCoordinator("")), send(at(3, findCoordinator("")))}},
		one("find coordinator: of transactions", edit(4, findCoordinator("tx"), func(_ *peer, r *kmsg.FindCoordinatorRequest) { r.CoordinatorType = 1 })),
		one("find coordinator: of shares", edit(6, findCoordinator("no"), func(_ *peer, r *kmsg.FindCoordinatorRequest) { r.CoordinatorType = 2 })),
		one("find coordinator: of what", edit(4, findCoordinator("tx"), func(_ *peer, r *kmsg.FindCoordinatorRequest) { r.CoordinatorType = 9 })),
		one("list groups: unknown state", listGroups([]string{"Sleeping"}, nil)),
		one("list groups: unknown type", listGroups(nil, []string{"fan"})),
	}
}

func groupDeleteCases() []refereeCase {
	return []refereeCase{
		one("delete groups: empty id", deleteGroups("")),
		one("delete groups: none", deleteGroups()),
		{"delete groups: active", joined("delete-active", send(deleteGroups("delete-active")))},
		{"delete groups: left", joined("delete-left", send(leave("delete-left", self)), send(deleteGroups("delete-left")), send(deleteGroups("delete-left")),
			send(groupHeartbeat("delete-left", unchanged)))},
		{"delete groups: one twice", []step{send(commit("delete-twice", unchanged)), send(deleteGroups("delete-twice", "delete-twice"))}},
		{"delete groups: known and unknown", []step{send(commit("delete-known", unchanged)), send(deleteGroups("delete-known", "nobody"))}},
		{"delete offsets: active", joined("undo-active", send(commit("undo-active", asMember(0))), send(deleteOffsets("undo-active", "odd", 0)))},
		{"delete offsets: other topic of an active group", joined("undo-other", send(deleteOffsets("undo-other", "nowhere", 0)))},
		{"delete offsets: never committed", []step{send(commit("undo", unchanged)), send(deleteOffsets("undo", "odd", 1, 77)), send(deleteOffsets("undo", "odd", 0)),
			send(fetchOffsets("undo", unchanged))}},
		one("delete offsets: unknown group", deleteOffsets("nobody", "odd", 0)),
		one("delete offsets: empty group", deleteOffsets("", "odd", 0)),
		{"delete offsets: unknown topic", []step{send(commit("undo-topic", unchanged)), send(deleteOffsets("undo-topic", "nowhere", 0))}},
	}
}
