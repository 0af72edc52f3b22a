package broker

import (
	"encoding/binary"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
)

// fetchResult is what one partition answers.
type fetchResult struct {
	key           fetchKey
	code          int16
	highWatermark partition.Offset // -1 with most errors, as the next two
	lastStable    partition.Offset
	logStart      partition.Offset
	chunk         segment.Chunk // closed by who sends it

	// divergeEpoch and divergeEnd say where the client's log parts from this one (KIP-595); -1: it does not.
	divergeEpoch int32
	divergeEnd   partition.Offset
	// leader and leaderEpoch name the leader to clients that asked the wrong broker (KIP-951); -1: nothing to say.
	leader      int32
	leaderEpoch int32
	// preferred is the replica that the client should read from instead (KIP-392); 0: this one.
	preferred int32
}

func (r *fetchResult) diverging() bool { return r.divergeEpoch >= 0 }

// fetchResponse is a Fetch response, encoded by hand so that the records are file ranges between pieces of one buffer.
// kmsg's encoder would want them in memory; a test holds the two equal for every version.
type fetchResponse struct {
	version int16
	code    int16
	session int32
	results []*fetchResult      // those of one topic next to each other
	nodes   []controller.Broker // endpoints of the leaders named in results, from version 16 on
}

// Encoded sizes, generous: a partition without its records, and the frame around them.
const (
	fetchPartitionBytes = 96
	fetchFrameBytes     = 64
)

// parts encodes the response.
func (r *fetchResponse) parts() []part {
	e := &fetchEncoder{flexible: r.version >= 12, version: r.version}
	e.buf = make([]byte, 0, fetchFrameBytes+len(r.results)*fetchPartitionBytes)
	e.ends = make([]int, 0, len(r.results))
	e.chunks = make([]segment.Chunk, 0, len(r.results))
	e.int32(0) // throttle time
	if r.version >= 7 {
		e.int16(r.code)
		e.int32(r.session)
	}
	topics := topicRuns(r.results)
	e.length(len(topics))
	for _, run := range topics {
		e.topic(run)
	}
	if e.flexible {
		e.nodes(r.nodes)
	}
	return e.cut()
}

// topicRuns splits results where the topic changes.
func topicRuns(results []*fetchResult) [][]*fetchResult {
	var runs [][]*fetchResult
	for from := 0; from < len(results); {
		to := from + 1
		for to < len(results) && results[to].key.topic == results[from].key.topic && results[to].key.id == results[from].key.id {
			to++
		}
		runs = append(runs, results[from:to])
		from = to
	}
	return runs
}

// fetchEncoder appends to one buffer and remembers where the chunks go; the buffer is cut there at the end, since it may
// move while it grows.
type fetchEncoder struct {
	version  int16
	flexible bool
	buf      []byte
	ends     []int // of the heads, in buf
	chunks   []segment.Chunk
}

func (e *fetchEncoder) topic(run []*fetchResult) {
	if e.version >= 13 {
		e.buf = append(e.buf, run[0].key.id[:]...)
	} else {
		e.string(run[0].key.topic)
	}
	e.length(len(run))
	for _, r := range run {
		e.partition(r)
	}
	e.noTags()
}

func (e *fetchEncoder) partition(r *fetchResult) {
	e.int32(r.key.partition)
	e.int16(r.code)
	e.int64(int64(r.highWatermark))
	e.int64(int64(r.lastStable))
	if e.version >= 5 {
		e.int64(int64(r.logStart))
	}
	e.nullArray() // aborted transactions
	if e.version >= 11 {
		e.int32(preferredReplica(r))
	}
	e.length(r.chunk.Len)
	if r.chunk.Len > 0 {
		e.ends = append(e.ends, len(e.buf))
		e.chunks = append(e.chunks, r.chunk)
	}
	if e.flexible {
		e.partitionTags(r)
	}
}

func preferredReplica(r *fetchResult) int32 {
	if r.preferred == 0 {
		return -1
	}
	return r.preferred
}

// partitionTags appends the tagged fields: number of them, then tag, size in bytes and content of each.
func (e *fetchEncoder) partitionTags(r *fetchResult) {
	n := 0
	if r.diverging() {
		n++
	}
	if r.leader >= 0 {
		n++
	}
	e.uvarint(n)
	if r.diverging() {
		e.uvarint(0)
		e.uvarint(4 + 8 + 1)
		e.int32(r.divergeEpoch)
		e.int64(int64(r.divergeEnd))
		e.noTags()
	}
	if r.leader >= 0 {
		e.uvarint(1)
		e.uvarint(4 + 4 + 1)
		e.int32(r.leader)
		e.int32(r.leaderEpoch)
		e.noTags()
	}
}

// nodes appends the response's own tagged fields: the endpoints, if there are any.
func (e *fetchEncoder) nodes(nodes []controller.Broker) {
	if e.version < 16 || len(nodes) == 0 {
		e.noTags()
		return
	}
	body := fetchEncoder{flexible: true, version: e.version}
	body.length(len(nodes))
	for _, b := range nodes {
		body.int32(b.ID)
		body.string(b.Host)
		body.int32(b.Port)
		if b.Rack == "" {
			body.uvarint(0)
		} else {
			body.string(b.Rack)
		}
		body.noTags()
	}
	e.uvarint(1)
	e.uvarint(0)
	e.uvarint(len(body.buf))
	e.buf = append(e.buf, body.buf...)
}

// cut makes the parts: every chunk behind its head, and what is left as the last head.
func (e *fetchEncoder) cut() []part {
	parts := make([]part, 0, len(e.chunks)+1)
	from := 0
	for i, end := range e.ends {
		parts = append(parts, part{head: e.buf[from:end], chunk: e.chunks[i]})
		from = end
	}
	return append(parts, part{head: e.buf[from:]})
}

func (e *fetchEncoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }
func (e *fetchEncoder) uvarint(v int) { e.buf = binary.AppendUvarint(e.buf, uint64(v)) }

// length appends the length of an array or of bytes, which are written alike.
func (e *fetchEncoder) length(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *fetchEncoder) nullArray() { e.length(-1) }

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.uvarint(len(s) + 1)
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}
