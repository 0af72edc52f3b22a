package broker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"testing"

	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produceRow takes Produce requests and hands the first partition's records to the test.
func produceRow(got chan<- []byte) api {
	return api{kmsg.Produce, 0, 13, func(_ context.Context, _ *Broker, r *request) finish {
		req := r.msg.(*kmsg.ProduceRequest)
		records := req.Topics[0].Partitions[0].Records
		return func(context.Context) reply {
			got <- records
			return reply{msg: req.ResponseKind()}
		}
	}}
}

func produceOf(version int16, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks = version, -1
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.ProduceRequestTopicPartition{p}
	r.Topics = []kmsg.ProduceRequestTopic{t}
	return r
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// Frames of every size class, small ones torn at every byte.
func TestTornFrames(t *testing.T) {
	got := make(chan []byte, 1)
	l := serveRows(t, nil, produceRow(got))
	nc := dial(t, l)
	for _, frame := range [][]byte{frameOf(apiVersions(3), 1), frameOf(apiVersions(0), 1)} {
		for cut := range len(frame) {
			nc.Write(frame[:cut])
			nc.Write(frame[cut:])
			if corr, _ := readResponse(t, nc); corr != 1 {
				t.Fatalf("cut at %d: correlation %d", cut, corr)
			}
		}
	}
	small := frameOf(produceOf(13, pattern(100)), 2)
	for cut := range len(small) {
		nc.Write(small[:cut])
		nc.Write(small[cut:])
		if records := <-got; !bytes.Equal(records, pattern(100)) {
			t.Fatalf("cut at %d: other bytes arrived", cut)
		}
		readResponse(t, nc)
	}
	for _, size := range []int{readBufferBytes - 100, readBufferBytes, readBufferBytes + 1, provenBytes, eagerFrameBytes - 10, eagerFrameBytes, 3 * eagerFrameBytes} {
		nc.Write(frameOf(produceOf(9, pattern(size)), 3))
		if records := <-got; !bytes.Equal(records, pattern(size)) {
			t.Fatalf("size %d: other bytes arrived", size)
		}
		readResponse(t, nc)
	}
}

// A control request larger than the read buffer goes through pooled memory.
func TestLargeControlFrame(t *testing.T) {
	topics := make(chan int, 1)
	l := serveRows(t, nil, api{kmsg.Metadata, 0, 13, func(_ context.Context, _ *Broker, r *request) finish {
		topics <- len(r.msg.(*kmsg.MetadataRequest).Topics)
		return answer(r.msg.ResponseKind())
	}})
	nc := dial(t, l)
	for range 3 {
		r := kmsg.NewPtrMetadataRequest()
		r.Version = 9
		for range 2000 {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr("a-topic-with-a-long-name")
			r.Topics = append(r.Topics, topic)
		}
		nc.Write(frameOf(r, 1))
		if n := <-topics; n != 2000 {
			t.Fatalf("%d topics", n)
		}
		readResponse(t, nc)
	}
}

func TestBadFramesCloseTheConnection(t *testing.T) {
	got := make(chan []byte, 1)
	l := serveRows(t, func(c *config.Config) { c.MaxRequestBytes = 1 << 20 }, produceRow(got))
	length := func(n int32, rest ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(n)), rest...)
	}
	header := func(key, version int16, rest ...byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1, 0xff, 0xff) // correlation id, no client id
		b = append(b, rest...)
		return append(length(int32(len(b))), b...)
	}
	truncated := frameOf(produceOf(9, pattern(50)), 1)
	truncated = truncated[:len(truncated)-10]
	binary.BigEndian.PutUint32(truncated, uint32(len(truncated)-4))
	clientID := header(18, 0)
	clientID[12] = 0x7f
	eight := make([]byte, 8)
	for _, tt := range []struct {
		name  string
		bytes []byte
	}{
		{"negative length", length(-1, eight...)},
		{"too short, and nothing more", length(2, 0, 18)},
		{"too long, and nothing more", length(math.MaxInt32, 0, 18)},
		{"length 0", length(0, eight...)},
		{"shorter than a header", length(7, eight...)},
		{"longer than anything", length(math.MaxInt32, eight...)},
		{"produce above its limit", length(1<<20+1, eight...)},
		{"control above its limit", append(length(maxControlBytes+1), header(18, 0)[4:]...)},
		{"unknown key", header(99, 0)},
		{"negative key", header(-2, 0)},
		{"key above the table", header(maxKey+1, 0)},
		{"unknown version", header(0, 14)},
		{"negative version", header(0, -1)},
		{"truncated body", truncated},
		{"no body", header(0, 9)},
		{"client id beyond the frame", clientID},
		{"header tags beyond the frame", header(18, 3, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"produce topics beyond the frame", header(0, 3, 0xff, 0xff, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff)},
		{"produce tags beyond the frame", header(0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f)},
		{"http", []byte("GET / HTTP/1.1\r\n\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nc := dial(t, l)
			nc.Write(tt.bytes)
			wantClosed(t, nc)
		})
	}
	nc := dial(t, l) // and the next client is served
	nc.Write(frameOf(apiVersions(0), 1))
	readResponse(t, nc)
}

