package broker

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestAdmission(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("::1")
	limits := connLimits{all: 4, perAddr: 2, overrides: map[netip.Addr]int{b: 1, c: 0}}
	in := admission{byAddr: map[netip.Addr]int{}}
	for i, tt := range []struct {
		addr  netip.Addr
		leave bool
		want  refusal
	}{
		{addr: a}, {addr: a},
		{addr: a, want: refusal{keyConnectionsPerIP, 2}},
		{addr: b},
		{addr: b, want: refusal{keyConnectionsOfOneIP, 1}},
		{addr: c, want: refusal{keyConnectionsOfOneIP, 0}},
		{addr: netip.MustParseAddr("10.0.0.3")},
		{addr: netip.MustParseAddr("10.0.0.4"), want: refusal{keyConnections, 4}},
		{addr: b, leave: true}, {addr: b}, // its place is free again
		{addr: a, leave: true}, {addr: a, leave: true},
	} {
		if tt.leave {
			in.leave(tt.addr)
			continue
		}
		if got, ok := in.admit(tt.addr, limits); got != tt.want || ok != (tt.want == refusal{}) {
			t.Errorf("%d: %v: %v, %+v; want %+v", i, tt.addr, ok, got, tt.want)
		}
	}
	if in.all != 2 || len(in.byAddr) != 2 {
		t.Errorf("%+v", in)
	}
}

// remoteAt is a connection from an address.
type remoteAt struct {
	net.Conn
	addr net.Addr
}

func (r remoteAt) RemoteAddr() net.Addr { return r.addr }

func TestAddrOf(t *testing.T) {
	tcp := func(ip, zone string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Zone: zone, Port: 1} }
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("192.0.2.1", ""), "192.0.2.1"},
		{tcp("::ffff:192.0.2.1", ""), "192.0.2.1"},
		{&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1).To4()}, "192.0.2.1"},
		{tcp("2001:db8::1", ""), "2001:db8::1"},
		{tcp("fe80::1", "eth0"), "fe80::1"},
		{&net.UnixAddr{Name: "x"}, "invalid IP"},
	} {
		if got := addrOf(remoteAt{addr: tt.addr}); got.String() != tt.want {
			t.Errorf("%v: %v, want %s", tt.addr, got, tt.want)
		}
	}
}

func TestRefusalLog(t *testing.T) {
	var l refusalLog
	start := time.Unix(1000, 0)
	for i, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {0, 0}, {time.Second, 0}, {refusalLogInterval - 1, 0}, {refusalLogInterval, 4}, {refusalLogInterval + 1, 0}, {time.Hour, 2}} {
		if n, log := l.note(start.Add(tt.after)); n != tt.want || log != (tt.want > 0) {
			t.Errorf("%d: %d, %v; want %d", i, n, log, tt.want)
		}
	}
}

func TestPacer(t *testing.T) {
	var p pacer
	now := time.Unix(1000, 0)
	for i := range 10 {
		if d := p.delay(now, 10); d != 0 {
			t.Fatalf("event %d waits %v", i, d)
		}
	}
	for i := 1; i < 4; i++ { // beyond a second's worth: one every 100 ms
		if d := p.delay(now, 10); d != time.Duration(i)*100*time.Millisecond {
			t.Errorf("event %d of too many waits %v", i, d)
		}
	}
	if d := p.delay(now.Add(time.Minute), 10); d != 0 {
		t.Errorf("after a quiet minute: %v", d)
	}
	for range 100 {
		if d := p.delay(now, 1<<31-1); d > time.Minute {
			t.Errorf("no limit: %v", d)
		}
	}
}

// The limit of an address is Kafka's, changes while the broker runs, and leaves other addresses alone.
func TestConnectionsOfOneAddress(t *testing.T) {
	var logged bytes.Buffer
	b, err := Start(testContext(t), testConfig(t.TempDir()), Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	c := newTestClient(t, b)
	set := func(key, value string) {
		t.Helper()
		if code := c.alterBroker("", key, kmsg.IncrementalAlterConfigOpSet, &value, false); code != 0 {
			t.Fatalf("%s = %s: code %d", key, value, code)
		}
	}
	refused := func() bool {
		nc, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(testWait))
		_, _ = nc.Write(frameOf(apiVersions(0), 1))
		_, err = nc.Read(make([]byte, 1))
		return err != nil
	}
	alone := func() bool { b.kafka.mu.Lock(); defer b.kafka.mu.Unlock(); return b.kafka.admission.all == 1 }
	for i, tt := range []struct {
		key, value string
		refused    bool
	}{
		{"max.connections.per.ip", "1", true},
		{"max.connections.per.ip.overrides", "192.0.2.1:5", true},
		{"max.connections.per.ip.overrides", "192.0.2.1:5,::ffff:127.0.0.1:2", false},
		{"max.connections.per.ip.overrides", "", true},
		{"max.connections.per.ip", "2", false},
	} {
		waitFor(t, "only the first client is there", alone)
		set(tt.key, tt.value)
		if got := refused(); got != tt.refused {
			t.Errorf("%d: %s = %s: refused is %v", i, tt.key, tt.value, got)
		}
	}
	if n := refusals(t, b, keyConnectionsPerIP); n != 3 {
		t.Errorf("%v refusals were counted", n)
	}
	if err := b.Close(testContext(t)); err != nil { // nothing is logged from here on
		t.Fatal(err)
	}
	if got := logged.String(); strings.Count(got, "refused: too many") != 1 || !strings.Contains(got, "remote=127.0.0.1 limit=1 key=max.connections.per.ip refused=1") {
		t.Errorf("the log: %s", got)
	}
}

// refusals reads the count of connections refused because of a limit.
func refusals(t *testing.T, b *Broker, key string) float64 {
	t.Helper()
	families, err := b.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "quire_kafka_connections_refused_total" && m.GetLabel()[0].GetValue() == key {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric for %s", key)
	return 0
}

// A flood of connections that are refused takes no memory of the broker's.
func TestRefusalAllocatesLittle(t *testing.T) {
	l := serveRows(t, nil)
	limits := connLimits{all: 10, perAddr: 0}
	nc := remoteAt{addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 1000
	for range n {
		if l.admit(nc, limits) != nil {
			t.Fatal("let in")
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 256 {
		t.Errorf("%d bytes for each", each)
	}
}
