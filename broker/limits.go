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

	// eagerFrameBytes is the longest frame for which memory is taken before more than a read buffer of it has arrived, and
	// that only while half of the budget is free.
	eagerFrameBytes = 4 << 20

	// provenBytes is how much of another frame has to arrive before memory is taken for the rest.
	provenBytes = 64 << 10

	// maxPipelined is how many requests of one connection are under way at once; the connection is not read beyond them.
	maxPipelined = 128

	// decodeFactor is how much larger than its frame a control request can become when it is decoded (arrays of empty structs,
	// three bytes each), heldFactor how much larger an honest one stays.
	decodeFactor = 64
	heldFactor   = 8

	// frameGrace and frameRate say how long a frame that has begun may take: the grace plus its length at that rate.
	frameGrace = 30 * time.Second
	frameRate  = 128 << 10 // bytes a second

	// While others wait for memory, a frame that arrives slower than frameRate, or than its length in crowdedFrameTime, is
	// given up. It is looked at every arrivalStep.
	crowdedFrameTime = 10 * time.Second
	arrivalStep      = time.Second

	// A batch that has to be decompressed may have freePlain bytes then, and beyond that maxExpansion times its own; see also
	// max.decompressed.message.bytes. Batches of zeros aside, records do not come near it. A connection that sent one with more is
	// not read for muteTime.
	freePlain    = 8 << 20
	maxExpansion = 1000
	muteTime     = 5 * time.Second

	// One that has more than usualPlain and more than usualExpansion times its own is unusual: such batches are converted one
	// after the other, and each is followed by a rest of unusualRest times what it took. So they get an eighth of one processor.
	usualPlain     = 1 << 20
	usualExpansion = 100
	unusualRest    = 7

	// conversionShare is the part of the processors that may be decompressing and compressing batches at one time, as a
	// divisor; one at least. Little input makes much of that work, and the others' requests need the rest.
	conversionShare = 2

	// recompressBytes is the memory that batches take together while the broker decompresses or compresses them; more wait. One
	// that needs more than that is alone.
	recompressBytes = 64 << 20

	// maxFetchWait is the longest that a Fetch waits for records, whatever the client asks for: what its connection has
	// queued behind it holds memory.
	maxFetchWait = time.Minute

	// groupCallWait is how long a group request that waits for nobody but the journal waits for it; a write that takes longer ends the
	// broker.
	groupCallWait = 10 * time.Second

	// maxJoinWait is the longest that a JoinGroup or SyncGroup waits for the other members, whatever time they have: what its connection has
	// queued behind it holds memory. It is told that a rebalance is under way then, and joins again.
	maxJoinWait = 10 * time.Minute

	// maxWaitingBytes is the memory that waiting joins and syncs take together; more are told that there is no coordinator now.
	maxWaitingBytes = 64 << 20

	// maxGroups is how many groups a broker coordinates.
	maxGroups = 100_000

	// maxGroupBytes is the memory that their members, assignments and committed offsets may take together, about. A million offsets without
	// metadata are a third of it.
	maxGroupBytes = 128 << 20

	// maxGroupConfigs is how many groups may have a configuration of their own.
	maxGroupConfigs = 1000

	// maxScrapedOffsets is how many groups and committed offsets have metrics of their own.
	maxScrapedOffsets = 20_000

	// maxJournalBatch bounds a batch of the journal, in bytes, and so what a group can consist of.
	maxJournalBatch = 4 << 20

	// writeTimeout is how long one write to a peer may be stuck.
	writeTimeout = 30 * time.Second

	// responseGrace is how long a peer may take to read a response, beside its length at frameRate. It bounds those who read a
	// little of a long one every now and then.
	responseGrace = time.Minute

	// maxRequestTime is the longest that a request waits for what it asked for, whatever timeout the client sets: it holds
	// memory meanwhile.
	maxRequestTime = 5 * time.Minute

	// defaultRequestTime is how long a request that names no time may wait.
	defaultRequestTime = 30 * time.Second

	// minElectWait is the least that an election is waited for: clients set short times, and a leadership that is being handed over is not stopped.
	minElectWait = 5 * time.Second

	// keptResponseBytes is the largest response buffer that a connection keeps.
	keptResponseBytes = 64 << 10

	// streamBufferBytes joins the small pieces of a streamed response into one write.
	streamBufferBytes = 32 << 10
)
