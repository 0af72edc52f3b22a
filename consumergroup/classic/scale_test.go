package classic

import (
	"fmt"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// crowd drives a group of many without looking into it, so that what is measured is the group.
type crowd struct {
	g       *Group
	s       *step.Step
	members []string
}

func newCrowd(size int) *crowd {
	c := &crowd{g: New("g", &Config{MaxRecord: 16 << 20}), s: &step.Step{Now: time.Unix(1000, 0)}}
	for range size {
		c.join("")
	}
	for i := range c.s.Replies {
		c.members = append(c.members, c.s.Replies[i].Response.(*kmsg.JoinGroupResponse).MemberID)
	}
	// The first one has a generation of its own at once, and joins again with the others.
	c.rebalance()
	c.rebalance()
	return c
}

func (c *crowd) join(id string) {
	req := joining{version: 5, id: id, offers: "range=metadata sticky=metadata"}.request()
	c.g.Join(c.s, &step.Call{Request: req, ClientID: "app"})
}

// rebalance is one from the first join to the last sync; it says how many were answered, in the generation that it ends in.
func (c *crowd) rebalance() (joins, syncs int, generation int32) {
	c.s.Replies, c.s.Entries = c.s.Replies[:0], c.s.Entries[:0]
	c.g.Rebalance(c.s)
	for _, m := range c.members {
		c.join(m)
	}
	leader, generation := "", int32(0)
	for i := range c.s.Replies {
		if r := c.s.Replies[i].Response.(*kmsg.JoinGroupResponse); r.ErrorCode == 0 {
			joins, leader, generation = joins+1, r.LeaderID, r.Generation
		}
	}
	c.s.Replies = c.s.Replies[:0]
	for _, m := range c.members {
		if m != leader {
			c.g.Sync(c.s, &step.Call{Request: syncing(m, generation)})
		}
	}
	last := syncing(leader, generation)
	for _, m := range c.members {
		last.GroupAssignment = append(last.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte("assignment")})
	}
	c.g.Sync(c.s, &step.Call{Request: last})
	for i := range c.s.Replies {
		if r := c.s.Replies[i].Response.(*kmsg.SyncGroupResponse); r.ErrorCode == 0 && len(r.MemberAssignment) > 0 {
			syncs++
		}
	}
	return joins, syncs, generation
}

// TestTenThousandMembers takes a fraction of a second: nothing in it may grow with the square of the members.
func TestTenThousandMembers(t *testing.T) {
	const size = 10_000
	c := newCrowd(size)
	for range 2 {
		joins, syncs, generation := c.rebalance()
		if joins != size || syncs != size || generation != c.g.Generation() || c.g.State() != "Stable" {
			t.Fatalf("%d joined, %d synced in generation %d; %s", joins, syncs, generation, c.g.State())
		}
	}
	ticks := 0
	for end := c.s.Now.Add(30 * time.Second); c.s.Now.Before(end); c.s.Now = c.s.Now.Add(time.Second) {
		for i, m := range c.members {
			if i%3 == int(c.s.Now.Unix()%3) {
				c.g.Heartbeat(c.s, &step.Call{Request: beat(m, c.g.Generation())})
			}
		}
		for !c.g.Deadline().After(c.s.Now) {
			c.g.Tick(c.s)
			ticks++
		}
	}
	if c.g.Members() != size || c.g.State() != "Stable" || ticks > 30 {
		t.Fatalf("%d members, %s, %d ticks in 30 s", c.g.Members(), c.g.State(), ticks)
	}
	for _, m := range c.members[:size/2] { // one by one
		c.g.Leave(c.s, &step.Call{Request: leaving(5, m)})
	}
	for n := 0; !c.g.Deadline().IsZero(); n++ { // the others crash
		c.s.Now = c.g.Deadline()
		if c.g.Tick(c.s); n > size {
			t.Fatal("it wants ticks without end")
		}
	}
	if !c.g.Empty() {
		t.Fatalf("%d members, %s", c.g.Members(), c.g.State())
	}
}

func TestAHeartbeatOnlyMovesTheEndOfASession(t *testing.T) {
	c := newCrowd(3)
	deadline := c.g.Deadline()
	c.s.Now = c.s.Now.Add(time.Second)
	for _, m := range c.members {
		c.g.Heartbeat(c.s, &step.Call{Request: beat(m, c.g.Generation())})
	}
	if c.g.Deadline() != deadline {
		t.Fatalf("the deadline went from %v to %v", deadline, c.g.Deadline())
	}
	c.s.Now = deadline
	c.g.Tick(c.s)
	if got, want := c.g.Deadline(), deadline.Add(time.Second); got != want || c.g.Members() != 3 {
		t.Fatalf("the deadline is %v, want %v; %d members", got, want, c.g.Members())
	}
}

// BenchmarkRebalance is a whole rebalance: all join, the leader assigns, all sync.
func BenchmarkRebalance(b *testing.B) {
	for _, size := range []int{3, 100, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newCrowd(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, syncs, _ := c.rebalance(); syncs != size {
					b.Fatalf("%d synced, %s", syncs, c.g.State())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/member")
		})
	}
}

// BenchmarkHeartbeat is one in a group of 1,000.
func BenchmarkHeartbeat(b *testing.B) {
	c := newCrowd(1000)
	calls := make([]*step.Call, len(c.members))
	for i, m := range c.members {
		calls[i] = &step.Call{Request: beat(m, c.g.Generation())}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.s.Now = c.s.Now.Add(time.Microsecond)
		c.s.Replies = c.s.Replies[:0]
		c.g.Heartbeat(c.s, calls[i%len(calls)])
		if c.s.Replies[0].Response.(*kmsg.HeartbeatResponse).ErrorCode != 0 {
			b.Fatal(c.g.State())
		}
	}
}

// BenchmarkRestore is what loading costs for a group of three consumers.
func BenchmarkRestore(b *testing.B) {
	c := newCrowd(3)
	e := c.s.Entries[0].(*journal.GroupMetadata)
	b.ReportAllocs()
	for b.Loop() {
		if Restore(e, c.g.config, c.s.Now).Members() != 3 {
			b.Fatal("members are missing")
		}
	}
}
