package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetch (1), versions 4 to 18. 4: isolation level. 5: log start offset. 7: sessions (KIP-227). 9: the client's leader
// epoch (KIP-320). 11: rack. 12: flexible, last fetched epoch. 13: topics by id. 15: the replica id is a tag. 16:
// endpoints of leaders (KIP-951). 17, 18: for followers.

// maxFetchChunks is how many partitions one response has records of: each may hold a file open until the client has read it.
const maxFetchChunks = 1000

// startFetch leaves all to finish: the session's epochs follow the order of responses.
func startFetch(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.FetchRequest)
	return func(ctx context.Context) reply {
		plan, err := b.sessions.begin(req)
		resp := fetchResponse{version: req.Version, code: errorCode(err)}
		if err == nil {
			f := &fetch{b: b, req: req, partitions: plan.partitions}
			resp.session, resp.results = b.sessions.end(plan, f.run(ctx))
			resp.nodes = f.leaderNodes(resp.results)
		}
		return reply{stream: resp.parts()}
	}
}

// fetch is one Fetch request under way.
type fetch struct {
	b          *Broker
	req        *kmsg.FetchRequest
	partitions []*fetchPartition
	view       *view
}

// run waits until there is enough to answer and reads it: one result a partition.
func (f *fetch) run(ctx context.Context) []*fetchResult {
	if !f.ready() {
		f.wait(ctx)
	}
	results := make([]*fetchResult, len(f.partitions))
	room := int(min(f.req.MaxBytes, f.b.cfg.FetchMaxBytes))
	taken, chunks := 0, 0
	for i, p := range f.partitions {
		results[i] = f.read(p, room, taken)
		room -= results[i].chunk.Len
		taken += results[i].chunk.Len
		if results[i].chunk.Len > 0 {
			if chunks++; chunks == maxFetchChunks {
				room = 0
			}
		}
	}
	return results
}

// ready says whether the request is to be answered now: MinBytes are there, or a partition has an error to tell.
func (f *fetch) ready() bool {
	if f.req.MaxWaitMillis <= 0 || f.req.MinBytes <= 0 || len(f.partitions) == 0 {
		return true
	}
	f.view = f.b.view()
	var available int64
	for _, p := range f.partitions {
		replica, err := f.find(p)
		if err != nil {
			return true
		}
		marks, err := replica.Marks(p.epoch)
		if err != nil || p.offset > marks.HighWatermark || p.offset < marks.LogStart || p.diverges(replica) {
			return true
		}
		if p.offset < marks.HighWatermark {
			available += min(max(replica.Available(p.offset), 1), int64(max(p.maxBytes, 1)))
		}
	}
	return available >= int64(f.req.MinBytes)
}

// wait returns when the request is ready, MaxWait is over, or nobody waits for the answer any more.
func (f *fetch) wait(ctx context.Context) {
	waiter := partition.NewWaiter()
	watched := make([]*partition.Partition, 0, len(f.partitions))
	for _, p := range f.partitions {
		if replica, err := f.find(p); err == nil {
			replica.Watch(waiter)
			watched = append(watched, replica)
		}
	}
	defer func() {
		for _, replica := range watched {
			replica.Unwatch(waiter)
		}
	}()
	timer := time.NewTimer(min(milliseconds(f.req.MaxWaitMillis), maxFetchWait))
	defer timer.Stop()
	// What came between the first look and Watch woke nobody: look again before the first wait.
	for !f.ready() {
		select {
		case <-waiter.C():
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-f.b.stopping:
			return
		}
	}
}

func (f *fetch) find(p *fetchPartition) (*partition.Partition, error) {
	replica, topic, err := f.b.replica(f.view, f.req.Version >= 13, p.key.topic, p.key.id, p.key.partition)
	if err == nil && f.req.Version < 10 && topic.config.Compression.Codec == batch.Zstd {
		err = fmt.Errorf("%w: zstd needs fetch version 10", errCompression)
	}
	return replica, err
}

