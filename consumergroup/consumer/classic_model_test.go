package consumer

import (
	"maps"
	"slices"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicStep is what a classic client does next: it joins, fetches its assignment, or sends a heartbeat.
func (m *model) classicStep(c *client, lost bool) {
	switch {
	case c.waiting != nil:
	case c.doing == "join":
		m.joinClassic(c, lost)
	case c.doing == "sync":
		m.syncClassic(c, nil, lost)
	case c.full: // it subscribes to something else
		c.full = false
		m.rejoin(c)
	default:
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version, r.Group, r.MemberID, r.Generation, r.InstanceID = 4, "g", c.id, c.generation, c.static()
		m.ask(c, r, lost, func(resp kmsg.Response) { m.judge(c, resp.(*kmsg.HeartbeatResponse).ErrorCode) })
	}
}

func (c *client) static() *string {
	if c.instance == "" {
		return nil
	}
	return kmsg.StringPtr(c.instance)
}

// ask sends a request of a classic client, whose answer may come later; one that is lost leaves the client to try again.
func (m *model) ask(c *client, r kmsg.Request, lost bool, then func(kmsg.Response)) {
	call := &step.Call{Request: r, ClientID: "client", ClientHost: "/127.0.0.1"}
	if c.waiting = call; lost {
		c.waiting = nil
	}
	call.Answer = func(resp kmsg.Response) {
		if c.waiting == call {
			c.waiting = nil
			then(resp)
		}
	}
	m.note("%s asks %T in generation %d, lost %v", c.id, r, c.generation, lost)
	m.reply(m.step(func(s *step.Step) { m.send(s, call) }))
	m.note("  group %s", m.state())
}

// judge does what an error asks for, and says whether there was none.
func (m *model) judge(c *client, code int16) bool {
	if code != 0 {
		m.note("  %s gets error %d", c.id, code)
	}
	switch err := kerr.ErrorForCode(code); err {
	case nil:
		return true
	case kerr.RebalanceInProgress:
		m.rejoin(c)
	case kerr.IllegalGeneration, kerr.UnknownMemberID:
		c.owned, c.generation, c.late = map[partition]bool{}, -1, false
		if c.doing = "join"; err == kerr.UnknownMemberID {
			m.made++
			c.id = ""
		}
	case kerr.NotCoordinator: // it asks again
	case kerr.FencedInstanceID:
		m.kill(c, err.Error())
	default:
		m.t.Fatalf("%s: %v", c.id, err)
	}
	return false
}

// rejoin has a client join again. Without cooperation it gives up all before that.
func (m *model) rejoin(c *client) {
	if c.doing = "join"; !c.cooperative {
		c.owned, c.late = map[partition]bool{}, false
	}
}

func (m *model) joinClassic(c *client, lost bool) {
	if lost && c.instance == "" && !m.member(c.id) {
		return // nobody would know the member that it makes
	}
	sub := kmsg.ConsumerMemberMetadata{Version: 1, Topics: c.names}
	for topic, ids := range byTopic(slices.SortedFunc(maps.Keys(c.owned), comparePartitions)) {
		if info, ok := m.topics.ByID(topic); ok {
			sub.OwnedPartitions = append(sub.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: info.Name, Partitions: ids})
		}
	}
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.ProtocolType = 9, "g", c.id, c.static(), "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 45_000, 30_000
	if c.generation < 0 && !m.member(c.id) {
		r.MemberID = ""
	}
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: sub.AppendTo(nil)}}
	m.ask(c, r, lost, func(resp kmsg.Response) {
		j := resp.(*kmsg.JoinGroupResponse)
		if j.ErrorCode == kerr.MemberIDRequired.Code {
			c.id, c.generation = j.MemberID, 0
			return
		}
		if !m.judge(c, j.ErrorCode) {
			return
		}
		if c.id, c.generation, c.doing = j.MemberID, j.Generation, "sync"; j.LeaderID == j.MemberID {
			m.syncClassic(c, m.assign(j.Members), false)
		}
	})
}

// assign is the leader's work. With cooperation nobody gets what another still owns.
func (m *model) assign(members []kmsg.JoinGroupResponseMember) []kmsg.SyncGroupRequestGroupAssignment {
	readers, owner := map[string][]string{}, map[partition]string{}
	for _, jm := range members {
		sub, err := readSubscription(jm.ProtocolMetadata)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, name := range sub.Topics {
			readers[name] = append(readers[name], jm.MemberID)
		}
		for _, p := range sub.ownedList(m.topics) {
			owner[p] = jm.MemberID
		}
	}
	got := map[string][]partition{}
	for name, ids := range readers {
		topic, _ := m.topics.Topic(name)
		slices.Sort(ids)
		for p := range int32(topic.Partitions) {
			to, part := ids[int(p)%len(ids)], partition{topic.ID, p}
			if was, ok := owner[part]; m.cooperative && ok && was != to {
				continue
			}
			got[to] = append(got[to], part)
		}
	}
	var out []kmsg.SyncGroupRequestGroupAssignment
	for _, jm := range members {
		list := got[jm.MemberID]
		slices.SortFunc(list, comparePartitions)
		out = append(out, kmsg.SyncGroupRequestGroupAssignment{MemberID: jm.MemberID, MemberAssignment: writeAssignment(list, jm.ProtocolMetadata, m.topics)})
	}
	return out
}

func (m *model) syncClassic(c *client, assign []kmsg.SyncGroupRequestGroupAssignment, lost bool) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.Generation, r.InstanceID, r.GroupAssignment = 5, "g", c.id, c.generation, c.static(), assign
	r.ProtocolType, r.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("p")
	m.ask(c, r, lost, func(resp kmsg.Response) {
		sr := resp.(*kmsg.SyncGroupResponse)
		if !m.judge(c, sr.ErrorCode) {
			return
		}
		list, err := readAssignment(sr.MemberAssignment, m.topics)
		if err != nil {
			m.t.Fatal(err)
		}
		before := c.owned
		c.owned, c.doing, c.late = map[partition]bool{}, "beat", false
		for _, p := range list {
			c.owned[p] = true
		}
		m.note("  %s owns %s", c.id, m.show(c.owned))
		for p := range before {
			if !c.owned[p] {
				c.doing = "join" // it has revoked, and says so
			}
		}
	})
}

func (m *model) leaveClassic(c *client) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, "g"
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: c.static()}}
	m.note("%s leaves", c.id)
	m.kill(c, "ends")
	m.reply(m.step(func(s *step.Step) { m.send(s, &step.Call{Request: r}) }))
}
