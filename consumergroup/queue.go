package consumergroup

import (
	"sync"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	maxQueued      = 16384    // calls that wait for a shard
	maxQueuedBytes = 32 << 20 // what their requests hold
	// maxName bounds what may become part of a record's key, which has two bytes for its length; a member id is made of a client id and 37
	// bytes more.
	maxName = 1<<15 - 1 - 64
)

// State is what a journal partition that is led here is doing.
type State uint8

// The states of a journal partition that is led here.
const (
	Loading State = iota
	Serving
	Damaged // its journal cannot be read: what is led stays unserved until somebody looks
	resigned
)

// String is the state in one word.
func (s State) String() string {
	return [...]string{"loading", "serving", "damaged", "resigned"}[s]
}

// queue is what waits for a shard's goroutine: calls from any goroutine, bounded, in their order; topics that are gone; inspections.
// Calls are let in while the shard serves, and the rest until it has resigned: it waits while a shard loads.
type queue struct {
	wake chan struct{} // holds one: there is something to do

	mu       sync.Mutex
	state    State
	calls    []queued
	head     int // of calls
	bytes    int
	gone     []string
	inspects []func(*registry)
}

// queued is a call with the weight of its request.
type queued struct {
	call   *step.Call
	weight int
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push lets a call in, or says why not.
func (q *queue) push(c *step.Call) error {
	n := weight(c.Request)
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.state == Loading:
		return kerr.CoordinatorLoadInProgress
	case q.state != Serving:
		return kerr.NotCoordinator
	case len(q.calls)-q.head >= maxQueued || q.bytes+n > maxQueuedBytes && q.bytes > 0:
		return kerr.NotCoordinator // what every client tries again, after it has asked for the coordinator
	}
	q.calls = append(q.calls, queued{c, n})
	q.bytes += n
	q.signal()
	return nil
}

// pop takes the oldest call, nil if there is none.
func (q *queue) pop() *step.Call {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.calls) {
		return nil
	}
	c := q.calls[q.head]
	q.calls[q.head] = queued{}
	q.bytes -= c.weight
	if q.head++; q.head == len(q.calls) {
		q.calls, q.head = q.calls[:0], 0
	}
	return c.call
}

// forget notes topics that are gone.
func (q *queue) forget(names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.gone = append(q.gone, names...)
	q.signal()
}

// inspect has fn run on the shard's goroutine between two steps; false: it will not be run, nothing is loaded.
func (q *queue) inspect(fn func(*registry)) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state != Serving {
		return false
	}
	q.inspects = append(q.inspects, fn)
	q.signal()
	return true
}

// aside takes what waits beside the calls.
func (q *queue) aside() (gone []string, inspects []func(*registry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone, inspects = q.gone, q.inspects
	q.gone, q.inspects = nil, nil
	return gone, inspects
}

// become changes the state, and hands back what waits where the new one does not serve it.
func (q *queue) become(s State) (calls []queued, inspects []func(*registry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state = s; s == Serving {
		return nil, nil
	}
	calls, inspects = q.calls[q.head:], q.inspects
	q.calls, q.head, q.bytes, q.inspects = nil, 0, 0, nil
	return calls, inspects
}

func (q *queue) is() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// refusal is the answer to a call that is not let in. While a journal is loaded, members that only say that they live are let live, and a
// sync sends its member back to join: older clients know COORDINATOR_LOAD_IN_PROGRESS in neither.
func refusal(req kmsg.Request, err error) kmsg.Response {
	if err == kerr.CoordinatorLoadInProgress {
		switch req.(type) {
		case *kmsg.HeartbeatRequest:
			return step.Failure(req, nil)
		case *kmsg.SyncGroupRequest:
			return step.Failure(req, kerr.RebalanceInProgress)
		}
	}
	return step.Failure(req, err)
}

// weight is about what a request holds in memory.
func weight(req kmsg.Request) int {
	const item = 64 // what a struct of a list takes beside its strings, about
	n := 512
	switch r := req.(type) {
	case *kmsg.OffsetCommitRequest:
		for i := range r.Topics {
			n += item + len(r.Topics[i].Topic)
			for j := range r.Topics[i].Partitions {
				n += item + length(r.Topics[i].Partitions[j].Metadata)
			}
		}
	case *kmsg.OffsetFetchRequest:
		for i := range r.Topics {
			n += item + len(r.Topics[i].Topic) + 4*len(r.Topics[i].Partitions)
		}
		for i := range r.Groups {
			n += item + len(r.Groups[i].Group)
			for j := range r.Groups[i].Topics {
				n += item + len(r.Groups[i].Topics[j].Topic) + 4*len(r.Groups[i].Topics[j].Partitions)
			}
		}
	case *kmsg.OffsetDeleteRequest:
		for i := range r.Topics {
			n += item + len(r.Topics[i].Topic) + 4*len(r.Topics[i].Partitions)
		}
	case *kmsg.JoinGroupRequest:
		for i := range r.Protocols {
			n += item + len(r.Protocols[i].Name) + len(r.Protocols[i].Metadata)
		}
	case *kmsg.SyncGroupRequest:
		for i := range r.GroupAssignment {
			n += item + len(r.GroupAssignment[i].MemberID) + len(r.GroupAssignment[i].MemberAssignment)
		}
	case *kmsg.LeaveGroupRequest:
		n += 2 * item * len(r.Members)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		n += texts(r.SubscribedTopicNames) + length(r.SubscribedTopicRegex)
		for i := range r.Topics {
			n += item + 4*len(r.Topics[i].Partitions)
		}
	case *kmsg.DescribeGroupsRequest:
		n += texts(r.Groups)
	case *kmsg.ConsumerGroupDescribeRequest:
		n += texts(r.Groups)
	case *kmsg.DeleteGroupsRequest:
		n += texts(r.Groups)
	}
	return n
}

func length(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func texts(all []string) (n int) {
	for _, s := range all {
		n += 16 + len(s)
	}
	return n
}
