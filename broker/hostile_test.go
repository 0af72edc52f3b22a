package broker

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// hostiles are peers that mean no good. Their connections stay open until the test closes them, or the broker does.
type hostiles struct {
	addr string
	mu   sync.Mutex
	open []net.Conn
}

// send opens n connections and writes to each what what says.
func (h *hostiles) send(t *testing.T, n int, what func(i int) []byte) {
	t.Helper()
	for i := range n {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		h.open = append(h.open, nc)
		h.mu.Unlock()
		_ = nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // the broker stops reading some of them
		_, _ = nc.Write(what(i))
	}
}

func (h *hostiles) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, nc := range h.open {
		nc.Close()
	}
}

// flood opens n connections and returns how many the broker closed; those that found a free place stay open.
func (h *hostiles) flood(t *testing.T, n int) (closed int) {
	t.Helper()
	for range n {
		nc, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := nc.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			h.mu.Lock()
			h.open = append(h.open, nc)
			h.mu.Unlock()
			continue
		}
		closed++
		nc.Close()
	}
	return closed
}

// announced is the beginning of a Produce of 100 MiB.
func announced(sent int) []byte {
	b := binary.BigEndian.AppendUint32(nil, 100<<20)
	return append(b, make([]byte, sent)...) // key 0, version 0, and so on
}

// manyElements is a Metadata request whose array has more elements than there are bytes.
func manyElements(i int) []byte {
	b := []byte{0, 0, 0, 14, 0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff}
	return binary.BigEndian.AppendUint32(b, uint32(0x7fffffff>>(i%16)))
}

func garbage(i int) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 7))
	b := make([]byte, 1+r.IntN(4096))
	for at := range b {
		b[at] = byte(r.Uint32())
	}
	return b
}

// unread is many requests for a lot, whose answers nobody reads.
func unread(int) []byte {
	r := fetchRequest("t", 0)
	r.MaxBytes = 50 << 20
	var b []byte
	for range 150 {
		b = append(b, frameOf(r, 1)...)
	}
	return b
}

// healthy produces batches of 20 B and of 300 KiB and reads each back, until stop is closed; rounds counts them.
func healthy(t *testing.T, c *testClient, rounds *atomic.Int64, stop <-chan struct{}) {
	sizes := []int{1, 3000}
	for next := int64(0); ; next++ {
		select {
		case <-stop:
			return
		default:
		}
		_ = c.nc.SetDeadline(time.Now().Add(testWait))
		records := testBatch(t, sizes[next%2])
		got := c.produce(produceRequest(12, "u", 0, records))
		if got.ErrorCode != 0 {
			t.Errorf("produce: code %d", got.ErrorCode)
			return
		}
		back := c.fetch(fetchRequest("u", got.BaseOffset)).Topics[0].Partitions[0]
		if back.ErrorCode != 0 || len(back.RecordBatches) != len(records) {
			t.Errorf("fetch: code %d, %d bytes of %d", back.ErrorCode, len(back.RecordBatches), len(records))
			return
		}
		rounds.Add(1)
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Hostile peers by the thousand take neither the memory, nor the connections, nor the time of the others.
func TestHostilePeers(t *testing.T) {
	const connections, budget, slack = 150, 128 << 20, 48 << 20
	cfg := testConfig(t.TempDir())
	cfg.MaxConnections, cfg.MaxInFlightBytes = connections, budget
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	makeTopic(t, b, "u", 1)
	c := newTestClient(t, b)
	for range 4 {
		c.mustProduce("t", 0, testBatch(t, 5000))
	}
	open := func() int { b.kafka.mu.Lock(); defer b.kafka.mu.Unlock(); return len(b.kafka.conns) }
	goroutines, heap := runtime.NumGoroutine(), liveHeap()

	var rounds atomic.Int64
	var well sync.WaitGroup
	stop := make(chan struct{})
	well.Go(func() { healthy(t, c, &rounds, stop) })
	h := &hostiles{addr: b.Addr()}
	h.send(t, 20, func(int) []byte { return announced(100) })
	h.send(t, 20, func(int) []byte { return announced(2 * readBufferBytes) })
	h.send(t, 2, func(int) []byte { return announced(2 * provenBytes) })
	h.send(t, 10, unread)
	h.send(t, 20, garbage)
	h.send(t, 20, manyElements)
	whole := frameOf(produceRequest(12, "t", 0, testBatch(t, 3000)), 1)
	h.send(t, 20, func(i int) []byte { return whole[:len(whole)*(i+1)/21] })
	if closed := h.flood(t, 2000+connections); closed < 2000 {
		t.Errorf("%d connections beyond the limit were closed", closed)
	}
	if n := open(); n > connections {
		t.Errorf("%d connections, the limit is %d", n, connections)
	}
	if grown, most := liveHeap()-heap, int64(budget+budget/provingShare+slack); grown > most {
		t.Errorf("the heap grew by %d bytes, the limit is %d", grown, most)
	}
	before := rounds.Load()
	waitFor(t, "the healthy client goes on", func() bool { return rounds.Load() >= before+10 })
	close(stop)
	well.Wait()

	h.close()
	waitFor(t, "all connections but one are gone", func() bool { return open() == 1 })
	waitFor(t, "the budget is free", func() bool { return b.kafka.budget.used.Load() == 0 })
	waitFor(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= goroutines })
	if grown := liveHeap() - heap; grown > slack/2 {
		t.Errorf("%d bytes more on the heap than before", grown)
	}
}

// Frames that stop half way give up their memory when somebody waits for it, long before their time is over.
func TestStalledFramesMakeWay(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MaxInFlightBytes = int64(cfg.MaxRequestBytes)
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	h := &hostiles{addr: b.Addr()}
	defer h.close()
	h.send(t, 2, func(int) []byte { return announced(2 * provenBytes) })
	waitFor(t, "the budget is taken", func() bool { return b.kafka.budget.used.Load() >= int64(cfg.MaxRequestBytes) })
	newTestClient(t, b).mustProduce("t", 0, testBatch(t, 3000))
}
