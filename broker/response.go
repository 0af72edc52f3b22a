package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// responseWriter encodes and writes the responses of one connection. It is for one goroutine.
type responseWriter struct {
	nc   net.Conn
	sent prometheus.Counter // bytes

	buf   []byte    // responses that are not on their way yet; its memory is reused
	until time.Time // when the latest of them has to be taken
}

var streamBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, streamBufferBytes) }}

// Write writes to the connection; a peer that does not read is given writeTimeout for each write, and one that reads slowly
// until w.until.
func (w *responseWriter) Write(p []byte) (int, error) {
	deadline := time.Now().Add(writeTimeout)
	if w.until.Before(deadline) {
		deadline = w.until
	}
	if err := w.nc.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := w.nc.Write(p)
	w.sent.Add(float64(n))
	return n, err
}

// response encodes one response: length, correlation id, an empty tag section if flexible, body. It is on its way after the next
// flush, at the latest.
func (w *responseWriter) response(correlation int32, flexible bool, r *reply) error {
	at := len(w.buf)
	b := append(w.buf, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if flexible {
		b = append(b, 0)
	}
	if r.msg != nil {
		b = r.msg.AppendTo(b)
	}
	size := int64(len(b) - at - 4)
	for i := range r.stream {
		size += int64(len(r.stream[i].head)) + int64(r.stream[i].chunk.Len)
	}
	if size > math.MaxInt32 {
		return errors.Join(fmt.Errorf("response of %d bytes is too long for the protocol", size), w.flush())
	}
	binary.BigEndian.PutUint32(b[at:], uint32(size))
	w.buf = b
	w.until = time.Now().Add(responseTime(size))
	switch {
	case len(r.stream) > 0:
		defer w.reset()
		return w.stream(b, r.stream)
	case len(b) > streamBufferBytes:
		return w.flush()
	}
	return nil
}

// responseTime is how long a response of n bytes may take: see responseGrace.
func responseTime(n int64) time.Duration {
	return responseGrace + time.Duration(n)*time.Second/frameRate
}

// flush writes what was encoded and is not on its way yet.
func (w *responseWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	defer w.reset()
	_, err := w.Write(w.buf)
	return err
}

func (w *responseWriter) reset() {
	w.buf = w.buf[:0]
	if cap(w.buf) > keptResponseBytes {
		w.buf = nil
	}
}

// stream writes head, then the parts. Small pieces leave together; large ones pass the buffer by.
func (w *responseWriter) stream(head []byte, parts []part) error {
	bw := streamBuffers.Get().(*bufio.Writer)
	bw.Reset(w)
	defer func() {
		bw.Reset(nil)
		streamBuffers.Put(bw)
	}()
	if _, err := bw.Write(head); err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		if _, err := bw.Write(p.head); err != nil {
			return err
		}
		if p.chunk.Len == 0 {
			continue
		}
		n, err := p.chunk.WriteTo(bw)
		if err != nil {
			return fmt.Errorf("stream records: %w", err)
		}
		if n != int64(p.chunk.Len) {
			return fmt.Errorf("stream records: %d bytes of %d", n, p.chunk.Len)
		}
	}
	return bw.Flush()
}
