package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
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
		marks, err := replica.marks(p.epoch)
		if err != nil || p.offset > marks.HighWatermark || p.offset < marks.LogStart || p.diverges(replica.Partition) || f.nearer(&replica, p.offset) > 0 {
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
			watched = append(watched, replica.Partition)
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

// readable is the replica that a fetch reads.
type readable struct {
	*partition.Partition
	topic    topicView
	follower bool // KIP-392: it may be read though it does not lead
}

// find finds the replica to read. Only a consumer that names its rack is served by a follower: others have been sent here by metadata that is
// out of date, and are told so.
func (f *fetch) find(p *fetchPartition) (readable, error) {
	replica, topic, err := f.b.replica(f.view, f.req.Version >= 13, p.key.topic, p.key.id, p.key.partition)
	s := readable{Partition: replica, topic: topic}
	if err != nil {
		return s, err
	}
	if f.req.Version < 10 && topic.config.Compression.Codec == batch.Zstd {
		return s, fmt.Errorf("%w: zstd needs fetch version 10", errCompression)
	}
	if f.req.Version >= 11 && f.req.Rack != "" {
		_, leads := replica.LeadsIn()
		s.follower = !leads
	}
	return s, nil
}

// marks are the replica's, if it may be read.
func (s *readable) marks(epoch partition.CurrentEpoch) (partition.Marks, error) {
	if s.follower {
		return s.MarksAsFollower(epoch)
	}
	return s.Marks(epoch)
}

func (s *readable) read(from partition.Offset, maxBytes int, epoch partition.CurrentEpoch) (segment.Chunk, partition.Marks, error) {
	if s.follower {
		return s.ReadAsFollower(from, maxBytes, epoch)
	}
	return s.Read(from, maxBytes, epoch)
}

// nearer is the replica in the consumer's rack that it is to read from instead of this leader; 0: none (KIP-392).
func (f *fetch) nearer(s *readable, from partition.Offset) int32 {
	if f.req.Version < 11 || f.req.Rack == "" || s.follower || f.req.Rack == f.b.cfg.Rack {
		return 0
	}
	for _, id := range f.b.leadOf(s.ID()).inSync {
		if br, ok := f.view.Brokers[id]; ok && br.Rack == f.req.Rack && id != f.b.cfg.NodeID && f.b.alive(f.view.Image, id) {
			return id
		}
	}
	return 0
}

// read reads one partition: up to its own limit within room bytes, and at least one whole batch if none was taken before,
// however large it is.
func (f *fetch) read(p *fetchPartition, room, taken int) *fetchResult {
	r := &fetchResult{key: p.key, highWatermark: -1, lastStable: -1, logStart: -1, divergeEpoch: -1, leader: -1, leaderEpoch: -1}
	f.view = f.b.view()
	replica, err := f.find(p)
	if err != nil {
		f.fail(r, &replica, err)
		return r
	}
	if p.diverges(replica.Partition) {
		return f.diverged(p, &replica, r)
	}
	r.preferred = f.nearer(&replica, p.offset)
	if (r.preferred > 0 || taken > 0 && room <= 0) && f.unread(p, &replica, r) {
		return r
	}
	r.preferred = 0
	chunk, marks, err := replica.read(p.offset, max(min(int(p.maxBytes), room), 0), p.epoch)
	if err != nil {
		f.fail(r, &replica, err)
		return r
	}
	r.marks(marks)
	if taken > 0 && chunk.Len > room {
		chunk.Close()
		return r
	}
	r.chunk = chunk
	return r
}

// unread sets the marks of a partition of which nothing is sent, without a look at its files; false: the offset is out of range, or the
// partition has another error to tell.
func (f *fetch) unread(p *fetchPartition, replica *readable, r *fetchResult) bool {
	marks, err := replica.marks(p.epoch)
	if err != nil || p.offset < marks.LogStart || p.offset > marks.HighWatermark {
		return false
	}
	r.marks(marks)
	return true
}

func (r *fetchResult) marks(m partition.Marks) {
	r.highWatermark, r.lastStable, r.logStart = m.HighWatermark, m.LastStable, m.LogStart
}

// diverges says whether the client's last record is of an epoch that ended here before its offset (KIP-595).
func (p *fetchPartition) diverges(replica *partition.Partition) bool {
	if p.fetchedEpoch < 0 {
		return false
	}
	epoch, end := replica.EpochEnd(p.fetchedEpoch)
	return epoch < p.fetchedEpoch || end < p.offset
}

func (f *fetch) diverged(p *fetchPartition, replica *readable, r *fetchResult) *fetchResult {
	marks, err := replica.marks(p.epoch)
	if err != nil {
		f.fail(r, replica, err)
		return r
	}
	epoch, end := replica.EpochEnd(p.fetchedEpoch)
	if epoch < 0 { // the log knows no epoch that old: the client has to reset
		r.code = errorCode(partition.ErrOffsetOutOfRange)
		return r
	}
	r.marks(marks)
	r.divergeEpoch, r.divergeEnd = epoch, end
	return r
}

// fail sets the error, with the leader where that is what the client needs next. As from Kafka no marks come with an error.
func (f *fetch) fail(r *fetchResult, replica *readable, err error) {
	r.code = errorCode(err)
	r.leader, r.leaderEpoch = f.b.leaderElsewhere(partition.ID{Topic: replica.topic.id(), Partition: r.key.partition}, err)
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
