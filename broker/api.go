package broker

import (
	"context"

	"github.com/quirelog/quire/segment"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// request is one decoded request. Its byte slices point into the frame. A Produce frame belongs to the partitions from then on and is
// never reused; the frames of all other keys are pooled and must not be referred to after start has returned, unless
// the handler copied what it needs.
type request struct {
	msg      kmsg.Request // already at the version of the request
	clientID string
	conn     *conn
}

// finish completes a request. It is run by the connection's writer, in request order, after all earlier responses of the
// connection were written; so it may wait (for a commit, for records to arrive) without a goroutine of its own.
// A nil finish means that no response is sent (Produce with acks=0). ctx ends when the connection does.
type finish func(ctx context.Context) reply

// reply is a response body: a kmsg message, or a stream of encoded bytes and file ranges (Fetch).
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

// api is one row of the dispatch table; ApiVersions is derived from the table.
type api struct {
	key      kmsg.Key
	min, max int16
	// start is run by the connection's reader, in request order. It must not wait for other connections; what waits goes
	// into finish.
	start func(ctx context.Context, b *Broker, r *request) finish
}

// conn is one client connection.
type conn struct{}