// read reads one partition: up to its own limit within room bytes, and at least one whole batch if none was taken before,
// however large it is.
func (f *fetch) read(p *fetchPartition, room, taken int) *fetchResult {
	r := &fetchResult{key: p.key, highWatermark: -1, lastStable: -1, logStart: -1, divergeEpoch: -1, leader: -1, leaderEpoch: -1}
	f.view = f.b.view()
	replica, err := f.find(p)
	if err != nil {
		r.code = errorCode(err)
		return r
	}
	if p.diverges(replica) {
		return f.diverged(p, replica, r)
	}
	if taken > 0 && room <= 0 && f.unread(p, replica, r) {
		return r
	}
	chunk, marks, err := replica.Read(p.offset, max(min(int(p.maxBytes), room), 0), p.epoch)
	if err != nil {
		r.fail(err, replica)
		return r
	}
	r.highWatermark, r.lastStable, r.logStart = marks.HighWatermark, marks.LastStable, marks.LogStart
	if taken > 0 && chunk.Len > room {
		chunk.Close()
		return r
	}
	r.chunk = chunk
	return r
}

// unread sets the marks of a partition that has no room in the response, without a look at its files; false: the offset is out of
// range, or the partition has another error to tell.
func (f *fetch) unread(p *fetchPartition, replica *partition.Partition, r *fetchResult) bool {
	marks, err := replica.Marks(p.epoch)
	if err != nil || p.offset < marks.LogStart || p.offset > marks.HighWatermark {
		return false
	}
	r.highWatermark, r.lastStable, r.logStart = marks.HighWatermark, marks.LastStable, marks.LogStart
	return true
}

// diverges says whether the client's last record is of an epoch that ended here before its offset (KIP-595).
func (p *fetchPartition) diverges(replica *partition.Partition) bool {
	if p.fetchedEpoch < 0 {
		return false
	}
	epoch, end := replica.EpochEnd(p.fetchedEpoch)
	return epoch < p.fetchedEpoch || end < p.offset
}

func (f *fetch) diverged(p *fetchPartition, replica *partition.Partition, r *fetchResult) *fetchResult {
	marks, err := replica.Marks(p.epoch)
	if err != nil {
		r.fail(err, replica)
		return r
	}
	epoch, end := replica.EpochEnd(p.fetchedEpoch)
	if epoch < 0 { // the log knows no epoch that old: the client has to reset
		r.code = errorCode(partition.ErrOffsetOutOfRange)
		return r
	}
	r.highWatermark, r.lastStable, r.logStart = marks.HighWatermark, marks.LastStable, marks.LogStart
	r.divergeEpoch, r.divergeEnd = epoch, end
	return r
}

// fail sets the error, with the leader where that is what the client needs next. As from Kafka no marks come with an error.
func (r *fetchResult) fail(err error, replica *partition.Partition) {
	r.code = errorCode(err)
	if errors.Is(err, partition.ErrNotLeader) || errors.Is(err, partition.ErrFencedLeaderEpoch) {
		id, epoch := replica.Leader()
		r.leader, r.leaderEpoch = brokerOf(id), epoch
	}
}

// leaderNodes lists the endpoints of the leaders that results name.
func (f *fetch) leaderNodes(results []*fetchResult) []controller.Broker {
	var nodes []controller.Broker
	for _, r := range results {
		if r.leader >= 0 {
			nodes = appendNode(nodes, f.view, r.leader)
		}
	}
	return nodes
}

// appendNode appends the broker id once, if the view knows it.
func appendNode(nodes []controller.Broker, v *view, id int32) []controller.Broker {
	for _, n := range nodes {
		if n.ID == id {
			return nodes
		}
	}
	if n, ok := v.Brokers[id]; ok {
		nodes = append(nodes, n)
	}
	return nodes
}
