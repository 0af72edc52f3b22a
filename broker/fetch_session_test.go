package broker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessionRequest asks for partitions of the topic "t" at offset 0 and forgets others.
func sessionRequest(id, epoch int32, partitions, forget []int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.SessionID, r.SessionEpoch = 12, id, epoch
	if len(partitions) > 0 {
		t := kmsg.NewFetchRequestTopic()
		t.Topic = "t"
		for _, n := range partitions {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition = n
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	if len(forget) > 0 {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.Partitions = "t", forget
		r.ForgottenTopics = append(r.ForgottenTopics, f)
	}
	return r
}

// answers makes one result a partition of the plan: high watermark 10, unless change says otherwise.
func answers(plan *fetchPlan, change func(r *fetchResult)) []*fetchResult {
	var results []*fetchResult
	for _, p := range plan.partitions {
		r := &fetchResult{key: p.key, highWatermark: 10, divergeEpoch: -1, leader: -1}
		if change != nil {
			change(r)
		}
		results = append(results, r)
	}
	return results
}

func numbers(results []*fetchResult) []int32 {
	var ns []int32
	for _, r := range results {
		ns = append(ns, r.key.partition)
	}
	return ns
}

func planned(plan *fetchPlan) []int32 {
	var ns []int32
	for _, p := range plan.partitions {
		ns = append(ns, p.key.partition)
	}
	return ns
}

func mustBegin(t *testing.T, c *fetchSessions, r *kmsg.FetchRequest) *fetchPlan {
	t.Helper()
	plan, err := c.begin(r)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func testSessions(slots int) (*fetchSessions, *time.Time) {
	now := time.Unix(1000, 0)
	return newFetchSessions(slots, func() time.Time { return now }), &now
}

func TestSessionListsOnlyNews(t *testing.T) {
	c, _ := testSessions(10)
	plan := mustBegin(t, c, sessionRequest(0, 0, []int32{0, 1, 2}, nil))
	id, list := c.end(plan, answers(plan, nil))
	if id == 0 || !slices.Equal(numbers(list), []int32{0, 1, 2}) {
		t.Fatalf("first response: session %d, partitions %v", id, numbers(list))
	}
	steps := []struct {
		name        string
		add, forget []int32
		change      func(r *fetchResult)
		list, order []int32
	}{
		{name: "nothing new", order: []int32{0, 1, 2}},
		{
			name:   "records of 0",
			change: func(r *fetchResult) { r.chunk.Len = map[int32]int{0: 5}[r.key.partition] },
			list:   []int32{0}, order: []int32{0, 1, 2},
		},
		{name: "the served one is last", order: []int32{1, 2, 0}},
		{
			name: "high watermark and log start",
			change: func(r *fetchResult) {
				r.highWatermark += partition.Offset(r.key.partition)
				r.logStart = r.highWatermark - 10
			},
			list: []int32{1, 2}, order: []int32{1, 2, 0},
		},
		{name: "and back", list: []int32{1, 2}, order: []int32{1, 2, 0}},
		{
			name:   "an error",
			change: func(r *fetchResult) { r.code = map[int32]int16{2: 6}[r.key.partition] },
			list:   []int32{2}, order: []int32{1, 2, 0},
		},
		{name: "listed once the error is gone", list: []int32{2}, order: []int32{1, 2, 0}},
		{name: "add and forget", add: []int32{7}, forget: []int32{1}, list: []int32{7}, order: []int32{2, 0, 7}},
	}
	for i, s := range steps {
		plan := mustBegin(t, c, sessionRequest(id, int32(i+1), s.add, s.forget))
		if !slices.Equal(planned(plan), s.order) {
			t.Errorf("%s: reads %v, want %v", s.name, planned(plan), s.order)
		}
		got, list := c.end(plan, answers(plan, s.change))
		if got != id || !slices.Equal(numbers(list), s.list) {
			t.Errorf("%s: session %d of %d lists %v, want %v", s.name, got, id, numbers(list), s.list)
		}
	}
}

func TestSessionErrors(t *testing.T) {
	c, _ := testSessions(10)
	plan := mustBegin(t, c, sessionRequest(0, 0, []int32{0}, nil))
	if _, err := c.begin(sessionRequest(plan.session.id, 1, nil, nil)); !errors.Is(err, errFetchSessionEpoch) {
		t.Errorf("while the first is under way: %v", err)
	}
	id, _ := c.end(plan, answers(plan, nil))
	if _, err := c.begin(sessionRequest(id+1, 1, nil, nil)); !errors.Is(err, errFetchSessionNotFound) {
		t.Errorf("another id: %v", err)
	}
	if _, err := c.begin(sessionRequest(id, 2, nil, nil)); !errors.Is(err, errFetchSessionEpoch) {
		t.Errorf("another epoch: %v", err)
	}
	byID := sessionRequest(id, 1, nil, nil)
	byID.Version = 13
	if _, err := c.begin(byID); !errors.Is(err, errFetchSessionTopicID) {
		t.Errorf("topic ids in a session by name: %v", err)
	}
	if plan := mustBegin(t, c, sessionRequest(id, 1, nil, []int32{0})); plan.session != nil {
		t.Error("a session without partitions lives on")
	}
	if _, err := c.begin(sessionRequest(id, 2, nil, nil)); !errors.Is(err, errFetchSessionNotFound) {
		t.Errorf("after the last partition was forgotten: %v", err)
	}
}

func TestSessionClosedByFullFetch(t *testing.T) {
	for _, epoch := range []int32{sessionEpochFinal, sessionEpochInitial} {
		c, _ := testSessions(10)
		plan := mustBegin(t, c, sessionRequest(0, 0, []int32{0}, nil))
		id, _ := c.end(plan, answers(plan, nil))
		plan = mustBegin(t, c, sessionRequest(id, epoch, []int32{0, 1}, nil))
		next, list := c.end(plan, answers(plan, nil))
		if next == id || (next == 0) != (epoch == sessionEpochFinal) || len(list) != 2 {
			t.Errorf("epoch %d: session %d follows %d and lists %d", epoch, next, id, len(list))
		}
		if _, err := c.begin(sessionRequest(id, 1, nil, nil)); !errors.Is(err, errFetchSessionNotFound) {
			t.Errorf("epoch %d: the old session: %v", epoch, err)
		}
	}
}

func TestSessionSlots(t *testing.T) {
	c, now := testSessions(2)
	open := func(partitions ...int32) int32 {
		plan := mustBegin(t, c, sessionRequest(0, 0, partitions, nil))
		id, _ := c.end(plan, answers(plan, nil))
		return id
	}
	first, second := open(0), open(0)
	if first == 0 || second == 0 || open(0) != 0 {
		t.Fatal("two slots do not hold exactly two sessions")
	}
	*now = now.Add(sessionIdle)
	plan := mustBegin(t, c, sessionRequest(first, 1, nil, nil)) // used again
	c.end(plan, answers(plan, nil))
	if open(0) == 0 {
		t.Error("an idle session keeps its slot")
	}
	if _, err := c.begin(sessionRequest(second, 1, nil, nil)); !errors.Is(err, errFetchSessionNotFound) {
		t.Errorf("the idle session is still there: %v", err)
	}
	if n, p := c.counts(); n != 2 || p != 2 {
		t.Errorf("%d sessions with %d partitions", n, p)
	}
}

func TestSessionPartitionsAreBounded(t *testing.T) {
	c, _ := testSessions(1)
	var many []int32
	for n := range int32(partitionsPerSlot + 1) {
		many = append(many, n)
	}
	plan := mustBegin(t, c, sessionRequest(0, 0, many, nil))
	if id, _ := c.end(plan, answers(plan, nil)); id != 0 {
		t.Error("a session larger than the cache was kept")
	}
	plan = mustBegin(t, c, sessionRequest(0, 0, many[:partitionsPerSlot], nil))
	id, _ := c.end(plan, answers(plan, nil))
	if _, err := c.begin(sessionRequest(id, 1, many, nil)); !errors.Is(err, errFetchSessionNotFound) {
		t.Errorf("a session grew beyond the cache: %v", err)
	}
	if n, p := c.counts(); n != 0 || p != 0 {
		t.Errorf("%d sessions with %d partitions are left", n, p)
	}
}

func TestSessionEpochWraps(t *testing.T) {
	if nextSessionEpoch(1<<31-1) != 1 || nextSessionEpoch(1) != 2 {
		t.Error("epochs do not wrap to 1")
	}
}
