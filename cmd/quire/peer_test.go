package main

import (
	"bufio"
	byteorder "encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// peerPatience bounds each read and write of a peer.
const peerPatience = time.Minute

// peer is a connection that speaks the protocol a frame at a time, as far ahead of the answers as it likes, without what a client would add.
type peer struct {
	nc     net.Conn
	br     *bufio.Reader
	format *kmsg.RequestFormatter
	frame  []byte
}

func dialPeer(addr string) (*peer, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &peer{nc: nc, br: bufio.NewReaderSize(nc, 512), format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("peer"))}, nil
}

func newPeer(t *testing.T, addr string) *peer {
	t.Helper()
	p, err := dialPeer(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.nc.Close() })
	return p
}

// send writes requests together.
func (p *peer) send(requests ...kmsg.Request) error {
	p.frame = p.frame[:0]
	for _, r := range requests {
		p.frame = append(p.frame, p.format.AppendRequest(nil, r, 1)...)
	}
	_ = p.nc.SetDeadline(time.Now().Add(peerPatience))
	_, err := p.nc.Write(p.frame)
	return err
}

// receive reads the answer to a request, the oldest that has none.
func (p *peer) receive(to kmsg.Request) (kmsg.Response, error) {
	var head [8]byte // length, correlation id
	if _, err := io.ReadFull(p.br, head[:]); err != nil {
		return nil, err
	}
	n := byteorder.BigEndian.Uint32(head[:])
	if n < 4 || n > 100<<20 {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	body := make([]byte, n-4)
	if _, err := io.ReadFull(p.br, body); err != nil {
		return nil, err
	}
	resp := to.ResponseKind()
	if resp.IsFlexible() {
		body = body[1:] // the header's tags: none
	}
	return resp, resp.ReadFrom(body)
}

// ask is send and receive.
func (p *peer) ask(r kmsg.Request) (kmsg.Response, error) {
	if err := p.send(r); err != nil {
		return nil, err
	}
	return p.receive(r)
}

// answer is the answer of a peer to a request, as what it is.
func answer[T kmsg.Response](p *peer, r kmsg.Request) (T, error) {
	resp, err := p.ask(r)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", kmsg.NameForKey(r.Key()), err)
	}
	return resp.(T), nil
}
