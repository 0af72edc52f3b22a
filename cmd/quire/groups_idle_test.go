package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// TestIdleGroups measures what groups of three members that do nothing but heartbeat cost the broker, with a connection for each member: of the
// classic protocol every 3 s, of the new one every 5 s, as their clients do.
//
// QUIRE_GROUPS_SECONDS sets how long each is measured (2; `make groups` has 30 s, and 1,000 groups of each). The short form has fewer groups
// whose members heartbeat as often all together.
func TestIdleGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("measures processor time")
	}
	seconds := envInt(t, "QUIRE_GROUPS_SECONDS", 2)
	groups, limit := 1000, 0.05
	if seconds < 10 {
		groups, limit = 100, 0.25 // a busy machine makes each wake-up dearer: what is found here is work that nobody asked for
	}
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	groupTopic(t, b.addr, 3)
	kinds := []struct {
		name  string
		join  func(addr string, group int) ([]*groupMember, error)
		every time.Duration
	}{{"classic", joinClassic, 3 * time.Second}, {"consumer", joinConsumer, 5 * time.Second}}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			members := joinGroups(t, b.addr, groups, kind.join)
			defer leaveGroups(members)
			pause := kind.every / time.Duration(3*1000) // between two heartbeats, of 3,000 members
			beat(t, members, pause, time.Second)        // settles
			cpu, began := b.cpu(t), time.Now()
			beats := beat(t, members, pause, time.Duration(seconds)*time.Second)
			cpu = b.cpu(t) - cpu
			share := cpu.Seconds() / time.Since(began).Seconds()
			t.Logf("%d groups of 3, %.0f heartbeats/s: %.1f%% of a core, RSS %d MiB", groups, float64(beats)/time.Since(began).Seconds(), 100*share, b.rss(t)>>20)
			if share > limit {
				t.Errorf("they take %.1f%% of a core, limit %.0f%%", 100*share, 100*limit)
			}
		})
	}
}

// groupMember is a member with its connection and the heartbeat that it sends.
type groupMember struct {
	peer  *peer
	beat  kmsg.Request
	asked bool
}

// joinGroups joins groups side by side.
func joinGroups(t *testing.T, addr string, groups int, join func(string, int) ([]*groupMember, error)) []*groupMember {
	t.Helper()
	var mu sync.Mutex
	var all []*groupMember
	var joining errgroup.Group
	joining.SetLimit(16)
	for g := range groups {
		joining.Go(func() error {
			members, err := join(addr, g)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, members...)
			if err != nil {
				return fmt.Errorf("join group %d: %w", g, err)
			}
			return nil
		})
	}
	if err := joining.Wait(); err != nil {
		leaveGroups(all)
		t.Fatal(err)
	}
	return all
}

func leaveGroups(members []*groupMember) {
	for _, m := range members {
		m.peer.nc.Close()
	}
}

