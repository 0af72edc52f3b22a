package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quirelog/quire/segment/batch"
)

const provenTopic = "proven"

// createProven makes the topic, of three replicas, and returns when it can be used.
func (c trio) createProven(t *testing.T, partitions int32) {
	t.Helper()
	c.awaitBrokers(t)
	cl := newClient(t, c[0].addr)
	defer cl.Close()
	adm := kadm.NewClient(cl)
	adm.SetTimeoutMillis(60_000)
	if _, err := adm.CreateTopic(t.Context(), partitions, 3, nil, provenTopic); err != nil {
		t.Fatal(err)
	}
}

// awaitBrokers waits until each broker sees all.
func (c trio) awaitBrokers(t *testing.T) {
	t.Helper()
	for _, b := range c {
		until(t, time.Minute, "every broker sees all", func() bool {
			md, err := metadataFrom(b.addr, nil)
			return err == nil && len(md.Brokers) == len(c)
		})
	}
}

// metadataFrom asks one broker, on a connection of its own; topics nil: all topics.
func metadataFrom(addr string, topics []string) (*kmsg.MetadataResponse, error) {
	p, err := dialPeer(addr)
	if err != nil {
		return nil, err
	}
	defer p.nc.Close()
	return p.metadata(topics)
}

func (p *peer) metadata(topics []string) (*kmsg.MetadataResponse, error) {
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 8
	for _, name := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		r.Topics = append(r.Topics, rt)
	}
	return answer[*kmsg.MetadataResponse](p, r)
}

// ledBy is who leads each partition by what a broker says, -1 where nobody does, and how many partitions have all their replicas in sync.
func ledBy(addr string) (by map[int32]int32, whole int, err error) {
	md, err := metadataFrom(addr, []string{provenTopic})
	if err != nil {
		return nil, 0, err
	}
	if len(md.Topics) != 1 || md.Topics[0].ErrorCode != 0 {
		return nil, 0, fmt.Errorf("metadata: %+v", md.Topics)
	}
	by = map[int32]int32{}
	for _, p := range md.Topics[0].Partitions {
		by[p.Partition] = p.Leader
		if len(p.ISR) == 3 {
			whole++
		}
	}
	return by, whole, nil
}

// awaitWhole waits until every partition has a leader and three replicas in sync.
func (c trio) awaitWhole(t *testing.T, partitions int, limit time.Duration) {
	t.Helper()
	for _, b := range c {
		until(t, limit, "every partition is led and whole", func() bool {
			_, whole, err := ledBy(b.addr)
			return err == nil && whole == partitions
		})
	}
}

// written is the offset of the latest acknowledged record of each partition.
type written map[int32]int64

// writeAll writes one record with acks=all to each of these partitions, as a client would that is told of new leaders at once, and returns when
// the last of them is acknowledged. It asks only these brokers.
func (w written) writeAll(t *testing.T, partitions []int32, brokers map[int32]*killable, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	open := map[int32]bool{}
	for _, p := range partitions {
		open[p] = true
	}
	builder := batch.Builder{}
	record, err := builder.Build([]batch.Record{{Value: []byte("v"), Timestamp: began.UnixMilli()}})
	if err != nil {
		t.Fatal(err)
	}
	conns := map[int32]*peer{}
	for id, b := range brokers {
		conns[id] = newPeer(t, b.addr)
	}
	var asked *peer
	for _, p := range conns {
		asked = p
	}
	last := ""
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; len(open) > 0; <-tick.C {
		if time.Since(began) > limit {
			t.Fatalf("%d of %d partitions take no write after %v: %s", len(open), len(partitions), limit, last)
		}
		md, err := asked.metadata([]string{provenTopic})
		if err != nil {
			t.Fatal(err)
		}
		due := map[int32][]int32{}
		for _, p := range md.Topics[0].Partitions {
			if open[p.Partition] && conns[p.Leader] != nil {
				due[p.Leader] = append(due[p.Leader], p.Partition)
			}
		}
		for leader, ps := range due {
			resp, err := answer[*kmsg.ProduceResponse](conns[leader], produceToEach(ps, record))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range resp.Topics[0].Partitions {
				if p.ErrorCode != 0 {
					last = fmt.Sprintf("partition %d at broker %d: %v", p.Partition, leader, kerr.ErrorForCode(p.ErrorCode))
					continue
				}
				if before, ok := w[p.Partition]; ok && p.BaseOffset <= before {
					t.Errorf("partition %d gave offset %d to a record, after %d was acknowledged", p.Partition, p.BaseOffset, before)
				}
				w[p.Partition] = p.BaseOffset
				delete(open, p.Partition)
			}
		}
	}
	return time.Since(began)
}

