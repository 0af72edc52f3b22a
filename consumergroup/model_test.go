package consumergroup

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// model drives a coordinator at random, over journals that fail, and keeps what it has promised.
type model struct {
	*rig
	rand     *rand.Rand
	calls    []*asked
	next     int64 // the next offset to commit: they only grow, so the largest that was acknowledged is the least that may be there
	acked    map[string]map[offsets.Partition]int64
	member   map[string]*modelMember // by group
	payments byte                    // the id of the topic
}

// modelMember is the one member that a group has at most here, of either protocol.
type modelMember struct {
	id     string
	epoch  int32
	modern bool
}

var modelGroups = []string{"a", "b", "c", "d", "e"}

// TestRandom: whatever journals do, every call is answered once, what was acknowledged stays, and memory is what the journal says.
func TestRandom(t *testing.T) {
	seed := rand.Uint64()
	for n := range uint64(12) {
		t.Run(fmt.Sprint(seed+n), func(t *testing.T) { runModel(t, seed+n) })
	}
}

func runModel(t *testing.T, seed uint64) {
	t.Logf("seed %d", seed)
	o := options(2)
	o.OffsetsRetention = 0
	inBubble(t, o, func(t *testing.T, r *rig) {
		m := &model{rig: r, rand: rand.New(rand.NewPCG(seed, 1)), acked: map[string]map[offsets.Partition]int64{}, member: map[string]*modelMember{}}
		faults := []func(int) (time.Duration, bool, error){m.faults(), m.faults()}
		m.payments = 2
		for range 60 {
			for i, l := range r.logs {
				l.fault(faults[i])
			}
			for range 1 + m.rand.IntN(8) {
				m.act()
			}
			r.pass(time.Duration(m.rand.IntN(8)) * time.Second)
			if m.rand.IntN(5) == 0 {
				p := m.rand.IntN(len(r.logs))
				r.c.Resign(int32(p))
				r.c.Lead(int32(p), r.logs[p])
			}
			for _, l := range r.logs {
				l.fault(nil)
			}
			m.settle()
			m.checkMemory()
			m.checkPromises()
		}
		for i := range r.logs {
			r.c.Resign(int32(i))
		}
		for _, a := range m.calls {
			if a.response() == nil {
				t.Errorf("%+v was never answered", a.req)
			}
		}
	})
}

// faults lets one append in eight fail, half of those stored all the same, and others take their time.
func (m *model) faults() func(int) (time.Duration, bool, error) {
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(m.rand.Uint64(), 2))
	return func(int) (time.Duration, bool, error) {
		mu.Lock()
		defer mu.Unlock()
		takes := time.Duration(faults.IntN(3)) * 100 * time.Millisecond
		if faults.IntN(8) == 0 {
			return takes, faults.IntN(2) == 0, errInjected
		}
		return takes, true, nil
	}
}

// settle waits until nothing is under way: then every call but a join that waits is answered.
func (m *model) settle() {
	for range 100 {
		m.pass(time.Second)
		if slices.ContainsFunc(m.calls, func(a *asked) bool { return a.response() == nil }) {
			continue
		}
		serving := 0
		for _, s := range m.c.States() {
			if s == Serving {
				serving++
			}
		}
		if serving == len(m.logs) {
			return
		}
	}
	m.t.Fatal("calls stay unanswered")
}

// call hands in a request and has what is to be learnt from its answer learnt at once, so that it is known before a later answer.
func (m *model) call(req kmsg.Request, learn func(kmsg.Response)) {
	a := m.start(req)
	m.calls = append(m.calls, a)
	if m.rand.IntN(2) == 0 {
		for range 200 {
			if a.response() != nil {
				break
			}
			m.pass(50 * time.Millisecond)
		}
		if a.response() != nil && learn != nil {
			learn(a.response())
		}
	}
}

func (m *model) act() {
	group := modelGroups[m.rand.IntN(len(modelGroups))]
	p := offsets.Partition{Topic: []string{"orders", "payments"}[m.rand.IntN(2)], Partition: int32(m.rand.IntN(2))}
	switch n := m.rand.IntN(20); {
	case n < 9:
		m.commit(group, p)
	case n < 15:
		m.live(group)
	case n == 15:
		delete(m.acked, group)
		m.call(&kmsg.DeleteGroupsRequest{Version: 2, Groups: []string{group}}, nil)
	case n == 16:
		delete(m.acked[group], p)
		m.call(offsetDelete(group, p.Topic, p.Partition), nil)
	case n == 17:
		for _, of := range m.acked {
			for q := range of {
				if q.Topic == "payments" {
					delete(of, q)
				}
			}
		}
		m.payments++
		m.setTopics(topic("orders", 1, 8), topic("payments", m.payments, 2)) // it is made again
		m.c.TopicsDeleted([]string{"payments"})
	case n == 18:
		m.call(fetchAllOf(modelGroups...), nil)
	default:
		m.call(&kmsg.ListGroupsRequest{Version: 5}, nil)
	}
}

