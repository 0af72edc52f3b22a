package main

import (
	"context"
	byteorder "encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/fuzz"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What an attack consists of, beside its slow sockets.
const (
	bombers, bombsAhead = 4, 4      // connections of each kind, and bombs that each has under way
	largeBomb           = 120 << 20 // just within max.decompressed.message.bytes; whoever sent one hangs up, lest he be left waiting
	smallBomb           = 7 << 20   // within all limits
	counters            = 4         // connections that announce more elements than there are bytes, again and again
	countersPause       = 10 * time.Millisecond
	largeFrames         = 4         // connections that send frames of 100 MiB
	largeFrame          = 100 << 20 // bytes
	largeRate           = 25 << 20  // bytes a second of each of them
)

// attack is what peers without good intentions do to a broker at one time. Its bytes are made beforehand and its rates are
// bounded, so that on a small machine it is the broker that is measured and not the attacker.
type attack struct {
	addr   string
	cancel context.CancelFunc
	done   sync.WaitGroup

	open                              atomic.Int64 // slow sockets
	bombs, disarmed, refused, largest atomic.Int64 // bombs answered, refused of them; counts refused; large frames sent whole
}

// startAttack returns when all slow sockets are open.
func startAttack(t *testing.T, addr string, slowSockets int) *attack {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a := &attack{addr: addr, cancel: cancel}
	a.done.Go(func() { a.slow(ctx, slowSockets) })
	for _, plain := range []int{largeBomb, smallBomb} {
		bomb := frameOf(produceOf("bombs", fuzz.Bomb(plain)))
		for range bombers {
			a.done.Go(func() { a.again(ctx, func(nc net.Conn) { a.bomb(nc, bomb) }) })
		}
	}
	for range counters {
		a.done.Go(func() { a.count(ctx) })
	}
	frame := announced(largeFrame, 0)
	piece := make([]byte, 256<<10)
	for range largeFrames {
		a.done.Go(func() { a.again(ctx, func(nc net.Conn) { a.large(ctx, nc, frame, piece) }) })
	}
	until(t, time.Minute, "all slow sockets are open", func() bool { return a.open.Load() >= int64(slowSockets) })
	return a
}

// complete says whether all kinds of it have taken place, and nearly all slow sockets are still there.
func (a *attack) complete(slowSockets int64) bool {
	return a.open.Load() >= slowSockets*9/10 && a.bombs.Load() > 0 && a.refused.Load() > 0 && a.largest.Load() > 0
}

func (a *attack) stop() {
	a.cancel()
	a.done.Wait()
}

// again dials and does what until ctx ends, also after the broker has hung up.
func (a *attack) again(ctx context.Context, what func(nc net.Conn)) {
	for ctx.Err() == nil {
		nc, err := net.Dial("tcp", a.addr)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(ctx, func() { nc.Close() })
		what(nc)
		stop()
		nc.Close()
	}
}

// slow keeps n sockets open, each with a frame that has begun and gets a byte more every second. Three in four announce
// 100 MiB; of these one in four has sent as much as makes the broker set memory apart.
func (a *attack) slow(ctx context.Context, n int) {
	sockets := make([]net.Conn, n)
	defer func() {
		for _, nc := range sockets {
			if nc != nil {
				nc.Close()
			}
		}
	}()
	starts := [][]byte{announced(largeFrame, 10), announced(largeFrame, 100), announced(largeFrame, 70<<10), announced(200, 10)}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for at := 0; ; {
		for range max(1, n/100) { // a hundredth of them every hundredth of a second
			i := at % n
			at++
			if sockets[i] != nil {
				if _, err := sockets[i].Write([]byte{0}); err == nil {
					continue
				}
				sockets[i].Close()
				a.open.Add(-1)
			}
			if sockets[i] = a.begin(starts[i%len(starts)]); sockets[i] != nil {
				a.open.Add(1)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// begin opens a socket and sends the start of a frame; nil if that fails.
func (a *attack) begin(start []byte) net.Conn {
	nc, err := net.Dial("tcp", a.addr)
	if err != nil {
		return nil
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second)) // the broker may have stopped reading: then it is slow enough
	if _, err := nc.Write(start); err != nil {
		nc.Close()
		return nil
	}
	_ = nc.SetWriteDeadline(time.Time{})
	return nc
}

// bomb sends batches that grow to 30,000 times their size, some ahead of the answers, until one is refused.
func (a *attack) bomb(nc net.Conn, frame []byte) {
	for range bombsAhead {
		if _, err := nc.Write(frame); err != nil {
			return
		}
	}
	var size [4]byte
	for {
		if _, err := io.ReadFull(nc, size[:]); err != nil {
			return
		}
		body := make([]byte, byteorder.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(nc, body); err != nil {
			return
		}
		a.bombs.Add(1)
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = produceVersion
		if err := resp.ReadFrom(body[5:]); err == nil && resp.Topics[0].Partitions[0].ErrorCode != 0 {
			a.disarmed.Add(1)
			return
		}
		if _, err := nc.Write(frame); err != nil {
			return
		}
	}
}

// count sends requests whose arrays have more elements than there are bytes.
func (a *attack) count(ctx context.Context) {
	hostile := []byte{0, 0, 0, 14, 0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}
	tick := time.NewTicker(countersPause)
	defer tick.Stop()
	a.again(ctx, func(nc net.Conn) {
		if _, err := nc.Write(hostile); err == nil {
			if n, _ := nc.Read(make([]byte, 1)); n == 0 && ctx.Err() == nil {
				a.refused.Add(1)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	})
}

// large sends one frame of 100 MiB, at a rate that an honest client could have. A frame counts that came in whole, and one that the
// broker gave up when a good deal of it was there: it may, where a busy machine makes it slow.
func (a *attack) large(ctx context.Context, nc net.Conn, start, piece []byte) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	if _, err := nc.Write(start); err != nil {
		return
	}
	const whole = largeFrame + 4
	sent := len(start)
	for began := time.Now(); sent < whole; {
		for due := min(whole, int(time.Since(began).Seconds()*largeRate)); sent < due; {
			n, err := nc.Write(piece[:min(whole-sent, len(piece))])
			if sent += n; err != nil {
				if sent > whole/16 && ctx.Err() == nil {
					a.largest.Add(1)
				}
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	a.largest.Add(1)
}

const produceVersion = 9

// announced is the beginning of a Produce frame of size bytes, as much of it as sent says.
func announced(size, sent int) []byte {
	b := byteorder.BigEndian.AppendUint32(nil, uint32(size))
	b = append(b, 0, 0, 0, produceVersion)
	return append(b, make([]byte, sent)...)
}

func produceOf(topic string, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = produceVersion, -1, 10_000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = records
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.Partitions = topic, []kmsg.ProduceRequestTopicPartition{p}
	r.Topics = []kmsg.ProduceRequestTopic{rt}
	return r
}

func frameOf(r kmsg.Request) []byte { return kmsg.NewRequestFormatter().AppendRequest(nil, r, 1) }