// A stranger who announces 100 MiB and sends little costs neither memory nor budget.
func TestAnnouncingCostsNothing(t *testing.T) {
	l := serveRows(t, nil, produceRow(nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const strangers = 20
	for range strangers {
		nc := dial(t, l)
		nc.Write(append(binary.BigEndian.AppendUint32(nil, 100<<20), make([]byte, 100)...))
	}
	nc := dial(t, l)
	nc.Write(frameOf(apiVersions(0), 1))
	readResponse(t, nc)
	runtime.ReadMemStats(&after)
	if used := l.budget.used.Load(); used > 1<<20 {
		t.Errorf("%d bytes of budget are taken", used)
	}
	if grown := int64(after.TotalAlloc - before.TotalAlloc); grown > 16<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// What is in flight stays within the budget: a request that does not fit waits for its turn, and gets it.
func TestBudgetBoundsRequestsInFlight(t *testing.T) {
	const size, limit = 300 << 10, 1 << 20
	release := make(chan struct{})
	started := make(chan struct{}, 100)
	l := serveRows(t, func(c *config.Config) { c.MaxInFlightBytes = limit }, api{kmsg.Produce, 0, 13,
		func(_ context.Context, _ *Broker, r *request) finish {
			started <- struct{}{}
			return func(context.Context) reply {
				<-release
				return reply{msg: r.msg.ResponseKind()}
			}
		}})
	const clients = 8
	var conns []net.Conn
	for range clients {
		nc := dial(t, l)
		conns = append(conns, nc)
		go nc.Write(frameOf(produceOf(9, pattern(size)), 1))
	}
	for range limit / size {
		<-started
	}
	if used := l.budget.used.Load(); used > limit+limit/provingShare {
		t.Errorf("%d bytes in flight, the limit is %d", used, limit)
	}
	select {
	case <-started:
		t.Error("one more request was started than fit")
	default:
	}
	close(release)
	for _, nc := range conns {
		readResponse(t, nc)
	}
}

func TestReadFrameReleasesOnError(t *testing.T) {
	b := newBudget(10 << 20)
	text := append(binary.BigEndian.AppendUint32(nil, 2<<20), make([]byte, 1<<20)...)
	br := bufio.NewReaderSize(bytes.NewReader(text), readBufferBytes)
	for _, produce := range []bool{true, false} {
		br.Reset(bytes.NewReader(text))
		src := source{br, func(p []byte, _ int) error { _, err := io.ReadFull(br, p); return err }}
		_, err := readFrame(context.Background(), src, b, 2<<20, produce)
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		if used := b.used.Load(); used != 0 {
			t.Errorf("%d bytes are still taken", used)
		}
	}
}
