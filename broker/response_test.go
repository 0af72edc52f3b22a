package broker

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// countedWrites is a connection that counts what is written.
type countedWrites struct {
	net.Conn
	writes, bytes int
	deadline      time.Time
}

func (c *countedWrites) Write(p []byte) (int, error) {
	c.writes++
	c.bytes += len(p)
	return len(p), nil
}

func (c *countedWrites) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }

func TestResponsesShareAWrite(t *testing.T) {
	nc := &countedWrites{}
	w := responseWriter{nc: nc, sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "sent"})}
	r := reply{msg: kmsg.NewPtrHeartbeatResponse()}
	want := 0
	for range 10 {
		if err := w.response(1, false, &r); err != nil {
			t.Fatal(err)
		}
		want += 10 // length, correlation id, error code
	}
	if nc.writes != 0 || len(w.buf) != want {
		t.Errorf("%d writes, %d bytes waiting", nc.writes, len(w.buf))
	}
	streamed := reply{stream: []part{{head: []byte("abc")}}} // takes what waits along
	if err := w.response(2, false, &streamed); err != nil {
		t.Fatal(err)
	}
	want += 11
	if nc.writes != 1 || nc.bytes != want {
		t.Errorf("%d writes, %d bytes, want %d", nc.writes, nc.bytes, want)
	}
	if err := w.flush(); err != nil || nc.writes != 1 {
		t.Errorf("nothing waited: %d writes, %v", nc.writes, err)
	}
	for range streamBufferBytes / 10 {
		if err := w.response(3, false, &r); err != nil {
			t.Fatal(err)
		}
	}
	if w.response(3, false, &r); nc.writes != 2 || len(w.buf) > 10 {
		t.Errorf("%d writes, %d bytes waiting", nc.writes, len(w.buf))
	}
}

// A peer that takes a little of a response now and then does not have it for ever.
func TestResponsesEndInTime(t *testing.T) {
	nc := &countedWrites{}
	w := responseWriter{nc: nc, sent: prometheus.NewCounter(prometheus.CounterOpts{Name: "sent"}), until: time.Now().Add(time.Second)}
	if _, err := w.Write([]byte("a")); err != nil || !nc.deadline.Equal(w.until) {
		t.Errorf("the deadline is %v, want %v: %v", nc.deadline, w.until, err)
	}
	w.until = time.Now().Add(time.Hour)
	before := time.Now()
	if _, err := w.Write([]byte("a")); err != nil || nc.deadline.Before(before.Add(writeTimeout)) || nc.deadline.After(time.Now().Add(writeTimeout)) {
		t.Errorf("the deadline is %v: %v", nc.deadline, err)
	}
	if got := responseTime(10 * frameRate); got != responseGrace+10*time.Second {
		t.Errorf("%v", got)
	}
}

// What waits does not hold up the answers before it.
func TestWaitingRequestLetsEarlierAnswersGo(t *testing.T) {
	var started atomic.Int32
	release := make(chan struct{})
	l := serveRows(t, nil, api{kmsg.Heartbeat, 0, 4, func(_ context.Context, _ *Broker, r *request) finish {
		if started.Add(1) == 3 {
			return func(context.Context) reply { <-release; return reply{msg: r.msg.ResponseKind()} }
		}
		r.ready = func() bool { return true }
		return func(context.Context) reply {
			for started.Load() < 3 { // so that the next is queued, or about to be
				runtime.Gosched()
			}
			return reply{msg: r.msg.ResponseKind()}
		}
	}})
	nc := dial(t, l)
	var frames []byte
	for corr := range int32(3) {
		frames = append(frames, frameOf(heartbeat(), corr)...)
	}
	nc.Write(frames)
	for want := range int32(3) {
		if want == 2 {
			close(release)
		}
		if corr, _ := readResponse(t, nc); corr != want {
			t.Fatalf("correlation %d, want %d", corr, want)
		}
	}
}
