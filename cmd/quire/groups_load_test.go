package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

const (
	commitsAGroup   = 100 // one a partition
	commitsAtOnce   = 10
	groupsAtOnce    = 500 // of one OffsetFetch
	fillConnections = 16
)

// TestGroupsAfterKill has groups commit a hundred offsets each, kills the broker and measures how long the next one takes until every group
// answers OffsetFetch with the last of them. Then all offsets are compared.
//
// QUIRE_GROUPS_COMMITS sets how many commits there are (100,000; `make groups` has a million).
func TestGroupsAfterKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	limit := atMost(2 * time.Second)
	groups := int(envInt(t, "QUIRE_GROUPS_COMMITS", 100_000)) / commitsAGroup
	b := newKillable(t, binary(t))
	b.start(t)
	defer b.kill(t)
	groupTopic(t, b.addr, commitsAGroup)
	began := time.Now()
	fillGroups(t, b.addr, groups)
	filled, before := time.Since(began), b.rss(t)
	b.kill(t)

	began = time.Now()
	b.launch(t)
	until(t, time.Minute, "the broker is ready", b.ready)
	ready := time.Since(began)
	p := newPeer(t, b.addr)
	last := []int32{commitsAGroup - 1}
	for from := 0; from < groups; from += groupsAtOnce {
		until(t, time.Minute, "every group answers", func() bool { return fetchGroups(t, p, from, min(from+groupsAtOnce, groups), last) })
	}
	took, cpu, rss := time.Since(began), b.cpu(t), b.rss(t)
	t.Logf("%d commits of %d groups, made in %v: after kill -9 ready after %v and all groups answer after %v, %v CPU; RSS %d MiB, before the kill %d MiB",
		groups*commitsAGroup, groups, filled.Round(time.Millisecond), ready.Round(time.Millisecond), took.Round(time.Millisecond), cpu, rss>>20, before>>20)
	if took > limit {
		t.Errorf("all groups answer after %v, limit %v", took, limit)
	}
	for from := 0; from < groups; from += groupsAtOnce {
		if !fetchGroups(t, p, from, min(from+groupsAtOnce, groups), nil) {
			t.Fatalf("groups %d and up do not answer any more", from)
		}
	}
}

const groupsTopic = "grouped"

// groupTopic makes the topic that groups read, and the journal.
func groupTopic(t *testing.T, addr string, partitions int32) {
	t.Helper()
	cl := newClient(t, addr)
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, groupsTopic); err != nil {
		t.Fatal(err)
	}
	for _, c := range admin.FindGroupCoordinators(t.Context(), "any") {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
	}
}

func groupName(n int) string { return fmt.Sprintf("group-%05d", n) }

// offsetIn is what group g has committed for partition p.
func offsetIn(g int, p int32) int64 { return int64(g)*1000 + int64(p) }

// fillGroups commits some offsets of each group at once, of one group after the other: so that those of one group lie apart.
func fillGroups(t *testing.T, addr string, groups int) {
	t.Helper()
	var conns errgroup.Group
	for c := range fillConnections {
		conns.Go(func() error {
			p, err := dialPeer(addr)
			if err != nil {
				return err
			}
			defer p.nc.Close()
			for from := int32(0); from < commitsAGroup; from += commitsAtOnce {
				var requests []kmsg.Request
				for g := c; g < groups; g += fillConnections {
					if requests = append(requests, commitOf(g, from)); len(requests) == 64 || g+fillConnections >= groups {
						if err := commitAll(p, requests); err != nil {
							return err
						}
						requests = requests[:0]
					}
				}
			}
			return nil
		})
	}
	if err := conns.Wait(); err != nil {
		t.Fatal(err)
	}
}

func commitOf(g int, from int32) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 8, groupName(g), -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = groupsTopic
	for n := from; n < from+commitsAtOnce; n++ {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = n, offsetIn(g, n)
		topic.Partitions = append(topic.Partitions, p)
	}
	r.Topics = append(r.Topics, topic)
	return r
}

// commitAll sends commits ahead of their answers, which must all say yes.
func commitAll(p *peer, requests []kmsg.Request) error {
	if err := p.send(requests...); err != nil {
		return err
	}
	for _, r := range requests {
		resp, err := p.receive(r)
		if err != nil {
			return err
		}
		if err := commitError(resp.(*kmsg.OffsetCommitResponse)); err != nil {
			return err
		}
	}
	return nil
}

// commitError is the first error of a commit's partitions.
func commitError(r *kmsg.OffsetCommitResponse) error {
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if err := kerr.ErrorForCode(r.Topics[i].Partitions[j].ErrorCode); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
		}
	}
	return nil
}

// fetchGroups says whether the groups answer, and checks what they have committed for some partitions; nil: for all.
func fetchGroups(t *testing.T, p *peer, from, to int, partitions []int32) bool {
	t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = 8
	for g := from; g < to; g++ {
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = groupName(g)
		if partitions != nil {
			rt := kmsg.NewOffsetFetchRequestGroupTopic()
			rt.Topic, rt.Partitions = groupsTopic, partitions
			rg.Topics = append(rg.Topics, rt)
		}
		r.Groups = append(r.Groups, rg)
	}
	resp, err := answer[*kmsg.OffsetFetchResponse](p, r)
	if err != nil {
		t.Fatal(err)
	}
	want := commitsAGroup
	if partitions != nil {
		want = len(partitions)
	}
	for i := range resp.Groups {
		if resp.Groups[i].ErrorCode != 0 {
			return false
		}
		checkOffsets(t, &resp.Groups[i], want)
	}
	return true
}

func checkOffsets(t *testing.T, answered *kmsg.OffsetFetchResponseGroup, want int) {
	t.Helper()
	var g int
	if _, err := fmt.Sscanf(answered.Group, "group-%d", &g); err != nil {
		t.Fatalf("group %q: %v", answered.Group, err)
	}
	found := 0
	for i := range answered.Topics {
		for _, p := range answered.Topics[i].Partitions {
			found++
			if p.ErrorCode != 0 || p.Offset != offsetIn(g, p.Partition) {
				t.Fatalf("%s has committed %d (code %d) for partition %d, want %d", answered.Group, p.Offset, p.ErrorCode, p.Partition, offsetIn(g, p.Partition))
			}
		}
	}
	if found != want {
		t.Fatalf("%s has %d offsets, want %d", answered.Group, found, want)
	}
}