// beat has one member after the other send its heartbeat, and read the answer to the one before.
func beat(t *testing.T, members []*groupMember, pause, d time.Duration) (sent int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < d; <-tick.C {
		for due := int(time.Since(began) / pause); sent < due; sent++ {
			if err := members[sent%len(members)].heartbeat(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sent
}

func (m *groupMember) heartbeat() error {
	if m.asked {
		if err := m.beaten(); err != nil {
			return err
		}
	}
	m.asked = true
	return m.peer.send(m.beat)
}

// beaten reads the answer to a heartbeat.
func (m *groupMember) beaten() error {
	resp, err := m.peer.receive(m.beat)
	if err != nil {
		return err
	}
	var code int16
	switch r := resp.(type) {
	case *kmsg.HeartbeatResponse:
		code = r.ErrorCode
	case *kmsg.ConsumerGroupHeartbeatResponse:
		code = r.ErrorCode
	}
	if code != 0 {
		return fmt.Errorf("heartbeat: %w", kerr.ErrorForCode(code))
	}
	return nil
}

// joinClassic makes a group of three members of the classic protocol: the first alone, then all. One connection joins for all of them, so
// that the first comes again when the others are there.
func joinClassic(addr string, group int) ([]*groupMember, error) {
	var members []*groupMember
	for range 3 {
		p, err := dialPeer(addr)
		if err != nil {
			return members, err
		}
		members = append(members, &groupMember{peer: p})
	}
	p, join := members[0].peer, classicJoin(groupName(group), "")
	first, err := answer[*kmsg.JoinGroupResponse](p, join)
	if err != nil {
		return members, err
	}
	if err := p.send(join, join, classicJoin(groupName(group), first.MemberID)); err != nil {
		return members, err
	}
	return members, syncClassic(p, groupName(group), members)
}

func classicJoin(group, member string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.ProtocolType = 3, group, member, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 45_000, 60_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("subscribed")}}
	return r
}

// syncClassic reads the answers to the members' joins, and has the leader assign.
func syncClassic(p *peer, group string, members []*groupMember) error {
	for _, m := range members {
		resp, err := p.receive(classicJoin(group, ""))
		if err != nil {
			return err
		}
		joined := resp.(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 {
			return fmt.Errorf("join: %w", kerr.ErrorForCode(joined.ErrorCode))
		}
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.Generation, sync.MemberID = 2, group, joined.Generation, joined.MemberID
		for _, all := range joined.Members {
			sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: all.MemberID, MemberAssignment: []byte("assigned")})
		}
		if err := p.send(sync); err != nil {
			return err
		}
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.Generation, beat.MemberID = 3, group, joined.Generation, joined.MemberID
		m.beat = beat
	}
	for range members {
		resp, err := p.receive(&kmsg.SyncGroupRequest{Version: 2})
		if err != nil {
			return err
		}
		if r := resp.(*kmsg.SyncGroupResponse); r.ErrorCode != 0 || string(r.MemberAssignment) != "assigned" {
			return fmt.Errorf("sync: assigned %q, %w", r.MemberAssignment, kerr.ErrorForCode(r.ErrorCode))
		}
	}
	return nil
}

// joinConsumer makes a group of three members of the new protocol, which have a partition each in the end.
func joinConsumer(addr string, group int) (members []*groupMember, err error) {
	for i := range 3 {
		p, err := dialPeer(addr)
		if err != nil {
			return members, err
		}
		r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		r.Version, r.Group, r.MemberID = 1, "new-"+groupName(group), fmt.Sprint("member-", i)
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = 60_000, []string{groupsTopic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		members = append(members, &groupMember{peer: p, beat: r})
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		settled := 0
		for _, m := range members {
			owns, err := m.reconcile()
			if err != nil {
				return members, err
			}
			if owns == 1 {
				settled++
			}
		}
		if settled == 3 {
			for _, m := range members { // from now on nothing has changed
				r := m.beat.(*kmsg.ConsumerGroupHeartbeatRequest)
				r.RebalanceTimeoutMillis, r.SubscribedTopicNames, r.Topics = -1, nil, nil
			}
			return members, nil
		}
	}
	return members, errors.New("the group does not settle")
}

// reconcile sends a heartbeat, takes what it is answered, and says how many partitions the member owns.
func (m *groupMember) reconcile() (owns int, err error) {
	r := m.beat.(*kmsg.ConsumerGroupHeartbeatRequest)
	resp, err := answer[*kmsg.ConsumerGroupHeartbeatResponse](m.peer, r)
	if err != nil {
		return 0, err
	}
	if resp.ErrorCode != 0 {
		return 0, fmt.Errorf("heartbeat: %w", kerr.ErrorForCode(resp.ErrorCode))
	}
	r.MemberEpoch = resp.MemberEpoch
	if resp.Assignment != nil {
		r.Topics = r.Topics[:0]
		for _, a := range resp.Assignment.Topics {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: a.TopicID, Partitions: a.Partitions})
		}
	}
	for _, a := range r.Topics {
		owns += len(a.Partitions)
	}
	return owns, nil
}
