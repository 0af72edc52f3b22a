package broker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/quirelog/quire/segment/flush"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupConfig is a broker whose groups are quick.
func groupConfig(t *testing.T) config.Config {
	cfg := testConfig(t.TempDir())
	cfg.Durability, cfg.Groups.JournalPartitions = flush.OS, 4
	cfg.Groups.MinSession, cfg.Groups.Heartbeat = 100*time.Millisecond, 100*time.Millisecond
	return cfg
}

// groupClient speaks for one member of the classic protocol, at the lowest or the highest version of every request.
type groupClient struct {
	*testClient
	b          *Broker
	highest    bool
	group      string
	topic      [16]byte
	member     string
	generation int32
}

// ask sends a request at the client's version of its key, and returns the response.
func (c *groupClient) ask(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	row := c.b.dispatch.find(req.Key())
	req.SetVersion(row.min)
	if c.highest {
		req.SetVersion(row.max)
	}
	return c.do(req)
}

// find asks for the coordinator until there is one that has loaded.
func (c *groupClient) find() {
	c.t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = c.group, []string{c.group, "other"}
	resp := c.ask(req).(*kmsg.FindCoordinatorResponse)
	node, port, code := resp.NodeID, resp.Port, resp.ErrorCode
	if c.highest {
		if len(resp.Coordinators) != 2 || resp.Coordinators[0].Key != c.group || resp.Coordinators[1].Key != "other" {
			c.t.Fatalf("coordinators: %+v", resp)
		}
		node, port, code = resp.Coordinators[0].NodeID, resp.Coordinators[0].Port, resp.Coordinators[0].ErrorCode
	}
	if node != c.b.cfg.NodeID || port == 0 || code != 0 {
		c.t.Fatalf("coordinator: %+v", resp)
	}
	waitFor(c.t, "the groups are loaded", func() bool {
		return c.ask(kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse).ErrorCode == 0
	})
}

// join joins and syncs as the only member. The metadata is larger than a read buffer, so that the frame is pooled.
func (c *groupClient) join() {
	c.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = c.group, 30_000, 30_000
	req.ProtocolType, req.Protocols = "consumer", []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: groupMetadata(c.group)}}
	resp := c.ask(req).(*kmsg.JoinGroupResponse)
	if c.highest { // MEMBER_ID_REQUIRED
		if resp.ErrorCode != 79 || resp.MemberID == "" {
			c.t.Fatalf("first join: %+v", resp)
		}
		req.MemberID = resp.MemberID
		resp = c.ask(req).(*kmsg.JoinGroupResponse)
	}
	if resp.ErrorCode != 0 || resp.LeaderID != resp.MemberID || len(resp.Members) != 1 || *resp.Protocol != "range" ||
		!slices.Equal(resp.Members[0].ProtocolMetadata, groupMetadata(c.group)) {
		c.t.Fatalf("join: code %d, leader %s, member %s, %d members", resp.ErrorCode, resp.LeaderID, resp.MemberID, len(resp.Members))
	}
	c.member, c.generation = resp.MemberID, resp.Generation
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = c.group, c.member, c.generation
	kind, name := "consumer", "range"
	sync.ProtocolType, sync.Protocol = &kind, &name
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: c.member, MemberAssignment: groupMetadata("assigned")}}
	if resp := c.ask(sync).(*kmsg.SyncGroupResponse); resp.ErrorCode != 0 || !slices.Equal(resp.MemberAssignment, groupMetadata("assigned")) {
		c.t.Fatalf("sync: code %d, %d bytes", resp.ErrorCode, len(resp.MemberAssignment))
	}
}

// groupMetadata is opaque to the broker.
func groupMetadata(seed string) []byte {
	return []byte(strings.Repeat(seed, 1+readBufferBytes/len(seed)))
}

func (c *groupClient) heartbeat() int16 {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = c.group, c.member, c.generation
	return c.ask(req).(*kmsg.HeartbeatResponse).ErrorCode
}

