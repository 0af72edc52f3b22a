package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/fuzz"
)

// Nothing that a client sends makes decoding panic or keeps it busy.
func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	rows := apis()
	for i, row := range rows {
		for version := row.min; version <= row.max; version++ {
			msg := row.key.Request()
			fill(r, reflect.ValueOf(msg).Elem())
			msg.SetVersion(version)
			f.Add(uint8(i), version, frameOf(msg, 1)[4+minFrameBytes:])
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, version int16, rest []byte) {
		row := rows[int(i)%len(rows)]
		if version < row.min || version > row.max {
			return
		}
		msg := row.key.Request()
		msg.SetVersion(version)
		_, _ = decode(msg, rest)
	})
}

// Whatever a client sends is handled without a panic, by one broker that takes it all.
func FuzzHandle(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	records, rows := testBatch(f, 2), apis()
	for i, row := range rows {
		for version := row.min; version <= row.max; version++ {
			msg := row.key.Request()
			v := reflect.ValueOf(msg).Elem()
			fill(r, v)
			steer(r, v, "", records)
			msg.SetVersion(version)
			f.Add(uint8(i), version, frameOf(msg, 1)[4+minFrameBytes:])
		}
	}
	h := newFrameHandler(fuzzBroker(f), 20*time.Millisecond)
	f.Fuzz(func(t *testing.T, i uint8, version int16, rest []byte) {
		frame := binary.BigEndian.AppendUint16(nil, uint16(rows[int(i)%len(rows)].key))
		frame = binary.BigEndian.AppendUint16(frame, uint16(version))
		h.do(t, append(append(frame, 0, 0, 0, 1), rest...))
	})
}

// decodeFrame decodes a frame without its length, as a connection does.
func decodeFrame(d *dispatch) func(t testing.TB, b []byte) {
	return func(_ testing.TB, b []byte) {
		if len(b) < minFrameBytes {
			return
		}
		h := parseHeader(b)
		row := d.find(h.key)
		if row == nil || h.version < row.min || h.version > row.max {
			return
		}
		msg := row.key.Request()
		msg.SetVersion(h.version)
		_, _ = decode(msg, b[minFrameBytes:])
	}
}

// requestMaker makes valid requests of the rows: every key and version, every field random, and names, partitions and records
// that exist more often than chance would have it.
func requestMaker(t testing.TB, rows []api) func(r *rand.Rand) []byte {
	records := testBatch(t, 2)
	return func(r *rand.Rand) []byte {
		row := rows[r.IntN(len(rows))]
		msg := row.key.Request()
		v := reflect.ValueOf(msg).Elem()
		fill(r, v)
		steer(r, v, "", records)
		msg.SetVersion(row.min + int16(r.IntN(int(row.max-row.min)+1)))
		return frameOf(msg, 1)[4:]
	}
}

// steer gives fields of v values that lead deeper into the handlers than random ones.
func steer(r *rand.Rand, v reflect.Value, name string, records []byte) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				steer(r, f, v.Type().Field(i).Name, records)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			steer(r, v.Elem(), name, records)
		}
	case reflect.Slice:
		switch {
		case name == "Records":
			v.SetBytes(records)
			return
		case r.IntN(3) == 0: // many fields mean something only where others are empty
			v.SetLen(0)
		}
		for i := range v.Len() {
			steer(r, v.Index(i), name, records)
		}
	case reflect.String:
		if r.IntN(4) > 0 {
			words := []string{"t", "u", "1", "", "retention.ms", "cleanup.policy", "delete", "-1", "no-such-topic"}
			v.SetString(words[r.IntN(len(words))])
		}
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if r.IntN(4) > 0 {
			v.SetInt(int64(r.IntN(5)) - 2)
		}
	case reflect.Bool:
		if strings.HasPrefix(name, "Validate") && r.IntN(4) > 0 {
			v.SetBool(false) // it ends most requests early
		}
	}
}

// slowKeys are commands of the controller group: each that is valid costs a write to its log. And they make topics.
func slowKey(row api) bool {
	return slices.Contains([]kmsg.Key{kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.CreatePartitions, kmsg.AlterConfigs,
		kmsg.IncrementalAlterConfigs, kmsg.InitProducerID, kmsg.DeleteRecords, kmsg.UpdateFeatures}, row.key)
}

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error)      { return len(p), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }
func (sink) Close() error                     { return nil }
func (sink) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }
func (sink) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// frameHandler decodes frames, runs their handlers to the end and encodes the responses. What waits longer than wait ends as if
// the client had gone.
type frameHandler struct {
	c            *conn
	wait         time.Duration
	came, passed int // frames, and those that a handler was run for
}

func newFrameHandler(b *Broker, wait time.Duration) *frameHandler {
	return &frameHandler{c: newConn(b.kafka, sink{}, netip.Addr{}), wait: wait}
}

func (h *frameHandler) do(_ testing.TB, in []byte) {
	h.came++
	if len(in) < minFrameBytes {
		return
	}
	f := frame{bytes: bytes.Clone(in)}
	ctx, cancel := context.WithTimeout(context.Background(), h.wait)
	defer cancel()
	p, err := h.c.start(ctx, &f)
	if err != nil {
		return
	}
	h.passed++
	if p.finish != nil {
		_ = h.c.respond(ctx, &p, false)
		_ = h.c.w.flush()
	}
}

func fuzzBroker(t testing.TB) *Broker {
	cfg := testConfig(t.TempDir())
	cfg.Durability, cfg.AutoCreateTopics, cfg.HTTPAddr = flush.OS, false, ""
	b := startBroker(t, cfg)
	b.maxPartitions = 20
	makeTopic(t, b, "t", 2)
	makeTopic(t, b, "u", 1)
	return b
}

// Whatever a client sends, in every key and version: decoding and handling neither panic nor wait nor take memory beyond
// what the frame's size allows. One broker takes it all, and serves honest clients afterwards.
func TestDamagedRequests(t *testing.T) {
	t.Run("decode", func(t *testing.T) {
		d := newDispatch(apis(), newMetrics())
		g := fuzz.Target{Runs: 60_000, Make: requestMaker(t, apis()), Do: decodeFrame(d), Allowance: 4 << 20}
		g.Run(t)
	})
	var fast, slow []api
	for _, row := range apis() {
		if slowKey(row) {
			slow = append(slow, row)
		} else {
			fast = append(fast, row)
		}
	}
	b := fuzzBroker(t)
	for _, tt := range []struct {
		name string
		rows []api
		runs int
		wait time.Duration
	}{{"handle", fast, 28_000, 2 * time.Millisecond}, {"commands", slow, 2_000, 100 * time.Millisecond}} {
		t.Run(tt.name, func(t *testing.T) {
			h := newFrameHandler(b, tt.wait)
			g := fuzz.Target{Runs: tt.runs, Intact: 4, Make: requestMaker(t, tt.rows), Do: h.do, Allowance: 64 << 20}
			g.Run(t)
			if h.passed < h.came/2 {
				t.Errorf("%d of %d requests came to a handler, at least half should", h.passed, h.came)
			}
			t.Logf("%d of %d requests came to a handler", h.passed, h.came)
		})
	}
	b.maxPartitions = 100
	makeTopic(t, b, "after", 1)
	newTestClient(t, b).mustProduce("after", 0, testBatch(t, 3))
}