// produceToEach is a request that waits 1 s at most for the replicas.
func produceToEach(partitions []int32, record []byte) *kmsg.ProduceRequest {
	r := produceOf(provenTopic, nil)
	r.TimeoutMillis = 1000
	rt := &r.Topics[0]
	rt.Partitions = nil
	for _, n := range partitions {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = n, append([]byte(nil), record...)
		rt.Partitions = append(rt.Partitions, p)
	}
	return r
}

func endsRequest(partitions []int32) *kmsg.ListOffsetsRequest {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version = 4
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = provenTopic
	for _, n := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = n, -1, -1
		rt.Partitions = append(rt.Partitions, p)
	}
	r.Topics = append(r.Topics, rt)
	return r
}

// leaderOfMost is the index of the broker that leads most, and what it leads.
func (c trio) leaderOfMost(t *testing.T) (index int, led []int32) {
	t.Helper()
	by, _, err := ledBy(c[0].addr)
	if err != nil {
		t.Fatal(err)
	}
	leads := map[int32][]int32{}
	for p, id := range by {
		leads[id] = append(leads[id], p)
	}
	for i := range c {
		if ps := leads[int32(i+1)]; len(ps) > len(led) {
			index, led = i, ps
		}
	}
	return index, led
}

func (c trio) others(without int) map[int32]*killable {
	rest := map[int32]*killable{}
	for i, b := range c {
		if i != without {
			rest[int32(i+1)] = b
		}
	}
	return rest
}

func allOf(partitions int32) (all []int32) {
	for p := range partitions {
		all = append(all, p)
	}
	return all
}

// TestClusterTakesWritesAgain kills, and then stops, the broker that leads most partitions of three replicas, and measures how long it takes until
// each partition that it led acknowledges a write with acks=all. A stopped broker has requests waiting when it goes on, and must answer none of
// them with an end that lies before what was acknowledged meanwhile. Both then catch up by themselves.
//
// QUIRE_CLUSTER_PARTITIONS sets how many there are (60; `make cluster` has 1,000).
func TestClusterTakesWritesAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	partitions := int32(envInt(t, "QUIRE_CLUSTER_PARTITIONS", 60))
	c := startTrio(t, binary(t), "--durability", "os")
	c.createProven(t, partitions)
	c.awaitWhole(t, int(partitions), time.Minute)
	w := written{}
	w.writeAll(t, allOf(partitions), c.others(-1), time.Minute)

	killed, led := c.leaderOfMost(t)
	c[killed].kill(t)
	took := w.writeAll(t, led, c.others(killed), time.Minute)
	t.Logf("%d of %d partitions were led by the killed broker: all take writes %v after the kill", len(led), partitions, took.Round(time.Millisecond))
	if limit := atMost(2 * time.Second); took > limit {
		t.Errorf("writes are taken %v after the kill, limit %v", took, limit)
	}
	w.writeAll(t, allOf(partitions), c.others(killed), time.Minute)
	back := time.Now()
	c[killed].launch(t)
	c.awaitWhole(t, int(partitions), time.Minute)
	t.Logf("all replicas in sync %v after its start", time.Since(back).Round(time.Millisecond))

	c.stopOne(t, partitions, w)
	c.awaitWhole(t, int(partitions), time.Minute)
	w.writeAll(t, allOf(partitions), c.others(-1), time.Minute)
}

// stopOne stops the broker that leads most.
func (c trio) stopOne(t *testing.T, partitions int32, w written) {
	t.Helper()
	stopped, led := c.leaderOfMost(t)
	p := newPeer(t, c[stopped].addr)
	if _, err := p.metadata(nil); err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := c[stopped].cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	until(t, 20*time.Second, "every thread of it stands", c[stopped].stands) // until then it may still answer, rightly
	ends := endsRequest(led)
	if err := p.send(ends); err != nil {
		t.Fatal(err)
	}
	took := w.writeAll(t, led, c.others(stopped), time.Minute)
	t.Logf("%d of %d partitions were led by the stopped broker: all take writes %v after the stop", len(led), partitions, took.Round(time.Millisecond))
	if limit := atMost(4 * time.Second); took > limit {
		t.Errorf("writes are taken %v after the stop, limit %v", took, limit)
	}
	signal(syscall.SIGCONT)
	resp, err := p.receive(ends)
	if err != nil {
		t.Fatal(err)
	}
	answered := 0
	for _, e := range resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
		if e.ErrorCode != 0 {
			continue
		}
		answered++
		if e.Offset <= w[e.Partition] {
			t.Errorf("partition %d: a stopped broker says it ends at %d, and %d was acknowledged elsewhere", e.Partition, e.Offset, w[e.Partition])
		}
	}
	t.Logf("of %d questions that waited for it, the stopped broker answered %d and refused the others", len(led), answered)
}

// stands says whether every thread of the process is stopped.
func (b *killable) stands() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", b.cmd.Process.Pid))
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if _, state, _ := strings.Cut(string(stat), ") "); err != nil || !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return len(threads) > 0
}