func (c *groupClient) commit(offset int64) int16 {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = c.group, c.member, c.generation
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = 1, offset, nullable("note")
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", TopicID: c.topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return c.ask(req).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

// committed is the offset committed for partition 1; -1: none.
func (c *groupClient) committed() int64 {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.Topics = c.group, []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{1}}}
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = c.group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", TopicID: c.topic, Partitions: []int32{1}}}
	req.Groups = []kmsg.OffsetFetchRequestGroup{g}
	resp := c.ask(req).(*kmsg.OffsetFetchResponse)
	if !c.highest {
		return resp.Topics[0].Partitions[0].Offset
	}
	if resp.Groups[0].ErrorCode != 0 || resp.Groups[0].Topics[0].TopicID != c.topic {
		c.t.Fatalf("offset fetch: %+v", resp)
	}
	return resp.Groups[0].Topics[0].Partitions[0].Offset
}

func (c *groupClient) state() string {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{c.group}
	return c.ask(req).(*kmsg.DescribeGroupsResponse).Groups[0].State
}

func (c *groupClient) listed() bool {
	resp := c.ask(kmsg.NewPtrListGroupsRequest()).(*kmsg.ListGroupsResponse)
	return slices.ContainsFunc(resp.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == c.group })
}

func (c *groupClient) leave() int16 {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID, req.Members = c.group, c.member, []kmsg.LeaveGroupRequestMember{{MemberID: c.member}}
	resp := c.ask(req).(*kmsg.LeaveGroupResponse)
	if c.highest && resp.ErrorCode == 0 {
		return resp.Members[0].ErrorCode
	}
	return resp.ErrorCode
}

func (c *groupClient) forget() int16 {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = c.group
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}}}}
	resp := c.ask(req).(*kmsg.OffsetDeleteResponse)
	if resp.ErrorCode != 0 {
		return resp.ErrorCode
	}
	return resp.Topics[0].Partitions[0].ErrorCode
}

func (c *groupClient) delete() int16 {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{c.group}
	return c.ask(req).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode
}

// The life of a group of the classic protocol, at the lowest and the highest version of each request.
func TestGroupRequests(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	topic := makeTopic(t, b, "t", 2)
	for _, highest := range []bool{false, true} {
		c := &groupClient{testClient: newTestClient(t, b), b: b, highest: highest, group: "low", topic: topic.ID}
		if highest {
			c.group = "high"
		}
		c.find()
		if got := c.committed(); got != -1 {
			t.Errorf("%s: %d is committed before anything is", c.group, got)
		}
		c.join()
		for i, code := range []int16{c.heartbeat(), c.commit(7)} {
			if code != 0 {
				t.Errorf("%s: request %d: code %d", c.group, i, code)
			}
		}
		if got := c.committed(); got != 7 || c.state() != "Stable" || !c.listed() {
			t.Errorf("%s: committed %d, state %s, listed %v", c.group, got, c.state(), c.listed())
		}
		if code := c.delete(); code != 68 {
			t.Errorf("%s: delete of a group with members: code %d", c.group, code)
		}
		if code := c.leave(); code != 0 || c.state() != "Empty" {
			t.Errorf("%s: leave: code %d, state %s", c.group, code, c.state())
		}
		if code := c.heartbeat(); code != 25 {
			t.Errorf("%s: heartbeat of one who left: code %d", c.group, code)
		}
		if code := c.forget(); code != 0 || c.committed() != -1 {
			t.Errorf("%s: offset delete: code %d, committed %d", c.group, code, c.committed())
		}
		c.member, c.generation = "", -1
		if code := c.commit(9); code != 0 || c.committed() != 9 {
			t.Errorf("%s: commit from outside the group: code %d, committed %d", c.group, code, c.committed())
		}
		if code := c.delete(); code != 0 || c.listed() || c.committed() != -1 {
			t.Errorf("%s: delete: code %d, listed %v, committed %d", c.group, code, c.listed(), c.committed())
		}
	}
}

