package quiretest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/client"
)

// TestStartIsQuick holds the best of several starts to the bound: what is measured is the broker, not what else the machine does. Where
// it does much else the bound is wider; QUIRE_STRICT=1 (`make strict`) holds it to 50 ms.
func TestStartIsQuick(t *testing.T) {
	bound := 50 * time.Millisecond
	if os.Getenv("QUIRE_STRICT") == "" {
		bound *= 20
	}
	var took []time.Duration
	for n := range 8 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			begin := time.Now()
			b := Start(t)
			took = append(took, time.Since(begin))
			conn, err := net.Dial("tcp", b.Addr())
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		})
	}
	t.Logf("took %v", took)
	if best := slices.Min(took); best > bound {
		t.Errorf("the quickest of %d starts took %s, want at most %s", len(took), best, bound)
	}
}

// TestManyAtOnce runs brokers side by side in one process, each with topics and records of its own.
func TestManyAtOnce(t *testing.T) {
	for n := range 16 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			b := Start(t, func(c *config.Config) { c.NumPartitions = 1 })
			sent := &client.Record{Topic: "t", Value: fmt.Append(nil, n)}
			if err := b.Client().Publish(t.Context(), sent); err != nil {
				t.Fatal(err)
			}
			var got []string
			for r, err := range b.Client().Replay(t.Context(), "t", client.ReplayOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(r.Value))
			}
			if want := []string{string(sent.Value)}; sent.Offset != 0 || !slices.Equal(got, want) {
				t.Errorf("got %v, want %v at offset 0, not %d", got, want, sent.Offset)
			}
		})
	}
}

// TestStopsWithTheTest also stands for a test that leaves a foreign connection open.
func TestStopsWithTheTest(t *testing.T) {
	var b *Broker
	var addr string
	t.Run("test", func(t *testing.T) {
		b = Start(t)
		addr = b.Addr()
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if b.goroutines() == "" {
			t.Error("a running broker has no goroutines: none would ever be found left over")
		}
	})
	if left := b.goroutines(); left != "" {
		t.Errorf("left over:\n%s", left)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}

func TestLeftOverGoroutineIsReported(t *testing.T) {
	b := &Broker{t: t, id: t.Name()}
	end, ended := make(chan struct{}), make(chan struct{})
	b.labelled(t.Context(), func(context.Context) {
		go func() {
			defer close(ended)
			<-end
		}()
	})
	if left := b.leftOver(0); !strings.Contains(left, "TestLeftOverGoroutineIsReported") {
		t.Errorf("got %q", left)
	}
	close(end)
	<-ended
	if left := b.leftOver(leakTimeout); left != "" {
		t.Errorf("after its end: %s", left)
	}
}
