package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const testWait = 10 * time.Second

// serveRows serves a dispatch table of the test's own on a loopback listener.
func serveRows(t testing.TB, change func(*config.Config), rows ...api) *listener {
	t.Helper()
	cfg := config.Config{NodeID: 1, MaxRequestBytes: 100 << 20, MaxInFlightBytes: 256 << 20, MaxConnections: 100,
		IdleTimeout: time.Minute}
	if change != nil {
		change(&cfg)
	}
	b := &Broker{cfg: cfg, log: slog.New(slog.DiscardHandler), metrics: newMetrics(), ballast: ballast(), clusterID: "cluster",
		stopping: make(chan struct{})}
	b.dispatch = newDispatch(append(rows, api{kmsg.ApiVersions, 0, 5, startApiVersions}), b.metrics)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limits := connLimits{all: cfg.MaxConnections, perAddr: cfg.MaxConnections, rate: math.MaxInt32}
	l := serveListener(b, ln, func() connLimits { return limits })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		defer cancel()
		l.close(ctx)
		if used := l.budget.used.Load(); used != 0 {
			t.Errorf("the budget still holds %d bytes", used)
		}
	})
	return l
}

func dial(t *testing.T, l *listener) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testWait))
	return nc
}

// frameOf encodes a request as a client sends it.
func frameOf(msg kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, msg, correlation)
}

// readResponse reads one response whole.
func readResponse(t testing.TB, nc io.Reader) (correlation int32, body []byte) {
	t.Helper()
	var prefix [8]byte
	if _, err := io.ReadFull(nc, prefix[:]); err != nil {
		t.Fatal(err)
	}
	body = make([]byte, binary.BigEndian.Uint32(prefix[:])-4)
	if _, err := io.ReadFull(nc, body); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(prefix[4:])), body
}

func wantClosed(t *testing.T, nc net.Conn) {
	t.Helper()
	n, err := nc.Read(make([]byte, 1))
	if n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes, %v; want the connection closed", n, err)
	}
}

func apiVersions(version int16) *kmsg.ApiVersionsRequest {
	r := kmsg.NewPtrApiVersionsRequest()
	r.Version = version
	if version >= 3 {
		r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1.0"
	}
	return r
}

func TestApiVersionsAtEveryVersion(t *testing.T) {
	l := serveRows(t, nil)
	nc := dial(t, l)
	for v := range int16(6) {
		nc.Write(frameOf(apiVersions(v), int32(v)))
		corr, body := readResponse(t, nc)
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.Version = v
		if err := resp.ReadFrom(body); err != nil || corr != int32(v) || resp.ErrorCode != 0 {
			t.Fatalf("version %d: correlation %d, error code %d, %v", v, corr, resp.ErrorCode, err)
		}
		want := kmsg.ApiVersionsResponseApiKey{ApiKey: 18, MaxVersion: 5}
		if len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != want.ApiKey || resp.ApiKeys[0].MaxVersion != want.MaxVersion {
			t.Fatalf("version %d: keys %+v", v, resp.ApiKeys)
		}
	}
}

func TestApiVersionsUnknownVersionGetsVersion0(t *testing.T) {
	nc := dial(t, serveRows(t, nil))
	frame := frameOf(apiVersions(3), 7)
	binary.BigEndian.PutUint16(frame[6:], 99)
	nc.Write(frame)
	corr, body := readResponse(t, nc)
	want := []byte{0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5}
	if corr != 7 || !bytes.Equal(body, want) {
		t.Fatalf("correlation %d, body %v, want %v", corr, body, want)
	}
	nc.Write(frameOf(apiVersions(0), 8)) // the connection goes on
	if corr, _ := readResponse(t, nc); corr != 8 {
		t.Fatalf("correlation %d", corr)
	}
}

