package bench

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Findings are what a checker has found. All counts are of records.
type Findings struct {
	Checked   int64    `json:"checked"`
	Lost      int64    `json:"lost"`
	Repeated  int64    `json:"repeated"`
	Reordered int64    `json:"reordered"`
	Corrupt   int64    `json:"corrupt"`   // wrong checksum. Its sequence cannot be trusted, so that it is lost as well.
	Misplaced int64    `json:"misplaced"` // in another partition than the one it was sent to
	Foreign   int64    `json:"foreign"`   // of somebody else or another run; no fault
	Examples  []string `json:"examples"`  // of faults, the first maxExamples
}

const maxExamples = 10

// OK reports that no fault was found.
func (f *Findings) OK() bool { return f.Faults() == 0 }

// Faults counts what should not be.
func (f *Findings) Faults() int64 { return f.Lost + f.Repeated + f.Reordered + f.Corrupt + f.Misplaced }

func (f *Findings) add(o Findings) {
	f.Checked += o.Checked
	f.Lost += o.Lost
	f.Repeated += o.Repeated
	f.Reordered += o.Reordered
	f.Corrupt += o.Corrupt
	f.Misplaced += o.Misplaced
	f.Foreign += o.Foreign
	f.Examples = append(f.Examples, o.Examples[:min(len(o.Examples), maxExamples-len(f.Examples))]...)
}

func (f *Findings) example(format string, args ...any) {
	if len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, fmt.Sprintf(format, args...))
	}
}

// stream is a sender's records to one partition.
type stream struct {
	run      uint64
	producer uint32
}

// maxStreams bounds the streams that a checker remembers (those of earlier runs in a topic that was there); records of more
// streams are foreign to it.
const maxStreams = 4096

// progress is how far a stream was read.
//
// Always: every sequence below next was seen exactly once, is in missing, or was given up by it.
type progress struct {
	next    uint64
	missing ranges
}

// checker checks what is read from one partition, in the order of reading: each producer's sequences must come one after the other.
// As Kafka keeps order within a partition and a key has one partition, that is stricter than order within a key. It takes memory for
// gaps, not for records. One goroutine uses it.
type checker struct {
	partition int32
	only      uint64 // run whose records are checked; 0: all
	owned     bool   // the topic was made for the run: a record that is not ours is a damaged one
	mid       bool   // the reading does not begin where the streams do
	streams   map[stream]*progress
	last      stream // of lastState
	lastState *progress
	found     Findings
}

func newChecker(partition int32, only uint64, owned, mid bool) *checker {
	return &checker{partition: partition, only: only, owned: owned, mid: mid, streams: make(map[stream]*progress)}
}

// observe takes the next record. ok: it is an intact record that is checked, and not a repeated one.
func (c *checker) observe(r *kgo.Record) (h head, ok bool) {
	h, ours, intact := readHead(r.Value, r.Key)
	switch {
	case !ours && c.owned, ours && !intact:
		c.found.Corrupt++
		c.found.example("partition %d, offset %d: the record is damaged", r.Partition, r.Offset)
		return h, false
	case !ours, c.only != 0 && h.run != c.only:
		c.found.Foreign++
		return h, false
	case h.partition != c.partition:
		c.found.Misplaced++
		c.found.example("partition %d, offset %d: the record was sent to partition %d", r.Partition, r.Offset, h.partition)
		return h, false
	}
	s := c.state(h)
	if s == nil {
		c.found.Foreign++
		return h, false
	}
	c.found.Checked++
	if h.sequence == s.next {
		s.next++
		return h, true
	}
	return h, c.outOfOrder(s, h, r)
}

// outOfOrder takes a record that is not the next one. It reports whether it was seen for the first time.
func (c *checker) outOfOrder(s *progress, h head, r *kgo.Record) bool {
	switch {
	case h.sequence > s.next:
		c.found.example("partition %d, offset %d: sequence %d of producer %d follows %d", r.Partition, r.Offset, h.sequence, h.producer,
			int64(s.next)-1)
		s.missing.add(s.next, h.sequence)
		s.next = h.sequence + 1
	case s.missing.remove(h.sequence):
		c.found.Reordered++
		c.found.example("partition %d, offset %d: sequence %d of producer %d comes after %d", r.Partition, r.Offset, h.sequence, h.producer,
			s.next-1)
	default:
		c.found.Repeated++
		c.found.example("partition %d, offset %d: sequence %d of producer %d was there already", r.Partition, r.Offset, h.sequence,
			h.producer)
		return false
	}
	return true
}

func (c *checker) state(h head) *progress {
	id := stream{h.run, h.producer}
	if c.lastState != nil && c.last == id {
		return c.lastState
	}
	s := c.streams[id]
	if s == nil {
		if len(c.streams) == maxStreams {
			return nil
		}
		s = &progress{}
		if c.mid {
			s.next = h.sequence
		}
		c.streams[id] = s
	}
	c.last, c.lastState = id, s
	return s
}

// finish ends the checking. sent says how many records each producer of run has sent to the partition; nil: unknown, so that records
// missing behind the last one of a stream are not noticed.
func (c *checker) finish(run uint64, sent []uint64) Findings {
	for producer, n := range sent {
		s := c.state(head{run: run, producer: uint32(producer)})
		if s != nil && s.next < n {
			c.found.example("partition %d: sequences %d to %d of producer %d are missing at the end", c.partition, s.next, n-1, producer)
			s.missing.add(s.next, n)
			s.next = n
		}
	}
	for _, s := range c.streams {
		c.found.Lost += int64(s.missing.count())
	}
	return c.found
}
