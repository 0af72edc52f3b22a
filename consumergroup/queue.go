package consumergroup

import (
	"sync"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Limits of what waits for a journal partition.
const (
	MaxQueued      = 16384    // calls that wait for a shard
	MaxQueuedBytes = 32 << 20 // what their requests hold
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

// queue is what waits for a shard's goroutine, from any goroutine, in its order. Calls are bounded, and let in while the shard serves. Topics that
// are gone wait while it loads: what is committed for a topic of the same name comes after them.
type queue struct {
	wake chan struct{} // holds one: there is something to do

	mu       sync.Mutex
	state    State
	items    []queued
	head     int // of items
	bytes    int
	inspects []func(*registry) // beside the order
}

// queued is a call with the weight of its request, or names of topics that are gone.
type queued struct {
	call   *step.Call
	weight int
	gone   []string
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
	case len(q.items)-q.head >= MaxQueued || q.bytes+n > MaxQueuedBytes && q.bytes > 0:
		return kerr.NotCoordinator // what every client tries again, after it has asked for the coordinator
	}
	q.items = append(q.items, queued{call: c, weight: n})
	q.bytes += n
	q.signal()
	return nil
}

// pop takes the oldest item.
func (q *queue) pop() (queued, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return queued{}, false
	}
	i := q.items[q.head]
	q.items[q.head] = queued{}
	q.bytes -= i.weight
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return i, true
}

// forget notes topics that are gone.
func (q *queue) forget(names []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, queued{gone: names})
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

// inspections takes what inspects.
func (q *queue) inspections() []func(*registry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fns := q.inspects
	q.inspects = nil
	return fns
}

// become changes the state, and hands back what waits where the new one does not serve it.
func (q *queue) become(s State) (calls []*step.Call, inspects []func(*registry)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state = s; s == Serving {
		return nil, nil
	}
	var keep []queued
	for _, i := range q.items[q.head:] {
		if i.call != nil {
			calls = append(calls, i.call)
		} else {
			keep = append(keep, i)
		}
	}
	inspects = q.inspects
	q.items, q.head, q.bytes, q.inspects = keep, 0, 0, nil
	return calls, inspects
}

func (q *queue) is() State {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.state
}

// empty says that nothing waits in the order.
func (q *queue) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.head == len(q.items)
}

// signal has the shard's goroutine look for work.
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