func TestApiVersionsRefusals(t *testing.T) {
	cluster, other := "cluster", "other"
	for _, tt := range []struct {
		name   string
		change func(*kmsg.ApiVersionsRequest)
		want   *kerr.Error
	}{
		{"no software name", func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "" }, kerr.InvalidRequest},
		{"bad software name", func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "-a" }, kerr.InvalidRequest},
		{"bad software version", func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareVersion = "1 0" }, kerr.InvalidRequest},
		{"only a node", func(r *kmsg.ApiVersionsRequest) { r.NodeID = 1 }, kerr.InvalidRequest},
		{"another cluster", func(r *kmsg.ApiVersionsRequest) { r.NodeID, r.ClusterID = 1, &other }, kerr.RebootstrapRequired},
		{"another node", func(r *kmsg.ApiVersionsRequest) { r.NodeID, r.ClusterID = 2, &cluster }, kerr.RebootstrapRequired},
		{"this broker", func(r *kmsg.ApiVersionsRequest) { r.NodeID, r.ClusterID = 1, &cluster }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &Broker{cfg: config.Config{NodeID: 1}, clusterID: "cluster"}
			r := apiVersions(5)
			tt.change(r)
			got := b.checkApiVersions(r)
			if tt.want == nil && got != 0 || tt.want != nil && got != tt.want.Code {
				t.Fatalf("got %d, want %v", got, tt.want)
			}
		})
	}
}

// A slow first request does not let the second one's response overtake it, and the second is started meanwhile.
func TestResponsesLeaveInRequestOrder(t *testing.T) {
	release, started := make(chan struct{}), make(chan struct{})
	first := true
	l := serveRows(t, nil, api{kmsg.Heartbeat, 0, 4, func(_ context.Context, _ *Broker, r *request) finish {
		slow := first
		first = false
		if !slow {
			close(started)
		}
		return func(context.Context) reply {
			if slow {
				<-release
			}
			return reply{msg: r.msg.ResponseKind()}
		}
	}})
	nc := dial(t, l)
	for corr := range int32(2) {
		r := kmsg.NewPtrHeartbeatRequest()
		r.Version = 4
		nc.Write(frameOf(r, corr))
	}
	<-started
	nc.Write(frameOf(apiVersions(0), 2))
	close(release)
	for want := range int32(3) {
		if corr, _ := readResponse(t, nc); corr != want {
			t.Fatalf("correlation %d, want %d", corr, want)
		}
	}
}

// What can be answered at once is answered without a writer; what cannot, and what comes behind it, keeps its place.
func TestReadyResponsesKeepTheirPlace(t *testing.T) {
	release := make(chan struct{})
	ready := func(_ context.Context, _ *Broker, r *request) finish {
		r.ready = func() bool { return true }
		return func(context.Context) reply { return reply{msg: r.msg.ResponseKind()} }
	}
	slow := func(_ context.Context, _ *Broker, r *request) finish {
		return func(context.Context) reply {
			<-release
			return reply{msg: r.msg.ResponseKind()}
		}
	}
	l := serveRows(t, nil, api{kmsg.Heartbeat, 0, 4, ready}, api{kmsg.SyncGroup, 0, 5, slow})
	nc := dial(t, l)
	send := func(req kmsg.Request, corr int32) {
		req.SetVersion(4)
		nc.Write(frameOf(req, corr))
	}
	for round := range int32(50) {
		send(kmsg.NewPtrHeartbeatRequest(), 4*round)
		if corr, _ := readResponse(t, nc); corr != 4*round {
			t.Fatalf("correlation %d, want %d", corr, 4*round)
		}
		send(kmsg.NewPtrSyncGroupRequest(), 4*round+1)
		send(kmsg.NewPtrHeartbeatRequest(), 4*round+2)
		release <- struct{}{}
		send(kmsg.NewPtrHeartbeatRequest(), 4*round+3)
		for i := range int32(3) {
			if corr, _ := readResponse(t, nc); corr != 4*round+1+i {
				t.Fatalf("correlation %d, want %d", corr, 4*round+1+i)
			}
		}
	}
}
