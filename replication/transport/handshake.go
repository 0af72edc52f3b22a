package transport

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// The handshake, within TLS where that is configured:
//
//	both      hello: magic (8), version (1), nonce (32)
//	dialer    length (2), body, MAC (32). Body: purpose (1), then cluster id, own id, id of whom it wants, each after its length (1)
//	acceptor  the same. Body: status (1), then cluster id and own id, or the reason of a refusal
//
// The MAC is HMAC-SHA-256 by the shared secret over the role (1), the dialer's hello, the acceptor's and the body, so it answers the
// other's nonce. Nothing of a body is looked at before its MAC is found right, and nothing is said to whom has sent a wrong one.
const (
	magic        = "quirebrk"
	version byte = 1

	nonceLen = 32
	helloLen = len(magic) + 1 + nonceLen
	maxBody  = 1 + 3*256
	maxName  = 255

	roleDialer   byte = 'd'
	roleAcceptor byte = 'a'

	statusWelcome byte = 1
	statusRefused byte = 2
)

// purpose is what a connection carries.
type purpose byte

const (
	control purpose = iota + 1
	data
	purposes = 2
)

var (
	errStranger = errors.New("it is no broker of this cluster")
	errRefused  = errors.New("refused by the other broker")
)

// hellos are the two first messages of a handshake.
type hellos struct {
	secret           []byte
	dialer, acceptor []byte
}

func newHello() []byte {
	b := make([]byte, helloLen)
	b[copy(b, magic)] = version
	_, _ = rand.Read(b[len(magic)+1:]) // it never fails
	return b
}

func readHello(r io.Reader) ([]byte, error) {
	b := make([]byte, helloLen)
	if _, err := io.ReadFull(r, b[:len(magic)]); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	if string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with the magic of this protocol", errStranger)
	}
	if _, err := io.ReadFull(r, b[len(magic):]); err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	if v := b[len(magic)]; v != version {
		return nil, fmt.Errorf("it speaks version %d of the protocol, this broker version %d", v, version)
	}
	return b, nil
}

func (h *hellos) mac(role byte, body []byte) []byte {
	m := hmac.New(sha256.New, h.secret)
	for _, b := range [][]byte{{role}, h.dialer, h.acceptor, body} {
		m.Write(b)
	}
	return m.Sum(nil)
}

func (h *hellos) write(w io.Writer, role byte, body []byte) error {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(body)))
	_, err := w.Write(append(append(b, body...), h.mac(role, body)...))
	return err
}

