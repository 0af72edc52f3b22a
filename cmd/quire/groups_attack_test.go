package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// TestGroupsUnderAttack has a healthy group commit while others fill groups with members, metadata, assignments and offsets, and leave joins
// behind: they get Kafka's error codes, the healthy group goes on, and the broker's resident memory stays under 512 MiB at its highest.
//
// QUIRE_GROUPS_STORM sets how many members there are (20,000; `make groups` has 100,000), and the rest in proportion.
func TestGroupsUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 20,000 members")
	}
	const limitRSS = 512 << 20
	members := int(envInt(t, "QUIRE_GROUPS_STORM", 20_000))
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	groupTopic(t, b.addr, 10)
	healthy := startCommitter(t, b.addr)
	for _, s := range storms(members) {
		began, before := time.Now(), healthy.commits()
		codes := s.run(t, b.addr)
		t.Logf("%s: %v in %v; %d healthy commits meanwhile; RSS %d MiB, at most %d", s.name, codes, time.Since(began).Round(time.Millisecond),
			healthy.commits()-before, b.rss(t)>>20, b.highestRSS(t)>>20)
		for _, want := range s.want {
			if codes[want.Message] == 0 {
				t.Errorf("%s: nobody got %s", s.name, want.Message)
			}
			delete(codes, want.Message)
		}
		if slices.Contains(s.want, kerr.CoordinatorNotAvailable) {
			delete(codes, accepted.Message)
		}
		if len(codes) > 0 {
			t.Errorf("%s: unexpected %v", s.name, codes)
		}
	}
	healthy.stop(t)
	if rss := b.highestRSS(t); rss >= limitRSS {
		t.Errorf("the broker held %d MiB, the limit is %d", rss>>20, limitRSS>>20)
	}
}

// accepted is the code of no error, as kerr has none for it.
var accepted = &kerr.Error{Message: "ok"}

// storm is requests of one kind from many connections.
type storm struct {
	name      string
	conns, n  int                      // how many requests all connections send together
	ahead     int                      // of the answers
	request   func(n int) kmsg.Request // the n-th
	abandoned bool                     // nobody reads the answers
	want      []*kerr.Error            // all of them come, and no others
}

// storms are what is done one after the other.
func storms(members int) []storm {
	giant := strings.Repeat("m", 900<<10)
	long := strings.Repeat("x", 32_766)
	return []storm{
		{"members of one group", 20, members, 100, func(int) kmsg.Request { return newMember("crowd", "") }, false,
			[]*kerr.Error{kerr.MemberIDRequired, kerr.GroupMaxSizeReached}},
		{"members of many groups", 20, members, 100, func(n int) kmsg.Request { return newMember(fmt.Sprint("crowd-", n%1000), "") }, false,
			[]*kerr.Error{kerr.MemberIDRequired}},
		{"joins left behind", 100, members / 5, 100, func(n int) kmsg.Request { return classicJoin(fmt.Sprint("left-", n%1000), "") }, true, nil},
		{"giant metadata", 8, members / 100, 1, func(n int) kmsg.Request { return newMetadata(fmt.Sprint("giant-", n), giant) }, false,
			[]*kerr.Error{accepted, kerr.CoordinatorNotAvailable}},
		{"giant names of topics", 8, members / 100, 1, func(n int) kmsg.Request { return newConsumer(fmt.Sprint("names-", n), giant) }, false,
			[]*kerr.Error{kerr.CoordinatorNotAvailable}},
		{"new groups with long metadata", 20, members, 100, func(n int) kmsg.Request { return commitWith(fmt.Sprint("endless-", n), strings.Repeat("o", 4096)) }, false,
			[]*kerr.Error{kerr.CoordinatorNotAvailable}},
		{"partitions that are not there", 4, 40, 2, func(n int) kmsg.Request { return commitMany("many", 50_000) }, false,
			[]*kerr.Error{kerr.UnknownTopicOrPartition}},
		{"ids of groups that are too long", 4, 400, 10, func(n int) kmsg.Request { return newMember(long, "") }, false,
			[]*kerr.Error{kerr.InvalidGroupID}},
		{"ids of members that are too long", 4, 400, 10, func(n int) kmsg.Request { return newMember("long", long) }, false,
			[]*kerr.Error{kerr.InvalidRequest}},
	}
}

