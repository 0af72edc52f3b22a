package broker

import (
	"context"

	"github.com/quirelog/quire/segment"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// request is one decoded request. Its byte slices point into the frame. A Produce frame belongs to the partitions from then on and is
// never reused; the frames of all other keys are reused and their byte slices must not be referred to after start has returned, unless
// the handler copied what it needs. Strings are copies and may be kept, but those of Produce keep the whole frame alive:
// strings.Clone what outlives the request.
type request struct {
	msg      kmsg.Request // already at the version of the request
	clientID string
	conn     *conn
	// uncharged is set by a handler that has copied what it needs and counts that itself: the request gives back all of its memory, since it may
	// wait for long.
	uncharged bool

	// ready, if start sets it, says whether finish would answer without waiting: then the answers of earlier requests that are not
	// on their way yet leave together with this one's. It is asked before finish.
	ready func() bool
}

// finish completes a request. It is run exactly once by the connection's writer (or its reader, if ready says so and nothing is in flight), in request order, after all earlier responses of the
// connection were written (or will be with this one: see request.ready); so it may wait (for a commit, for records to arrive) without a goroutine of its own.
// A nil finish means that no response is sent (Produce with acks=0). ctx ends when the connection does; then finish still
// runs, and gives back what start took. What waits without a promise to keep (a long poll) also ends with Broker.stopping.
type finish func(ctx context.Context) reply

// reply is a response body: a kmsg message at its version, or a stream of encoded bytes and file ranges (Fetch).
type reply struct {
	msg    kmsg.Response
	stream []part // the body at the request's version, without the response header
	err    error  // closes the connection (the request was not answerable)
}

// part is one piece of a streamed body: head, then the bytes of chunk if chunk.Len is not 0. The writer closes the chunk.
type part struct {
	head  []byte
	chunk segment.Chunk
}

// close lets go of the files that the reply refers to.
func (r *reply) close() {
	for i := range r.stream {
		if r.stream[i].chunk.Len != 0 {
			r.stream[i].chunk.Close()
		}
	}
}

// answer is the finish of a request that is answered without waiting.
func answer(msg kmsg.Response) finish {
	return func(context.Context) reply { return reply{msg: msg} }
}

// api is one row of the dispatch table; ApiVersions is derived from the table.
type api struct {
	key      kmsg.Key
	min, max int16
	// start is run by the connection's reader, in request order. It must not wait for other connections; what waits goes
	// into finish.
	start func(ctx context.Context, b *Broker, r *request) finish
}
