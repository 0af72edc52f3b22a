package broker

import (
	"bufio"
	"encoding/binary"
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
	buf  []byte             // reused from response to response
}

var streamBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, streamBufferBytes) }}

// Write writes to the connection; a peer that does not read is given writeTimeout for each write.
func (w *responseWriter) Write(p []byte) (int, error) {
	if err := w.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := w.nc.Write(p)
	w.sent.Add(float64(n))
	return n, err
}

// response writes one response: length, correlation id, an empty tag section if flexible, body.
func (w *responseWriter) response(correlation int32, flexible bool, r *reply) error {
	b := append(w.buf[:0], 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	if flexible {
		b = append(b, 0)
	}
	if r.msg != nil {
		b = r.msg.AppendTo(b)
	}
	w.buf = b
	if cap(b) > keptResponseBytes {
		w.buf = nil
	}
	size := int64(len(b) - 4)
	for i := range r.stream {
		size += int64(len(r.stream[i].head)) + int64(r.stream[i].chunk.Len)
	}
	if size > math.MaxInt32 {
		return fmt.Errorf("response of %d bytes is too long for the protocol", size)
	}
	binary.BigEndian.PutUint32(b, uint32(size))
	if len(r.stream) == 0 {
		_, err := w.Write(b)
		return err
	}
	return w.stream(b, r.stream)
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
