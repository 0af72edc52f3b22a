package broker

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// waitingRow answers a Heartbeat when release is closed or the connection's context ends, which it tells.
func waitingRow(started chan<- struct{}, release <-chan struct{}, ended chan<- error) api {
	return api{kmsg.Heartbeat, 0, 4, func(_ context.Context, _ *Broker, r *request) finish {
		started <- struct{}{}
		return func(ctx context.Context) reply {
			select {
			case <-release:
			case <-ctx.Done():
			}
			ended <- ctx.Err()
			return reply{msg: r.msg.ResponseKind()}
		}
	}}
}

func heartbeat() *kmsg.HeartbeatRequest {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version = 4
	return r
}

func TestDisconnectEndsWhatWaits(t *testing.T) {
	started, ended := make(chan struct{}, 2), make(chan error, 2)
	l := serveRows(t, nil, waitingRow(started, nil, ended))
	nc := dial(t, l)
	nc.Write(frameOf(heartbeat(), 1))
	nc.Write(frameOf(heartbeat(), 2))
	<-started
	<-started
	nc.Close()
	for range 2 { // the second was not reached: it is finished all the same
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}

func TestCloseAnswersWhatIsUnderWay(t *testing.T) {
	started, ended, release := make(chan struct{}, 1), make(chan error, 1), make(chan struct{})
	l := serveRows(t, nil, waitingRow(started, release, ended))
	nc := dial(t, l)
	nc.Write(frameOf(heartbeat(), 1))
	<-started
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		ctx, cancel := context.WithTimeout(context.Background(), testWait)
		defer cancel()
		l.close(ctx)
	}()
	for !l.draining.Load() {
		runtime.Gosched()
	}
	close(release)
	if corr, _ := readResponse(t, nc); corr != 1 {
		t.Errorf("correlation %d", corr)
	}
	if err := <-ended; err != nil {
		t.Errorf("its context ended: %v", err)
	}
	wantClosed(t, nc)
	<-closed
}

func TestCloseCutsWhatDoesNotEnd(t *testing.T) {
	started, ended := make(chan struct{}, 1), make(chan error, 1)
	l := serveRows(t, nil, waitingRow(started, nil, ended))
	nc := dial(t, l)
	nc.Write(frameOf(heartbeat(), 1))
	<-started
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	l.close(ctx)
	if err := <-ended; err == nil {
		t.Error("the context of what waited did not end")
	}
	wantClosed(t, nc)
}

func TestTooManyConnections(t *testing.T) {
	l := serveRows(t, func(c *config.Config) { c.MaxConnections = 1 })
	first := dial(t, l)
	first.Write(frameOf(apiVersions(0), 1))
	readResponse(t, first)
	wantClosed(t, dial(t, l))
	first.Write(frameOf(apiVersions(0), 2)) // the first goes on
	readResponse(t, first)
}

func TestIdleConnectionIsClosedButNotAWaitingOne(t *testing.T) {
	started, ended, release := make(chan struct{}, 1), make(chan error, 1), make(chan struct{})
	l := serveRows(t, func(c *config.Config) { c.IdleTimeout = 20 * time.Millisecond }, waitingRow(started, release, ended))
	waiting := dial(t, l)
	waiting.Write(frameOf(heartbeat(), 1))
	<-started
	idle := dial(t, l)
	wantClosed(t, idle) // later than the waiting one would have been
	close(release)
	if corr, _ := readResponse(t, waiting); corr != 1 {
		t.Errorf("correlation %d", corr)
	}
	wantClosed(t, waiting)
}

// An unanswerable request ends the connection; one that wants no answer gets none.
func TestRepliesWithoutABody(t *testing.T) {
	n := 0
	l := serveRows(t, nil, api{kmsg.Heartbeat, 0, 4, func(context.Context, *Broker, *request) finish {
		if n++; n == 1 {
			return nil
		}
		return func(context.Context) reply { return reply{err: errors.New("unanswerable")} }
	}})
	nc := dial(t, l)
	nc.Write(frameOf(heartbeat(), 1))
	nc.Write(frameOf(apiVersions(0), 2))
	if corr, _ := readResponse(t, nc); corr != 2 {
		t.Errorf("correlation %d", corr)
	}
	nc.Write(frameOf(heartbeat(), 3))
	wantClosed(t, nc)
}

func TestStreamedResponse(t *testing.T) {
	l := serveRows(t, nil, api{kmsg.Heartbeat, 0, 4, func(context.Context, *Broker, *request) finish {
		return func(context.Context) reply {
			return reply{stream: []part{{head: []byte("abc")}, {head: pattern(100_000)}, {head: []byte("d")}}}
		}
	}})
	nc := dial(t, l)
	nc.Write(frameOf(heartbeat(), 1))
	want := "\x00abc" + string(pattern(100_000)) + "d" // behind the tag section of a flexible header
	if corr, body := readResponse(t, nc); corr != 1 || string(body) != want {
		t.Errorf("correlation %d, %d bytes", corr, len(body))
	}
}

// waiting counts the requests under way.
func (l *listener) waiting() (n int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		n += c.inFlight.Load()
	}
	return n
}

// waitFor polls a condition that another goroutine brings about.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testWait); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
