package broker

import (
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkConnection is what a request costs without what it asks for: read, decode, queue, encode, write, over loopback, with
// the client's side in the same process.
func BenchmarkConnection(b *testing.B) {
	for _, size := range []int{100, 10 << 10, 100 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("produce=%d", size), func(b *testing.B) {
			benchmarkFrames(b, frameOf(produceOf(9, pattern(size)), 1))
		})
	}
	b.Run("control", func(b *testing.B) { benchmarkFrames(b, frameOf(heartbeat(), 1)) })
}

func benchmarkFrames(b *testing.B, frame []byte) {
	nothing := func(_ context.Context, _ *Broker, r *request) finish {
		r.ready = func() bool { return true }
		return answer(r.msg.ResponseKind())
	}
	l := serveRows(b, nil, api{kmsg.Produce, 0, 13, nothing}, api{kmsg.Heartbeat, 0, 4, nothing})
	nc, err := net.Dial("tcp", l.ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Minute))
	nc.Write(frame)
	_, body := readResponse(b, nc)
	responseBytes := int64(8 + len(body))

	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			if _, err := nc.Write(frame); err != nil {
				return
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, nc, int64(b.N)*responseBytes); err != nil {
		b.Fatal(err)
	}
}
