package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A stranger is turned away, and the log says why.
func TestStrangersAreRefused(t *testing.T) {
	hello := string(newHello())
	for _, c := range []struct {
		name, sent, logged string
		answers            int // bytes that it gets to see
	}{
		{"says nothing", "", "timeout", 0},
		{"stops within the magic", "quire", "timeout", 0},
		{"speaks Kafka", "\x00\x00\x00\x20\x00\x12\x00\x03", "does not begin with the magic", 0},
		{"speaks another version", magic + "\x09" + hello[9:], "speaks version 9", 0},
		{"says hello only", hello, "timeout", helloLen},
		{"has no end", hello + "\xff\xff" + strings.Repeat("x", 100), "its identity has 65535 bytes", helloLen},
		{"guesses", hello + "\x00\x01x" + strings.Repeat("m", 32), "does not know the shared secret", helloLen},
	} {
		var said log
		b := newBrokers(t)
		b.start("2-b", func(o *Options) {
			if o.Logger = said.logger(); c.logged == "timeout" {
				o.greeting = 50 * time.Millisecond
			}
		})
		addr, err := b.resolve("2-b")
		must(t, err)
		nc, err := net.Dial("tcp", addr)
		must(t, err)
		_, err = io.WriteString(nc, c.sent)
		must(t, err)
		got, _ := io.ReadAll(nc) // what is left unread may reset the connection
		if len(got) > c.answers {
			t.Errorf("%s: it was told %q", c.name, got)
		}
		eventually(t, "a log line about who "+c.name, func() bool { return said.has(c.logged) && said.has("remote=127.0.0.1") })
		must(t, nc.Close())
	}
}

// Brokers that do not belong together find out, and both say so.
func TestBrokersThatDoNotBelongTogether(t *testing.T) {
	for _, c := range []struct {
		name          string
		set           func(*Options) // of who dials
		dialer, other string         // what they say
	}{
		{"another secret", func(o *Options) { o.Secret = []byte("guess") }, "is the shared secret the same?", "does not know the shared secret"},
		{"another cluster", func(o *Options) { o.Cluster = "d" }, `of cluster \"d\", this one of \"c\"`, `of cluster`},
		{"its own name", func(o *Options) { o.Self = "2-b" }, "calls itself", "calls itself"},
		{"another incarnation", func(o *Options) {
			resolve := o.Resolve
			o.Resolve = func(raft.ServerID) (string, error) { return resolve("2-b") }
		}, "was looking for", "was looking for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said, others log
			b := newBrokers(t)
			b.start("2-b", func(o *Options) { o.Logger = others.logger() })
			addr, err := b.resolve("2-b")
			must(t, err)
			tr := b.start("1-a", func(o *Options) {
				o.Logger, o.Timeout = said.logger(), 100*time.Millisecond
				c.set(o)
			})
			to := raft.ServerAddress("2-b")
			if c.name == "another incarnation" {
				to = "2-z"
			}
			b.move("2-b", addr) // where one of the same name has taken its place
			if err := tr.Group(testGroup).TimeoutNow("", to, nil, nil); err == nil {
				t.Fatal("let in")
			}
			eventually(t, c.dialer, func() bool { return said.has(c.dialer) })
			eventually(t, c.other, func() bool { return others.has(c.other) })
		})
	}
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, c, c, a.key.Public(), a.key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// config is of a broker whose certificate has name.
func (a *authority) config(name string) *tls.Config {
	key := newKey(a.t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	must(a.t, err)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: a.pool, ClientCAs: a.pool,
	}
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name           string
		dialer, second *tls.Config
		refused        string // what one of them logs; "" they speak
	}{
		{"both known", a.config("broker-1"), a.config("broker-2"), ""},
		{"the dialer shows another's", a.config("broker-3"), a.config("broker-2"), "shows another's certificate"},
		{"the acceptor shows another's", a.config("broker-1"), a.config("broker-3"), "certificate is valid for broker-3"},
		{"signed by somebody else", newAuthority(t).config("broker-1"), a.config("broker-2"), "certificate"},
		{"no certificate", &tls.Config{RootCAs: a.pool}, a.config("broker-2"), "certificate"},
		{"no TLS", nil, a.config("broker-2"), "TLS: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said log
			b := newBrokers(t)
			start := func(id raft.ServerID, config *tls.Config) *Transport {
				return b.start(id, func(o *Options) {
					o.TLS, o.Logger = config, said.logger()
					if config != nil {
						o.Secret = nil
					}
					if c.refused != "" {
						o.Timeout = 100 * time.Millisecond
					}
				})
			}
			g := start("1-a", c.dialer).Group(testGroup)
			m := newMember(t, start("2-b", c.second), testGroup, accept)
			r := appendTo(3, make([]byte, 100), make([]byte, 1<<20))
			err := g.AppendEntries("", "2-b", r, &raft.AppendEntriesResponse{})
			if c.refused == "" {
				must(t, err)
				if got := (<-m.got).(*raft.AppendEntriesRequest); len(got.Entries) != 2 || len(got.Entries[1].Data) != 1<<20 {
					t.Errorf("%d entries", len(got.Entries))
				}
				return
			}
			if err == nil {
				t.Fatal("let in")
			}
			eventually(t, c.refused, func() bool { return said.has(c.refused) })
		})
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{MaxEntries: 5000})
	for _, want := range []string{"server id", "listener", "anybody could take part", "5000 entries"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func tlsOf(config *tls.Config) func(*Options) {
	return func(o *Options) { o.TLS, o.Secret = config, nil }
}
