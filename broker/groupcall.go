package broker

import (
	"context"
	"net"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a waiting join or sync is counted as, beside its bytes.
const (
	waitingBase = 1 << 10
	waitingItem = 64 // of an element of its array
)

// groupCall is a group request under way: with the coordinator from start on, in the order of requests; finish waits for the answer.
type groupCall struct {
	b        *Broker
	req      kmsg.Request
	answered chan kmsg.Response // has room for the only answer, so that the coordinator never waits
}

// startGroupCall hands a request, whose memory is its own, to the coordinator. The answer comes as soon as the journal has what it says.
func (b *Broker) startGroupCall(r *request) finish {
	c := groupCall{b: b, req: r.msg, answered: make(chan kmsg.Response, 1)}
	if !c.hand(r, func(resp kmsg.Response) { c.answered <- resp }) {
		return answer(step.Failure(r.msg, kerr.NotCoordinator))
	}
	r.ready = c.ready
	return func(ctx context.Context) reply { return c.wait(ctx, groupCallWait, nil, kerr.CoordinatorNotAvailable) }
}

// startGroupWait is startGroupCall for a request that waits for other members, and takes size bytes meanwhile. A member that goes away while it waits is
// still answered, by the coordinator, to nobody.
func (b *Broker) startGroupWait(r *request, size int) finish {
	r.uncharged = true
	if !b.groups.waiting.take(int64(size)) {
		return answer(step.Failure(r.msg, kerr.CoordinatorNotAvailable))
	}
	c := groupCall{b: b, req: r.msg, answered: make(chan kmsg.Response, 1)}
	if !c.hand(r, func(resp kmsg.Response) { b.groups.waiting.give(int64(size)); c.answered <- resp }) {
		b.groups.waiting.give(int64(size))
		return answer(step.Failure(r.msg, kerr.NotCoordinator))
	}
	return func(ctx context.Context) reply { return c.wait(ctx, maxJoinWait, b.stopping, kerr.RebalanceInProgress) }
}

// ready says that the answer is there.
func (c *groupCall) ready() bool { return len(c.answered) > 0 }

// hand gives the request to the coordinator; false if there is none.
func (c *groupCall) hand(r *request, answer func(kmsg.Response)) bool {
	coordinator := c.b.groups.coordinator.Load()
	if coordinator == nil {
		return false
	}
	host, _, err := net.SplitHostPort(r.conn.remote)
	if err != nil {
		host = r.conn.remote
	}
	coordinator.Handle(&step.Call{Request: c.req, ClientID: r.clientID, ClientHost: "/" + host, Answer: answer})
	return true
}

// wait returns the answer, or late if it has not come in time. Once stopping is closed the client is sent to look for another coordinator.
func (c *groupCall) wait(ctx context.Context, atMost time.Duration, stopping <-chan struct{}, late error) reply {
	select {
	case resp := <-c.answered:
		return reply{msg: resp}
	default:
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case resp := <-c.answered:
		return reply{msg: resp}
	case <-timer.C:
		return reply{msg: step.Failure(c.req, late)}
	case <-stopping:
		return reply{msg: step.Failure(c.req, kerr.NotCoordinator)}
	case <-ctx.Done():
		return reply{err: context.Cause(ctx)}
	}
}