func newMember(group, member string) kmsg.Request {
	r := classicJoin(group, member)
	r.Version = 5
	return r
}

func newMetadata(group, metadata string) kmsg.Request {
	r := classicJoin(group, "")
	r.Protocols[0].Metadata = []byte(metadata)
	return r
}

func newConsumer(group, topic string) kmsg.Request {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.RebalanceTimeoutMillis = 1, group, "member", 60_000
	for n := 0; n < len(topic); n += 1024 {
		r.SubscribedTopicNames = append(r.SubscribedTopicNames, fmt.Sprint(n, topic[:240]))
	}
	r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return r
}

func commitWith(group, metadata string) kmsg.Request {
	r := commitOf(0, 0)
	r.Group = group
	for i := range r.Topics[0].Partitions {
		r.Topics[0].Partitions[i].Metadata = &metadata
	}
	return r
}

func commitMany(group string, partitions int) kmsg.Request {
	r := commitOf(0, 0)
	r.Group, r.Topics[0].Topic = group, "nowhere"
	r.Topics[0].Partitions = make([]kmsg.OffsetCommitRequestTopicPartition, partitions)
	return r
}

// run sends it all, and counts the answers by what they say.
func (s *storm) run(t *testing.T, addr string) map[string]int {
	t.Helper()
	var mu sync.Mutex
	codes := map[string]int{}
	var conns errgroup.Group
	for c := range s.conns {
		conns.Go(func() error {
			p, err := dialPeer(addr)
			if err != nil {
				return err
			}
			defer p.nc.Close()
			for from := c; from < s.n; from += s.conns * s.ahead {
				var requests []kmsg.Request
				for n := from; n < min(from+s.conns*s.ahead, s.n); n += s.conns {
					requests = append(requests, s.request(n))
				}
				if err := p.send(requests...); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				for i := 0; i < len(requests) && !s.abandoned; i++ {
					resp, err := p.receive(requests[i])
					if err != nil {
						return fmt.Errorf("%s: %w", s.name, err)
					}
					mu.Lock()
					codes[codeOf(resp)]++
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := conns.Wait(); err != nil {
		t.Fatal(err)
	}
	return codes
}

// codeOf is what a response says, of its first partition if it has any.
func codeOf(r kmsg.Response) string {
	var code int16
	switch r := r.(type) {
	case *kmsg.JoinGroupResponse:
		code = r.ErrorCode
	case *kmsg.SyncGroupResponse:
		code = r.ErrorCode
	case *kmsg.ConsumerGroupHeartbeatResponse:
		code = r.ErrorCode
	case *kmsg.OffsetCommitResponse:
		code = r.Topics[0].Partitions[0].ErrorCode
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return accepted.Message
}

// committer is a group of one member that commits again and again.
type committer struct {
	cancel context.CancelFunc
	done   chan struct{}
	member *groupMember

	mu      sync.Mutex
	n       int
	slowest time.Duration
	err     error
}

func startCommitter(t *testing.T, addr string) *committer {
	t.Helper()
	members, err := joinAlone(addr, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &committer{cancel: cancel, done: make(chan struct{}), member: members[0]}
	go func() {
		defer close(c.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for c.err == nil && ctx.Err() == nil {
			<-tick.C
			began := time.Now()
			resp, err := answer[*kmsg.OffsetCommitResponse](c.member.peer, c.member.beat)
			if err == nil {
				err = commitError(resp)
			}
			c.mu.Lock()
			c.n, c.slowest, c.err = c.n+1, max(c.slowest, time.Since(began)), err
			c.mu.Unlock()
		}
	}()
	return c
}

func (c *committer) commits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *committer) stop(t *testing.T) {
	t.Helper()
	c.cancel()
	<-c.done
	c.member.peer.nc.Close()
	t.Logf("the healthy group: %d commits, the slowest took %v", c.n, c.slowest)
	if c.err != nil {
		t.Errorf("the healthy group: %v", c.err)
	}
	if c.n == 0 || c.slowest > 10*time.Second {
		t.Errorf("the healthy group was kept from committing")
	}
}
