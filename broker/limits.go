package broker

import "time"

// The limits that clients meet, beside those of config.Config. Whoever exceeds one of a connection's limits is disconnected, as
// Kafka does: the stream cannot be trusted from there on.
const (
	// minFrameBytes is the shortest request: key, version and correlation id. A client id follows from header version 1 on.
	minFrameBytes = 8

	// maxControlBytes bounds every request but Produce. It holds a Fetch of some 20,000 partitions.
	maxControlBytes = 1 << 20

	// maxElements bounds the array elements of one request, all arrays together.
	maxElements = 400_000

	// readBufferBytes is a connection's read buffer. A frame that fits is decoded where it lies, and nothing is charged to
	// the budget before that much of a frame has arrived.
	readBufferBytes = 16 << 10

	// eagerFrameBytes is the longest frame for which memory is taken before it has arrived. A longer one gets this much
	// first and the rest once that is full: announcing a large frame costs nothing.
	eagerFrameBytes = 4 << 20

	// maxPipelined is how many requests of one connection are under way at once; the connection is not read beyond them.
	maxPipelined = 128

	// decodeFactor is how much larger than its frame a control request can become when it is decoded (arrays of empty structs,
	// three bytes each), heldFactor how much larger an honest one stays.
	decodeFactor = 64
	heldFactor   = 8

	// frameGrace and frameRate say how long a frame that has begun may take: the grace plus its length at that rate.
	frameGrace = 30 * time.Second
	frameRate  = 128 << 10 // bytes a second

	// writeTimeout is how long one write to a peer may be stuck.
	writeTimeout = 30 * time.Second

	// keptResponseBytes is the largest response buffer that a connection keeps.
	keptResponseBytes = 64 << 10

	// streamBufferBytes joins the small pieces of a streamed response into one write.
	streamBufferBytes = 32 << 10
)
