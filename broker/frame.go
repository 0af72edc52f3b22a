package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame is one request as it came. bytes is valid until done.
type frame struct {
	bytes  []byte
	held   int64 // bytes taken from the budget
	lies   int   // bytes to discard from the read buffer, where the frame lies in it
	pooled *[]byte
	proven func() // while it arrives: see prove
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

// source is where a frame comes from: its beginning lies in br. rest reads more of a frame of size bytes, and gives up on
// who is too slow.
type source struct {
	br   *bufio.Reader
	rest func(p []byte, size int) error
}

// readFrame reads a frame. Memory is taken from the budget after a read buffer's worth has arrived, and more after more has:
// announcing a large frame costs nothing.
func readFrame(ctx context.Context, src source, b *budget, size int, produce bool) (f frame, err error) {
	inPlace := 4+size <= src.br.Size()
	start, err := src.br.Peek(min(4+size, src.br.Size()))
	if err != nil {
		return f, err
	}
	if inPlace {
		if f.held, err = b.acquire(ctx, weight(size, produce)); err != nil {
			return f, err
		}
		f.bytes, f.lies = start[4:], 4+size
		if produce { // for good, so not in the read buffer
			f.bytes = bytes.Clone(f.bytes)
		}
		return f, nil
	}
	if _, err = src.br.Discard(4); err != nil {
		return f, err
	}
	if produce {
		err = f.fillProduce(ctx, src, b, size)
	} else {
		err = f.fillControl(ctx, src, b, size)
	}
	if err != nil {
		f.done(src.br)
		b.release(f.held)
	}
	return f, err
}

// weight is what a whole frame takes from the budget: see decodeFactor.
func weight(size int, produce bool) int64 {
	if produce {
		return int64(size)
	}
	return int64(size) * decodeFactor
}

// fillControl reads a frame into pooled memory. Only when it is whole is it given room to be decoded.
func (f *frame) fillControl(ctx context.Context, src source, b *budget, size int) error {
	proven, err := b.prove(ctx, size)
	if err != nil {
		return err
	}
	defer proven()
	f.pooled = controlFrames.Get().(*[]byte)
	if cap(*f.pooled) < size {
		*f.pooled = make([]byte, size)
	}
	f.bytes = (*f.pooled)[:size]
	if err := src.rest(f.bytes, size); err != nil {
		return err
	}
	f.held, err = b.acquire(ctx, weight(size, false))
	return err
}

// fillProduce reads a frame into memory of its own: at once where there is room and it is no large one, else after the peer
// has sent provenBytes of it.
func (f *frame) fillProduce(ctx context.Context, src source, b *budget, size int) error {
	if size <= eagerFrameBytes && b.tryAcquire(int64(size)) {
		f.held = int64(size)
		f.bytes = make([]byte, size)
		return src.rest(f.bytes, size)
	}
	arrived, err := f.prove(ctx, src, b, size)
	if err != nil {
		return err
	}
	turn, err := b.turn(ctx, size)
	if err == nil {
		defer turn()
		f.held, err = b.acquire(ctx, int64(size))
	}
	f.proven()
	if err != nil || len(arrived) == size {
		f.bytes = arrived
		return err
	}
	f.bytes = make([]byte, size)
	copy(f.bytes, arrived)
	return src.rest(f.bytes[len(arrived):], size)
}

// prove reads what shows that the peer means it. f.proven gives back what that takes.
func (f *frame) prove(ctx context.Context, src source, b *budget, size int) (arrived []byte, err error) {
	first := min(size, provenBytes)
	if f.proven, err = b.prove(ctx, first); err != nil {
		return nil, err
	}
	arrived = make([]byte, first)
	if err := src.rest(arrived, size); err != nil {
		f.proven()
		return nil, err
	}
	return arrived, nil
}

// done gives the frame's memory back, but for that of a Produce, which the partitions own.
func (f *frame) done(br *bufio.Reader) {
	if f.lies > 0 {
		_, _ = br.Discard(f.lies) // they are buffered: it cannot fail
	}
	if f.pooled != nil {
		controlFrames.Put(f.pooled)
	}
	f.lies, f.pooled, f.bytes, f.proven = 0, nil, nil, nil
}
