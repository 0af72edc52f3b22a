package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// TestCommitRate has a hundred groups commit offsets at a steady rate, whatever the answers do, with fsync.
//
// QUIRE_GROUPS_SECONDS sets for how long (2, at 2,000 commits a second; from 10 on, as in `make groups`, 10,000 a second).
func TestCommitRate(t *testing.T) {
	if testing.Short() {
		t.Skip("measures a rate")
	}
	const groups = 100
	seconds := envInt(t, "QUIRE_GROUPS_SECONDS", 2)
	perSecond, least := 2000, 0.1 // a busy machine answers the last ones late: only the long form says how many it takes
	if seconds >= 10 {
		perSecond, least = 10_000, 0.95
	}
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	groupTopic(t, b.addr, 1)
	members := joinGroups(t, b.addr, groups, joinAlone)
	defer leaveGroups(members)
	cpu, began := b.cpu(t), time.Now()
	late := commitSteadily(t, members, perSecond, time.Duration(seconds)*time.Second)
	took := time.Since(began)
	cpu = b.cpu(t) - cpu
	slices.Sort(late)
	rate := float64(len(late)) / took.Seconds()
	at := func(q float64) time.Duration { return late[int(q*float64(len(late)-1))].Round(10 * time.Microsecond) }
	t.Logf("%d commits/s asked of %d groups, %.0f/s answered: p50 %v, p99 %v, p99.9 %v, max %v; %.0f%% of a core, RSS %d MiB",
		perSecond, groups, rate, at(0.5), at(0.99), at(0.999), at(1), 100*cpu.Seconds()/took.Seconds(), b.rss(t)>>20)
	if rate < least*float64(perSecond) {
		t.Errorf("%.0f commits/s, want %d", rate, perSecond)
	}
}

// joinAlone makes a group of one member, whose heartbeat is a commit.
func joinAlone(addr string, group int) ([]*groupMember, error) {
	p, err := dialPeer(addr)
	if err != nil {
		return nil, err
	}
	m := &groupMember{peer: p}
	if err := p.send(classicJoin(groupName(group), "")); err != nil {
		return []*groupMember{m}, err
	}
	if err := syncClassic(p, groupName(group), []*groupMember{m}); err != nil {
		return []*groupMember{m}, err
	}
	as := m.beat.(*kmsg.HeartbeatRequest)
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation, r.MemberID = 8, as.Group, as.Generation, as.MemberID
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: groupsTopic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{LeaderEpoch: -1}}}}
	m.beat = r
	return []*groupMember{m}, nil
}

// commitSteadily sends commits of the members in turn, and returns how long each took from when it was due.
func commitSteadily(t *testing.T, members []*groupMember, perSecond int, d time.Duration) []time.Duration {
	t.Helper()
	total := int(d.Seconds() * float64(perSecond))
	late := make([]time.Duration, total)
	began := time.Now()
	due := func(n int) time.Time { return began.Add(time.Duration(n) * time.Second / time.Duration(perSecond)) }
	var readers errgroup.Group
	for i, m := range members {
		readers.Go(func() error {
			for n := i; n < total; n += len(members) {
				resp, err := m.peer.receive(m.beat)
				if err != nil {
					return err
				}
				if err := commitError(resp.(*kmsg.OffsetCommitResponse)); err != nil {
					return err
				}
				late[n] = time.Since(due(n))
			}
			return nil
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; n < total; <-tick.C {
		for ; n < total && !due(n).After(time.Now()); n++ {
			m := members[n%len(members)]
			m.beat.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Offset = int64(n)
			if err := m.peer.send(m.beat); err != nil {
				t.Fatal(errors.Join(err, readers.Wait()))
			}
		}
	}
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
	return late
}
