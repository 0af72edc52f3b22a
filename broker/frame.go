package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is one request as it came. bytes is valid until done.
type frame struct {
	bytes  []byte
	held   int64 // bytes taken from the budget
	lies   int   // bytes to discard from the read buffer, where the frame lies in it
	pooled *[]byte
}

// controlFrames holds the memory of requests, Produce excepted, that do not fit into a read buffer.
var controlFrames = sync.Pool{New: func() any { return new([]byte) }}

// frameSize checks an announced length, as soon as it is there: whoever sends a wrong one may send nothing more.
func frameSize(prefix []byte, maxProduce int32) (int, error) {
	n := int32(binary.BigEndian.Uint32(prefix))
	if n < minFrameBytes {
		return 0, fmt.Errorf("frame length %d is below %d", n, minFrameBytes)
	}
	if limit := max(maxProduce, maxControlBytes); n > limit {
		return 0, fmt.Errorf("frame length %d is above %d", n, limit)
	}
	return int(n), nil
}

// checkSize checks a length against the limit of the request it belongs to.
func checkSize(size int, start []byte, maxProduce int32) (produce bool, err error) {
	produce = parseHeader(start).key == kmsg.Produce.Int16()
	limit := maxControlBytes
	if produce {
		limit = int(maxProduce)
	}
	if size > limit {
		return produce, fmt.Errorf("frame length %d is above %d", size, limit)
	}
	return produce, nil
}

// readFrame reads a frame whose first bytes are in br. Memory is taken from the budget after a read buffer's worth has
// arrived, and allocated as frames arrive: see limits.go.
func readFrame(ctx context.Context, br *bufio.Reader, b *budget, size int, produce bool) (f frame, err error) {
	inPlace := 4+size <= br.Size()
	if _, err := br.Peek(min(4+size, br.Size())); err != nil {
		return f, err
	}
	weight := int64(size)
	if !produce {
		weight *= decodeFactor
	}
	if f.held, err = b.acquire(ctx, weight); err != nil {
		return f, err
	}
	if inPlace && !produce {
		buf, err := br.Peek(4 + size)
		f.bytes, f.lies = buf[4:], 4+size
		return f, err
	}
	if _, err = br.Discard(4); err == nil {
		err = f.fill(br, size, produce)
	}
	if err != nil {
		f.done(br)
		b.release(f.held)
	}
	return f, err
}

// fill reads the frame into memory of its own.
func (f *frame) fill(br *bufio.Reader, size int, produce bool) error {
	if !produce {
		f.pooled = controlFrames.Get().(*[]byte)
		if cap(*f.pooled) < size {
			*f.pooled = make([]byte, size)
		}
		f.bytes = (*f.pooled)[:size]
		_, err := io.ReadFull(br, f.bytes)
		return err
	}
	f.bytes = make([]byte, min(size, eagerFrameBytes))
	if _, err := io.ReadFull(br, f.bytes); err != nil {
		return err
	}
	if size > len(f.bytes) {
		arrived := f.bytes
		f.bytes = make([]byte, size)
		copy(f.bytes, arrived)
		_, err := io.ReadFull(br, f.bytes[len(arrived):])
		return err
	}
	return nil
}

// done gives the frame's memory back, but for that of a Produce, which the partitions own.
func (f *frame) done(br *bufio.Reader) {
	if f.lies > 0 {
		_, _ = br.Discard(f.lies) // they are buffered: it cannot fail
	}
	if f.pooled != nil {
		controlFrames.Put(f.pooled)
	}
	f.lies, f.pooled, f.bytes = 0, nil, nil
}