// The life of a member of the new protocol, at both versions.
func TestConsumerGroupRequests(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	topic := makeTopic(t, b, "t", 2)
	for _, highest := range []bool{false, true} {
		c := &groupClient{testClient: newTestClient(t, b), b: b, highest: highest, group: "low"}
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		if highest {
			c.group, beat.MemberID = "high", "AAAAAAAAQUGRQUFBQUFBQQ"
		}
		c.find()
		beat.Group, beat.RebalanceTimeoutMillis, beat.SubscribedTopicNames = c.group, 30_000, []string{"t"}
		beat.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		var got *kmsg.ConsumerGroupHeartbeatResponse
		waitFor(t, "the member has both partitions", func() bool {
			got = c.ask(beat).(*kmsg.ConsumerGroupHeartbeatResponse)
			if got.ErrorCode != 0 {
				t.Fatalf("%s: heartbeat: %+v", c.group, got)
			}
			beat.MemberID, beat.MemberEpoch = *got.MemberID, got.MemberEpoch
			return got.Assignment != nil && len(got.Assignment.Topics) == 1
		})
		if parts := got.Assignment.Topics[0]; parts.TopicID != topic.ID || !slices.Equal(parts.Partitions, []int32{0, 1}) {
			t.Errorf("%s: assigned %+v", c.group, parts)
		}
		if got.HeartbeatIntervalMillis != 100 {
			t.Errorf("%s: heartbeat interval %d", c.group, got.HeartbeatIntervalMillis)
		}
		described := kmsg.NewPtrConsumerGroupDescribeRequest()
		described.Groups = []string{c.group, "none"}
		groups := c.ask(described).(*kmsg.ConsumerGroupDescribeResponse).Groups
		if len(groups) != 2 || groups[0].ErrorCode != 0 || len(groups[0].Members) != 1 || groups[1].ErrorCode != 69 {
			t.Errorf("%s: described %+v", c.group, groups)
		}
		beat.MemberEpoch = -1
		if got := c.ask(beat).(*kmsg.ConsumerGroupHeartbeatResponse); got.ErrorCode != 0 || got.MemberEpoch != -1 {
			t.Errorf("%s: leave: %+v", c.group, got)
		}
	}
}

// What has no coordinator, or not this one, is said so; and transactions are refused for good.
func TestFindCoordinatorRefuses(t *testing.T) {
	b := startBroker(t, groupConfig(t))
	c := newTestClient(t, b)
	for _, tt := range []struct {
		version int16
		kind    int8
		code    int16
	}{{1, 1, 53}, {6, 1, 53}, {6, 2, 42}, {4, 9, 42}} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = tt.version, tt.kind, "k", []string{"k"}
		resp := c.do(req).(*kmsg.FindCoordinatorResponse)
		code, node, text := resp.ErrorCode, resp.NodeID, resp.ErrorMessage
		if tt.version >= 4 {
			code, node, text = resp.Coordinators[0].ErrorCode, resp.Coordinators[0].NodeID, resp.Coordinators[0].ErrorMessage
		}
		if code != tt.code || node != -1 || text == nil {
			t.Errorf("type %d: %+v", tt.kind, resp)
		}
	}
	if b.view().Topics[consumergroup.JournalTopic] != nil {
		t.Error("the journal was made for nobody")
	}
	for _, req := range []kmsg.Request{kmsg.NewPtrHeartbeatRequest(), kmsg.NewPtrJoinGroupRequest()} {
		if got := c.do(req); step.Code(nil) == groupCode(got) {
			t.Errorf("%T without a coordinator: %+v", req, got)
		}
	}
}

// Whoever asks while somebody else's first request makes the journal is told to ask again: members of other groups came to an end over
// "no leader for this topic-partition".
func TestFindCoordinatorWhileTheJournalIsMade(t *testing.T) {
	cfg := groupConfig(t)
	cfg.Groups.JournalPartitions = 16
	b := startBroker(t, cfg)
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version = 6
	var clients []*testClient
	for i := range 16 {
		clients = append(clients, newTestClient(t, b))
		req.CoordinatorKeys = []string{strings.Repeat("g", i+1)}
		clients[i].send(req)
	}
	for i, c := range clients {
		code := c.receive(req).(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode
		if code != 0 && code != step.Code(kerr.CoordinatorNotAvailable) {
			t.Errorf("client %d: code %d", i, code)
		}
	}
}

// groupCode is the error of a response to a member.
func groupCode(resp kmsg.Response) int16 {
	switch r := resp.(type) {
	case *kmsg.HeartbeatResponse:
		return r.ErrorCode
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	}
	return 0
}