func (h *hellos) read(r io.Reader, role byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > maxBody {
		return nil, fmt.Errorf("%w: its identity has %d bytes", errStranger, n)
	}
	b := make([]byte, n+sha256.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	if !hmac.Equal(b[n:], h.mac(role, b[:n])) {
		return nil, fmt.Errorf("%w: it does not know the shared secret", errStranger)
	}
	return b[:n], nil
}

func encodeNames(b []byte, names ...string) []byte {
	for _, s := range names {
		b = append(append(b, byte(len(s))), s...)
	}
	return b
}

func decodeNames(b []byte, n int) (names []string, err error) {
	for range n {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil, fmt.Errorf("%w: identity is cut short", errFrame)
		}
		names, b = append(names, string(b[1:1+b[0]])), b[1+b[0]:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the identity", errFrame, len(b))
	}
	return names, nil
}

// greet is the dialer's side. It returns the connection to speak on.
func (t *Transport) greet(ctx context.Context, nc net.Conn, to raft.ServerID, p purpose) (net.Conn, error) {
	if err := nc.SetDeadline(time.Now().Add(t.o.greeting)); err != nil {
		return nil, err
	}
	if t.o.TLS != nil {
		config := t.o.TLS.Clone()
		config.ServerName = t.o.CertificateName(to)
		tc := tls.Client(nc, config)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = tc
	}
	h := hellos{secret: t.o.Secret, dialer: newHello()}
	if _, err := nc.Write(h.dialer); err != nil {
		return nil, err
	}
	var err error
	if h.acceptor, err = readHello(nc); err != nil {
		return nil, err
	}
	body := encodeNames([]byte{byte(p)}, t.o.Cluster, string(t.o.Self), string(to))
	if err := h.write(nc, roleDialer, body); err != nil {
		return nil, err
	}
	if body, err = h.read(nc, roleAcceptor); err != nil {
		return nil, fmt.Errorf("waiting to be let in (is the shared secret the same?): %w", err)
	}
	if err := t.checkAcceptor(body, to); err != nil {
		return nil, err
	}
	return nc, nc.SetDeadline(time.Time{})
}

func (t *Transport) checkAcceptor(body []byte, to raft.ServerID) error {
	if len(body) > 0 && body[0] == statusRefused {
		return fmt.Errorf("%w: %s", errRefused, body[1:])
	}
	if len(body) == 0 || body[0] != statusWelcome {
		return fmt.Errorf("%w: handshake without a status", errFrame)
	}
	names, err := decodeNames(body[1:], 2)
	if err != nil {
		return err
	}
	if names[0] != t.o.Cluster || names[1] != string(to) {
		return fmt.Errorf("%w: broker %q of cluster %q is there", errStranger, names[1], names[0])
	}
	return nil
}

// admit is the acceptor's side. It returns the connection to speak on, and who is there for what.
func (t *Transport) admit(ctx context.Context, nc net.Conn) (net.Conn, raft.ServerID, purpose, error) {
	if err := nc.SetDeadline(time.Now().Add(t.o.greeting)); err != nil {
		return nil, "", 0, err
	}
	if t.o.TLS != nil {
		tc := tls.Server(nc, t.o.TLS)
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, "", 0, fmt.Errorf("TLS: %w", err)
		}
		nc = tc
	}
	h := hellos{secret: t.o.Secret, acceptor: newHello()}
	var err error
	if h.dialer, err = readHello(nc); err != nil {
		return nil, "", 0, err
	}
	if _, err := nc.Write(h.acceptor); err != nil {
		return nil, "", 0, err
	}
	body, err := h.read(nc, roleDialer)
	if err != nil {
		return nil, "", 0, err
	}
	from, p, err := t.checkDialer(nc, body)
	if err != nil {
		refusal := append([]byte{statusRefused}, err.Error()...)
		return nil, "", 0, errors.Join(err, h.write(nc, roleAcceptor, refusal[:min(len(refusal), maxBody)]))
	}
	welcome := encodeNames([]byte{statusWelcome}, t.o.Cluster, string(t.o.Self))
	if err := h.write(nc, roleAcceptor, welcome); err != nil {
		return nil, "", 0, err
	}
	return nc, from, p, nc.SetDeadline(time.Time{})
}

func (t *Transport) checkDialer(nc net.Conn, body []byte) (raft.ServerID, purpose, error) {
	if len(body) == 0 {
		return "", 0, fmt.Errorf("%w: empty identity", errFrame)
	}
	names, err := decodeNames(body[1:], 3)
	if err != nil {
		return "", 0, err
	}
	p, from := purpose(body[0]), raft.ServerID(names[1])
	switch {
	case p != control && p != data:
		return "", 0, fmt.Errorf("%w: connection of kind %d", errFrame, p)
	case names[0] != t.o.Cluster:
		return "", 0, fmt.Errorf("%w: broker %q is of cluster %q, this one of %q", errStranger, from, names[0], t.o.Cluster)
	case names[2] != string(t.o.Self):
		return "", 0, fmt.Errorf("broker %q was looking for %q, this is %q", from, names[2], t.o.Self)
	case len(from) == 0 || from == t.o.Self:
		return "", 0, fmt.Errorf("%w: it calls itself %q", errStranger, from)
	}
	if tc, ok := nc.(*tls.Conn); ok {
		cert := tc.ConnectionState().PeerCertificates[0]
		if err := cert.VerifyHostname(t.o.CertificateName(from)); err != nil {
			return "", 0, fmt.Errorf("%w: broker %q shows another's certificate: %w", errStranger, from, err)
		}
	}
	return from, p, nil
}

// brokerName is the default of Options.CertificateName.
func brokerName(id raft.ServerID) string {
	broker, _, _ := strings.Cut(string(id), "-")
	return "broker-" + broker
}
