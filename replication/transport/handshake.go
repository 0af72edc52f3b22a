package transport

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
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
//	dialer    length (2), body, MAC (32). Body: purpose (1), then cluster id, own id, id of whom it wants, each after its length (1); the
//	          first and the last are empty for a probe, and not looked at
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
	bulk
	probe // no link is of this one, see Probe

	purposes = 3 // of links
)

var (
	errStranger = errors.New("it is no broker of this cluster")
	errRefused  = errors.New("refused by the other broker")
	errNotLetIn = errors.New("waiting to be let in (is the shared secret the same?)")
	errCluster  = errors.New("this broker does not know its cluster's id yet")
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

// greet is the dialer's side. A probe takes whoever is there, and gives to as "". It returns the connection to speak on, and who is there.
func (t *Transport) greet(ctx context.Context, nc net.Conn, to raft.ServerID, p purpose) (net.Conn, raft.ServerID, error) {
	cluster := t.cluster()
	if p == probe {
		cluster = ""
	} else if cluster == "" {
		return nil, "", errCluster
	}
	if err := nc.SetDeadline(time.Now().Add(t.o.greeting)); err != nil {
		return nil, "", err
	}
	if t.o.TLS != nil {
		tc := tls.Client(nc, t.clientTLS(to))
		if err := tc.HandshakeContext(ctx); err != nil {
			return nil, "", fmt.Errorf("TLS: %w", err)
		}
		nc = tc
	}
	h := hellos{secret: t.o.Secret, dialer: newHello()}
	if _, err := nc.Write(h.dialer); err != nil {
		return nil, "", err
	}
	var err error
	if h.acceptor, err = readHello(nc); err != nil {
		return nil, "", err
	}
	body := encodeNames([]byte{byte(p)}, cluster, string(t.o.Self), string(to))
	if err := h.write(nc, roleDialer, body); err != nil {
		return nil, "", err
	}
	if body, err = h.read(nc, roleAcceptor); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNotLetIn, err)
	}
	from, err := t.checkAcceptor(nc, body, cluster, to)
	if err != nil {
		return nil, "", err
	}
	return nc, from, nc.SetDeadline(time.Time{})
}

// clientTLS is for a connection to a broker. To "" whoever shows a certificate of our authority may answer: checkAcceptor compares it with the
// id that he then claims.
func (t *Transport) clientTLS(to raft.ServerID) *tls.Config {
	config := t.o.TLS.Clone()
	if to != "" {
		config.ServerName = t.o.CertificateName(to)
		return config
	}
	config.InsecureSkipVerify = true // of the name, which is not known: the rest is verified here
	config.VerifyConnection = func(state tls.ConnectionState) error {
		o := x509.VerifyOptions{Roots: config.RootCAs, Intermediates: x509.NewCertPool()}
		for _, c := range state.PeerCertificates[1:] {
			o.Intermediates.AddCert(c)
		}
		_, err := state.PeerCertificates[0].Verify(o)
		return err
	}
	return config
}

func (t *Transport) checkAcceptor(nc net.Conn, body []byte, cluster string, to raft.ServerID) (raft.ServerID, error) {
	if len(body) > 0 && body[0] == statusRefused {
		return "", fmt.Errorf("%w: %s", errRefused, body[1:])
	}
	if len(body) == 0 || body[0] != statusWelcome {
		return "", fmt.Errorf("%w: handshake without a status", errFrame)
	}
	names, err := decodeNames(body[1:], 2)
	if err != nil {
		return "", err
	}
	from := raft.ServerID(names[1])
	if from == "" || to != "" && (names[0] != cluster || from != to) {
		return "", fmt.Errorf("%w: broker %q of cluster %q is there", errStranger, from, names[0])
	}
	return from, t.checkCertificate(nc, from)
}

// checkCertificate binds who is there to the certificate that he has shown.
func (t *Transport) checkCertificate(nc net.Conn, from raft.ServerID) error {
	tc, ok := nc.(*tls.Conn)
	if !ok {
		return nil
	}
	if err := tc.ConnectionState().PeerCertificates[0].VerifyHostname(t.o.CertificateName(from)); err != nil {
		return fmt.Errorf("%w: broker %q shows another's certificate: %w", errStranger, from, err)
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
	welcome := encodeNames([]byte{statusWelcome}, t.cluster(), string(t.o.Self))
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
	p, from, cluster := purpose(body[0]), raft.ServerID(names[1]), t.cluster()
	switch {
	case p < control || p > probe:
		return "", 0, fmt.Errorf("%w: connection of kind %d", errFrame, p)
	case len(from) == 0:
		return "", 0, fmt.Errorf("%w: it does not say who it is", errStranger)
	case p == probe: // of any cluster, and even this broker, who finds itself among the seeds
	case cluster == "":
		return "", 0, errCluster
	case names[0] != cluster:
		return "", 0, fmt.Errorf("%w: broker %q is of cluster %q, this one of %q", errStranger, from, names[0], cluster)
	case names[2] != string(t.o.Self):
		return "", 0, fmt.Errorf("broker %q was looking for %q, this is %q", from, names[2], t.o.Self)
	case from == t.o.Self:
		return "", 0, fmt.Errorf("%w: it calls itself %q", errStranger, from)
	}
	return from, p, t.checkCertificate(nc, from)
}

// brokerName is the default of Options.CertificateName.
func brokerName(id raft.ServerID) string {
	broker, _, _ := strings.Cut(string(id), "-")
	return "broker-" + broker
}