// commit commits as the group's member, if it has one.
func (m *model) commit(group string, p offsets.Partition) {
	m.next++
	offset := m.next
	req := commit(group, p.Topic, p.Partition, offset)
	req.Version = 9
	if member := m.member[group]; member != nil {
		req.MemberID, req.Generation = member.id, member.epoch
	}
	m.call(req, func(r kmsg.Response) {
		if commitCode(r) == 0 {
			if m.acked[group] == nil {
				m.acked[group] = map[offsets.Partition]int64{}
			}
			m.acked[group][p] = offset
		}
	})
}

// live takes a group's member one step on: it joins, syncs and heartbeats, or leaves.
func (m *model) live(group string) {
	member := m.member[group]
	switch {
	case member == nil && m.rand.IntN(2) == 0:
		id := fmt.Sprintf("m%d", m.rand.IntN(3))
		m.call(beat(group, id, 0), func(r kmsg.Response) {
			if b := r.(*kmsg.ConsumerGroupHeartbeatResponse); b.ErrorCode == 0 {
				m.member[group] = &modelMember{id: id, epoch: b.MemberEpoch, modern: true}
			}
		})
	case member == nil:
		m.call(join(group, ""), func(r kmsg.Response) { m.rejoin(group, r.(*kmsg.JoinGroupResponse).MemberID) })
	case m.rand.IntN(4) == 0 && member.modern:
		delete(m.member, group)
		m.call(beat(group, member.id, -1), nil)
	case m.rand.IntN(4) == 0:
		delete(m.member, group)
		m.call(&kmsg.LeaveGroupRequest{Version: 3, Group: group, Members: []kmsg.LeaveGroupRequestMember{{MemberID: member.id}}}, nil)
	case member.modern:
		m.call(beat(group, member.id, member.epoch), func(r kmsg.Response) {
			b := r.(*kmsg.ConsumerGroupHeartbeatResponse)
			if member.epoch = b.MemberEpoch; b.ErrorCode != 0 && b.ErrorCode != 14 && b.ErrorCode != 16 {
				delete(m.member, group)
			}
		})
	default:
		m.call(heartbeat(group, member.id, member.epoch), func(r kmsg.Response) {
			if code := r.(*kmsg.HeartbeatResponse).ErrorCode; code != 0 && code != 14 && code != 16 {
				delete(m.member, group)
			}
		})
	}
}

// rejoin joins with an id, and syncs as the leader.
func (m *model) rejoin(group, id string) {
	if id == "" {
		return
	}
	m.call(join(group, id), func(r kmsg.Response) {
		joined := r.(*kmsg.JoinGroupResponse)
		if joined.ErrorCode != 0 {
			return
		}
		req := assign(id, joined.Generation, nil)
		req.Group = group
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: consumerAssignment()}}
		m.call(req, func(r kmsg.Response) {
			if r.(*kmsg.SyncGroupResponse).ErrorCode == 0 {
				m.member[group] = &modelMember{id: id, epoch: joined.Generation}
			}
		})
	})
}

// checkPromises: no acknowledged offset is lost or goes back.
func (m *model) checkPromises() {
	m.t.Helper()
	for group, want := range m.acked {
		got := m.committed(group)
		for p, offset := range want {
			if now, ok := got[p.Topic][p.Partition]; !ok || now < offset {
				m.t.Fatalf("group %s acknowledged %d for %v and has %d (%v)", group, offset, p, now, ok)
			}
		}
	}
}

// image is what of a group must survive a change of the coordinator.
type image struct {
	Kind     string
	Offsets  map[offsets.Partition]offsets.Committed
	Classic  kmsg.DescribeGroupsResponseGroup
	Consumer kmsg.ConsumerGroupDescribeResponseGroup
}

// images leaves out classic groups in a rebalance, which the journal knows as they were before, and groups that only handed out member ids.
func images(r *registry) map[string]image {
	all := map[string]image{}
	for id, g := range r.groups {
		i := image{Kind: "classic", Offsets: map[offsets.Partition]offsets.Committed{}}
		for p, c := range g.offsets.All() {
			i.Offsets[p] = c
		}
		switch state := g.state(); {
		case g.consumer != nil:
			i.Kind = "consumer"
			g.consumer.Describe(&i.Consumer, r.c.o.Topics())
		case state == "Stable":
			g.classic.Describe(&i.Classic)
		case state == "Empty" && g.offsets.Len() == 0: // it may have been stored or not
			continue
		case state != "Empty":
			continue
		}
		all[id] = i
	}
	return all
}

// checkMemory: what a coordinator has in memory is what another would load from the journal.
func (m *model) checkMemory() {
	m.t.Helper()
	for p, l := range m.logs {
		var memory map[string]image
		var skipped []string
		s := m.c.shards[p].Load()
		if !s.queue.inspect(func(r *registry) {
			memory = images(r)
			for id := range r.groups {
				if _, ok := memory[id]; !ok {
					skipped = append(skipped, id)
				}
			}
		}) {
			m.t.Fatal("not serving")
		}
		synctest.Wait()
		o := options(2)
		o.Topics = m.topicsNow
		r, err := load(context.Background(), New(o), l, slog.New(slog.DiscardHandler))
		if err != nil {
			m.t.Fatal(err)
		}
		loaded := images(r)
		for _, id := range skipped {
			delete(loaded, id)
		}
		if !reflect.DeepEqual(memory, loaded) {
			m.t.Fatalf("partition %d: in memory\n%+v\nin the journal\n%+v", p, memory, loaded)
		}
	}
}
