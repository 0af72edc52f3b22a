package transport

import (
	"bufio"
	"encoding/binary"
	"net"
	"sync"

	"github.com/hashicorp/raft"
)

// outbox is what waits to be written to a connection, in order. Whoever has something puts it in and goes on; the connection's writer
// takes all that is there and writes it at once.
//
// What always holds: what is in here is bounded by what may be under way (see stream), so nobody waits for room.
type outbox struct {
	wake chan struct{}

	mu      sync.Mutex
	waiting outgoing
	frames  int64         // put in so far, of any kind; for tests and benchmarks
	bytes   int           // of pieces that wait
	taken   chan struct{} // closed when they are taken out; nil: nobody waits for that
	// answersAt is where in waiting.small a frame of answers begins that can be added to, for nothing follows it; -1: nowhere.
	answersAt int
}

// outgoing is a sequence of bytes: small ones, gathered in one piece, and entries' data, which are written from where they lie.
type outgoing struct {
	small []byte
	data  []placed
}

// placed comes before the small byte at.
type placed struct {
	at    int
	bytes []byte
}

func newOutbox() outbox { return outbox{wake: make(chan struct{}, 1), answersAt: -1} }

// add puts in a frame that encode appends, and the data of entries after it.
func (o *outbox) add(encode func([]byte) []byte, entries []*raft.Log) {
	o.mu.Lock()
	w := &o.waiting
	w.small = encode(w.small)
	for _, e := range entries {
		if len(e.Data) > 0 {
			w.data = append(w.data, placed{len(w.small), e.Data})
		}
	}
	o.answersAt = -1
	o.frames++
	o.mu.Unlock()
	o.signal()
}

// addPiece puts in a frame that encode appends, and piece after it.
func (o *outbox) addPiece(encode func([]byte) []byte, piece []byte) {
	o.mu.Lock()
	w := &o.waiting
	w.small = encode(w.small)
	if len(piece) > smallPiece {
		w.data = append(w.data, placed{len(w.small), piece})
		o.bytes += len(piece)
	} else {
		w.small = append(w.small, piece...)
	}
	o.answersAt = -1
	o.frames++
	o.mu.Unlock()
	o.signal()
}

// await waits until less than limit bytes of pieces wait; false: the connection has been broken, or done, before.
func (o *outbox) await(limit int, broken, done <-chan struct{}) bool {
	for {
		o.mu.Lock()
		if o.bytes < limit {
			o.mu.Unlock()
			return true
		}
		if o.taken == nil {
			o.taken = make(chan struct{})
		}
		taken := o.taken
		o.mu.Unlock()
		select {
		case <-taken:
		case <-broken:
			return false
		case <-done:
			return false
		}
	}
}

// answers puts in answers, into one frame with those that wait already.
func (o *outbox) answers(as ...answer) {
	o.mu.Lock()
	for i := range as {
		b := o.waiting.small
		if o.answersAt < 0 || len(b)-o.answersAt >= frameHead+maxBeats*answerLen {
			o.answersAt = len(b)
			b = appendFrameHead(b, kindAnswers, 0)
			o.frames++
		}
		b = as[i].encode(b)
		binary.BigEndian.PutUint32(b[o.answersAt:], uint32(len(b)-o.answersAt-4))
		o.waiting.small = b
	}
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// swap takes out what waits, and leaves the empty memory of used.
func (o *outbox) swap(used outgoing) outgoing {
	clear(used.data)
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.waiting
	o.waiting = outgoing{small: used.small[:0], data: used.data[:0]}
	o.answersAt, o.bytes = -1, 0
	if o.taken != nil {
		close(o.taken)
		o.taken = nil
	}
	return out
}

// gather lists the bytes in order.
func (g *outgoing) gather(bufs net.Buffers) net.Buffers {
	at := 0
	for _, d := range g.data {
		if d.at > at {
			bufs = append(bufs, g.small[at:d.at])
		}
		bufs, at = append(bufs, d.bytes), d.at
	}
	if at < len(g.small) {
		bufs = append(bufs, g.small[at:])
	}
	return bufs
}

// writeAll writes bufs: to TCP as they lie, by writev; to TLS, which copies anyway, through a buffer, so that few records are made of many pieces.
func writeAll(nc net.Conn, bufs net.Buffers) error {
	if _, ok := nc.(*net.TCPConn); ok {
		_, err := bufs.WriteTo(nc)
		return err
	}
	w := bufio.NewWriterSize(nc, 16<<10)
	for _, b := range bufs {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return w.Flush()
}
