package broker

import (
	"encoding/binary"
	"fmt"
)

// checkProduce walks over a Produce body before it is decoded. The decoder allocates what an array's count announces and
// believes a tag section's count; in a frame of up to 100 MiB that would be gigabytes and minutes.
func checkProduce(body []byte, version int16) error {
	w := walker{b: body, flexible: version >= 9}
	if version >= 3 {
		w.skipString() // transactional id
	}
	w.skip(2 + 4) // acks, timeout
	parts := 0
	for topics := w.arrayLen(); topics > 0 && w.err == nil; topics-- {
		if version >= 13 {
			w.skip(16) // topic id
		} else {
			w.skipString()
		}
		n := w.arrayLen()
		if parts += 1 + n; parts > maxProduceParts {
			return fmt.Errorf("produce request has more than %d partitions", maxProduceParts)
		}
		for ; n > 0 && w.err == nil; n-- {
			w.skip(4) // partition
			w.skipBytes()
			w.skipTags()
		}
		w.skipTags()
	}
	w.skipTags()
	return w.err
}

// walker steps over the primitive types of the Kafka protocol. After an error it stays where it is.
type walker struct {
	b        []byte
	flexible bool
	err      error
}

func (w *walker) skip(n int) {
	if w.err != nil {
		return
	}
	if n < 0 || n > len(w.b) {
		w.err = errTruncated
		return
	}
	w.b = w.b[n:]
}

// length reads a length: compact in flexible versions, else width bytes wide. Null is 0.
func (w *walker) length(width int) int {
	if w.err != nil {
		return 0
	}
	if w.flexible {
		var v uint32
		v, w.b, w.err = cutUvarint(w.b)
		return max(int(v)-1, 0)
	}
	if len(w.b) < width {
		w.err = errTruncated
		return 0
	}
	var n int
	if width == 2 {
		n = int(int16(binary.BigEndian.Uint16(w.b)))
	} else {
		n = int(int32(binary.BigEndian.Uint32(w.b)))
	}
	w.b = w.b[width:]
	return max(n, 0)
}

func (w *walker) skipString() { w.skip(w.length(2)) }
func (w *walker) skipBytes()  { w.skip(w.length(4)) }

// arrayLen reads an array's count: every element is a byte at least.
func (w *walker) arrayLen() int {
	n := w.length(4)
	if w.err == nil && n > len(w.b) {
		w.err = errTruncated
	}
	if w.err != nil {
		return 0
	}
	return n
}

func (w *walker) skipTags() {
	if w.flexible && w.err == nil {
		w.b, w.err = skipTags(w.b)
	}
}
