package broker

import (
	"container/list"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Session epochs with a meaning of their own (KIP-227).
const (
	sessionEpochFinal   = -1 // a full fetch that wants no session, or ends the one it names
	sessionEpochInitial = 0  // a full fetch that wants a new session
)

// sessionIdle is how long a session must have been unused before a new one may take its slot (Kafka's
// min.incremental.fetch.session.eviction.ms).
const sessionIdle = 2 * time.Minute

// partitionsPerSlot bounds the partitions that all sessions remember together: this many times the slots.
const partitionsPerSlot = 200

// fetchKey names a partition as the request does: by topic id from version 13 on, by name before.
type fetchKey struct {
	topic     string
	id        controller.TopicID
	partition int32
}

// fetchPartition is one partition of a fetch, and what the session's last response said of it.
type fetchPartition struct {
	key          fetchKey
	offset       partition.Offset
	maxBytes     int32
	epoch        partition.CurrentEpoch
	fetchedEpoch int32 // epoch of the last record that the client has; -1: it does not say

	sentHighWatermark partition.Offset // -1: nothing valid was sent yet
	sentLogStart      partition.Offset
}

// fetchSession remembers a client's partitions, so that requests and responses name only what changed. Between begin and
// end one fetch owns it (busy), and only that one touches order and index.
type fetchSession struct {
	id    int32
	byID  bool // topics are named by id
	epoch int32
	order []*fetchPartition // the next fetch reads in this order
	index map[fetchKey]*fetchPartition

	// Owned by the cache's lock.
	busy    bool
	used    time.Time
	counted int           // partitions that the cache's total includes for this session
	slot    *list.Element // in the cache's lru; nil once removed
}

// fetchSessions is the broker's cache of sessions: at most slots of them, with at most partitionsPerSlot partitions a
// slot in all. A fetch that gets no slot is answered without a session.
type fetchSessions struct {
	slots int
	now   func() time.Time

	mu         sync.Mutex
	byID       map[int32]*fetchSession
	lru        *list.List // of *fetchSession, the longest unused first
	partitions int        // remembered by all sessions
}

func newFetchSessions(slots int, now func() time.Time) *fetchSessions {
	return &fetchSessions{slots: slots, now: now, byID: map[int32]*fetchSession{}, lru: list.New()}
}

// fetchPlan is what one fetch reads, in order.
type fetchPlan struct {
	session    *fetchSession // nil: none
	full       bool          // the response lists every partition
	partitions []*fetchPartition
}

// begin works out which partitions r reads. Every plan must be given to end. Errors: errFetchSessionNotFound,
// errFetchSessionEpoch, errFetchSessionTopicID.
func (c *fetchSessions) begin(r *kmsg.FetchRequest) (*fetchPlan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.SessionEpoch != sessionEpochInitial && r.SessionEpoch != sessionEpochFinal {
		return c.incremental(r)
	}
	if old := c.byID[r.SessionID]; old != nil {
		c.remove(old)
	}
	s := &fetchSession{byID: r.Version >= 13, index: map[fetchKey]*fetchPartition{}}
	s.update(r)
	plan := &fetchPlan{full: true, partitions: s.order}
	if r.SessionEpoch == sessionEpochInitial && r.Version >= 7 && c.add(s) {
		plan.session = s
	}
	return plan, nil
}

func (c *fetchSessions) incremental(r *kmsg.FetchRequest) (*fetchPlan, error) {
	s := c.byID[r.SessionID]
	switch {
	case s == nil:
		return nil, errFetchSessionNotFound
	case s.byID != (r.Version >= 13):
		return nil, errFetchSessionTopicID
	case s.busy || s.epoch != r.SessionEpoch:
		return nil, errFetchSessionEpoch
	}
	s.epoch = nextSessionEpoch(s.epoch)
	s.update(r)
	if len(s.order) == 0 {
		c.remove(s)
		return &fetchPlan{}, nil
	}
	grown := len(s.order) - s.counted
	if grown > 0 && c.partitions+grown > c.slots*partitionsPerSlot {
		c.remove(s) // the client comes back with a full fetch
		return nil, errFetchSessionNotFound
	}
	s.counted += grown
	c.partitions += grown
	s.busy = true
	s.used = c.now()
	c.lru.MoveToBack(s.slot)
	return &fetchPlan{session: s, partitions: s.order}, nil
}

// add gives s a slot and an id, if there is room or a session that was idle for long.
func (c *fetchSessions) add(s *fetchSession) bool {
	n := len(s.order)
	if n == 0 || c.slots == 0 {
		return false
	}
	now := c.now()
	for c.lru.Len() >= c.slots || c.partitions+n > c.slots*partitionsPerSlot {
		oldest := c.lru.Front()
		if oldest == nil {
			return false
		}
		idle := oldest.Value.(*fetchSession)
		if idle.busy || now.Sub(idle.used) < sessionIdle {
			return false
		}
		c.remove(idle)
	}
	for s.id == 0 || c.byID[s.id] != nil {
		s.id = rand.Int32N(math.MaxInt32) // hard to guess, as KIP-227 asks
	}
	s.epoch, s.busy, s.used, s.counted = 1, true, now, n
	s.slot = c.lru.PushBack(s)
	c.byID[s.id] = s
	c.partitions += n
	return true
}

func (c *fetchSessions) remove(s *fetchSession) {
	if s.slot == nil {
		return
	}
	c.lru.Remove(s.slot)
	s.slot = nil
	delete(c.byID, s.id)
	c.partitions -= s.counted
}

// end takes what the plan's partitions answered, in the plan's order, and returns the session id to send and the results
// to list: all in a full response, else those with news. Those left out hold no records.
func (c *fetchSessions) end(plan *fetchPlan, results []*fetchResult) (id int32, list []*fetchResult) {
	s := plan.session
	if s == nil {
		return 0, results
	}
	list = s.news(plan, results)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.busy = false
	return s.id, list
}

// counts returns how many sessions there are, and how many partitions they remember.
func (c *fetchSessions) counts() (sessions, partitions int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.Len(), c.partitions
}

// update takes the partitions that a request adds, changes and forgets.
func (s *fetchSession) update(r *kmsg.FetchRequest) {
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			k := fetchKey{topic: t.Topic, id: t.TopicID, partition: p.Partition}
			fp := s.index[k]
			if fp == nil {
				fp = &fetchPartition{key: k, sentHighWatermark: -1, sentLogStart: -1}
				s.index[k] = fp
				s.order = append(s.order, fp)
			}
			fp.offset = partition.Offset(p.FetchOffset)
			fp.maxBytes = p.PartitionMaxBytes
			fp.epoch = partition.CurrentEpoch(p.CurrentLeaderEpoch)
			fp.fetchedEpoch = p.LastFetchedEpoch
		}
	}
	s.forget(r)
}

