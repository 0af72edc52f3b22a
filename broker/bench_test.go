package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment/flush"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// benchBroker is a broker with one topic "t" of n partitions, in durability os: what is measured is the path, not the disk.
func benchBroker(b *testing.B, n int) *Broker {
	b.Helper()
	cfg := testConfig(b.TempDir())
	cfg.Durability, cfg.HTTPAddr = flush.OS, ""
	br, err := Start(b.Context(), cfg, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = br.Close(context.WithoutCancel(b.Context())) })
	topic := controller.NewTopic{Name: "t"}
	for range n {
		topic.Partitions = append(topic.Partitions, controller.Partition{Replicas: []int32{1}})
	}
	made, err := br.controller.CreateTopic(b.Context(), topic)
	if err == nil {
		err = br.awaitLeaders(b.Context(), made)
	}
	if err != nil {
		b.Fatal(err)
	}
	return br
}

func benchDial(b *testing.B, br *Broker) net.Conn {
	b.Helper()
	nc, err := net.Dial("tcp", br.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	return nc
}

// skipResponse reads a response away and returns its length.
func skipResponse(b *testing.B, r *bufio.Reader) int {
	b.Helper()
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		b.Fatal(err)
	}
	n, err := r.Discard(int(binary.BigEndian.Uint32(size[:])))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkProduce sends one batch a request over a loopback connection, several requests in flight, and counts the
// broker's allocations (the client only writes one frame again and again).
func BenchmarkProduce(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		for _, inFlight := range []int{1, 5} {
			b.Run(fmt.Sprintf("bytes=%d/inflight=%d", size, inFlight), func(b *testing.B) { benchProduce(b, size, inFlight) })
		}
	}
}

func benchProduce(b *testing.B, size, inFlight int) {
	nc := benchDial(b, benchBroker(b, 1))
	raw := testBatch(b, size/100)
	frame := frameOf(produceRequest(9, "t", 0, raw), 1)
	slots := make(chan struct{}, inFlight)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			slots <- struct{}{}
			if _, err := nc.Write(frame); err != nil {
				return // the reader fails, too
			}
		}
	}()
	r := bufio.NewReaderSize(nc, 64<<10)
	for range b.N {
		skipResponse(b, r)
		<-slots
	}
}

// BenchmarkFetch reads a topic of 64 MiB again and again, one response of up to 1 MiB after the other, over a loopback
// connection.
func BenchmarkFetch(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		b.Run("partitions="+strconv.Itoa(partitions), func(b *testing.B) { benchFetch(b, partitions) })
	}
}

func benchFetch(b *testing.B, partitions int) {
	br := benchBroker(b, partitions)
	nc := benchDial(b, br)
	r := bufio.NewReaderSize(nc, 64<<10)
	raw := testBatch(b, 160) // about 16 KiB
	const batches = 64 << 20 / (16 << 10)
	for i := range batches {
		if _, err := nc.Write(frameOf(produceRequest(9, "t", int32(i%partitions), raw), 1)); err != nil {
			b.Fatal(err)
		}
		skipResponse(b, r)
	}
	perResponse := 1 << 20 / len(raw) / partitions
	b.ReportAllocs()
	b.ResetTimer()
	var read int
	at := 0
	for range b.N {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.SessionEpoch = 12, 1<<20, sessionEpochFinal
		for n := range partitions {
			addFetch(req, "t", controller.TopicID{}, int32(n), int64(at*160))
			req.Topics[n].Partitions[0].PartitionMaxBytes = int32(1 << 20 / partitions)
		}
		if _, err := nc.Write(frameOf(req, 1)); err != nil {
			b.Fatal(err)
		}
		read += skipResponse(b, r)
		if at += perResponse; at > batches/partitions-perResponse {
			at = 0
		}
	}
	b.SetBytes(int64(read / b.N))
}
