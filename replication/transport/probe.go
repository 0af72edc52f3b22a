package transport

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// maxProbe is how long a question or an answer of a probe may be.
const maxProbe = 64 << 10

// Probe asks whoever listens at addr, of this cluster or another, a single question of up to 64 KiB, and tells who answered; that may be
// this broker itself. Each side shows the other that it knows the secret, or a certificate. Without a deadline it takes 10 s at most.
//
// ErrUnreachable when nobody listens there.
func (t *Transport) Probe(ctx context.Context, addr string, body []byte) (from raft.ServerID, reply []byte, err error) {
	if len(body) > maxProbe {
		return "", nil, fmt.Errorf("probe of %d bytes, the limit is %d", len(body), maxProbe)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*t.o.greeting)
	defer cancel()
	stop := context.AfterFunc(t.ctx, cancel)
	defer stop()
	nc, err := t.o.Dial(ctx, addr)
	if err != nil {
		return "", nil, fmt.Errorf("%w: probe of %s: %w", ErrUnreachable, addr, err)
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	greeted, from, err := t.greet(ctx, nc, "", probe)
	if err != nil {
		return "", nil, fmt.Errorf("probe of %s: %w", addr, err)
	}
	if err := writeProbe(greeted, body, t.o.greeting); err != nil {
		return "", nil, fmt.Errorf("probe of %s: %w", addr, err)
	}
	if reply, err = readProbe(greeted); err != nil {
		return "", nil, fmt.Errorf("probe of %s: answer: %w", addr, err)
	}
	return from, reply, nil
}

// answerProbe is the other side: one question, one answer.
func (t *Transport) answerProbe(nc net.Conn, from raft.ServerID) error {
	if err := nc.SetDeadline(time.Now().Add(t.o.greeting)); err != nil {
		return err
	}
	body, err := readProbe(nc)
	if err != nil {
		return err
	}
	var reply []byte
	if t.o.OnProbe != nil {
		reply = t.o.OnProbe(from, body)
	}
	if len(reply) > maxProbe {
		return fmt.Errorf("answer of %d bytes to a probe, the limit is %d", len(reply), maxProbe)
	}
	return writeProbe(nc, reply, t.o.greeting)
}

func writeProbe(nc net.Conn, body []byte, within time.Duration) error {
	if err := nc.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := nc.Write(append(appendFrameHead(nil, kindProbe, len(body)), body...))
	return err
}

func readProbe(r io.Reader) ([]byte, error) {
	var h [frameHead]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(h[:])) - 1
	if h[4] != kindProbe || n < 0 || n > maxProbe {
		return nil, fmt.Errorf("%w: kind %d with %d bytes on a probe", errFrame, h[4], n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