func (s *fetchSession) forget(r *kmsg.FetchRequest) {
	if len(r.ForgottenTopics) == 0 {
		return
	}
	for i := range r.ForgottenTopics {
		t := &r.ForgottenTopics[i]
		for _, n := range t.Partitions {
			delete(s.index, fetchKey{topic: t.Topic, id: t.TopicID, partition: n})
		}
	}
	kept := make([]*fetchPartition, 0, len(s.index))
	for _, p := range s.order {
		if s.index[p.key] == p {
			kept = append(kept, p)
		}
	}
	s.order = kept
}

// news keeps the results that differ from what the client knows, and puts the partitions that gave records last, so that a
// partition which got none for want of room is read first next time.
func (s *fetchSession) news(plan *fetchPlan, results []*fetchResult) []*fetchResult {
	list := results[:0]
	order := make([]*fetchPartition, 0, len(plan.partitions))
	var served []*fetchPartition
	for i, p := range plan.partitions {
		r := results[i]
		if r.chunk.Len > 0 {
			served = append(served, p)
		} else {
			order = append(order, p)
		}
		news := plan.full || r.chunk.Len > 0 || r.code != 0 || r.diverging() || r.preferred > 0 ||
			r.highWatermark != p.sentHighWatermark || r.logStart != p.sentLogStart
		p.sentHighWatermark, p.sentLogStart = r.highWatermark, r.logStart
		if r.code != 0 {
			p.sentHighWatermark = -1 // so that it is listed again once the error has gone
		}
		if news {
			list = append(list, r)
		}
	}
	s.order = append(order, served...)
	return list
}

func nextSessionEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}
