package partition

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/quirelog/quire/segment/batch"
)

const ttl = 1000 // ms

// applyAt commits a batch of n records behind the others.
func applyAt(s *producers, producer int64, epoch int16, seq, n int32, now int64) {
	h := header(producer, epoch, seq, n)
	h.BaseOffset = s.end
	s.apply(&h, now)
}

func TestJudgeAppliedState(t *testing.T) {
	s := newProducers(ttl)
	for i := range int32(7) { // sequences 0..69 at offsets 0..69, the last five batches from 20 on
		applyAt(&s, 1, 3, i*10, 10, 100)
	}
	applyAt(&s, 2, 0, math.MaxInt32-4, 5, 100) // ends at 2^31-1
	applyAt(&s, 3, 0, math.MaxInt32-4, 10, 100)
	for _, c := range []struct {
		name string
		h    batch.Header
		now  int64
		base Offset // of a repeat, else -1
		err  error
	}{
		{"next", header(1, 3, 70, 10), 100, -1, nil},
		{"repeat of the newest", header(1, 3, 60, 10), 100, 60, nil},
		{"repeat of the fifth newest", header(1, 3, 20, 10), 100, 20, nil},
		{"repeat of an older one", header(1, 3, 10, 10), 100, -1, ErrOutOfOrderSequence},
		{"same first, other last", header(1, 3, 60, 9), 100, -1, ErrOutOfOrderSequence},
		{"gap", header(1, 3, 71, 10), 100, -1, ErrOutOfOrderSequence},
		{"back at 0 in the same epoch", header(1, 3, 0, 10), 100, -1, ErrOutOfOrderSequence},
		{"old epoch", header(1, 2, 70, 10), 100, -1, ErrInvalidEpoch},
		{"repeat of the newest, old epoch", header(1, 2, 60, 10), 100, -1, ErrInvalidEpoch},
		{"new epoch from 0", header(1, 4, 0, 1), 100, -1, nil},
		{"new epoch from 70", header(1, 4, 70, 1), 100, -1, ErrOutOfOrderSequence},
		{"unknown producer from 0", header(9, 5, 0, 1), 100, -1, nil},
		{"unknown producer from 17", header(9, 5, 17, 1), 100, -1, nil},
		{"no sequence", header(9, 5, -1, 1), 100, -1, ErrOutOfOrderSequence},
		{"wrap to 0", header(2, 0, 0, 3), 100, -1, nil},
		{"no wrap to 1", header(2, 0, 1, 3), 100, -1, ErrOutOfOrderSequence},
		{"wrap within a batch: next", header(3, 0, 5, 1), 100, -1, nil},
		{"wrap within a batch: repeat", header(3, 0, math.MaxInt32-4, 10), 100, 75, nil},
		{"just before the time is over", header(1, 3, 90, 1), 100 + ttl - 1, -1, ErrOutOfOrderSequence},
		{"after the time is over: unknown", header(1, 3, 90, 1), 100 + ttl, -1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, w, err := judge(&s, overlay{}, sequenceOf(&c.h), c.now)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if (w != nil) != (c.base >= 0) || w != nil && w.base != c.base {
				t.Fatalf("repeat %+v, want offset %d", w, c.base)
			}
		})
	}
}

func TestJudgeInFlight(t *testing.T) {
	s, o := newProducers(ttl), overlay{}
	applyAt(&s, 1, 0, 0, 1, 0)
	fly := func(epoch int16, seq int32) *Pending {
		h := header(1, epoch, seq, 1)
		pd := &Pending{seq: sequenceOf(&h)}
		o.add(pd)
		return pd
	}
	want := func(epoch int16, seq int32, repeats *Pending, wantErr error) {
		t.Helper()
		h := header(1, epoch, seq, 1)
		pd, _, err := judge(&s, o, sequenceOf(&h), 0)
		if pd != repeats || !errors.Is(err, wantErr) || (err == nil) != (wantErr == nil) {
			t.Fatalf("epoch %d sequence %d: repeats %p, %v; want %p, %v", epoch, seq, pd, err, repeats, wantErr)
		}
	}
	a, b, c := fly(0, 1), fly(0, 2), fly(0, 3)
	want(0, 1, a, nil)
	want(0, 3, c, nil)
	want(0, 4, nil, nil)
	want(0, 5, nil, ErrOutOfOrderSequence)
	o.committed(a)
	want(0, 1, nil, ErrOutOfOrderSequence) // the machine applies it first
	want(0, 2, b, nil)
	o.failed(c)
	want(0, 3, nil, nil) // again
	d := fly(1, 0)
	want(0, 3, nil, ErrInvalidEpoch)
	want(0, 2, nil, ErrInvalidEpoch)
	want(1, 0, d, nil)
	want(1, 1, nil, nil)
	o.failed(b) // and what was judged after it
	want(0, 1, nil, nil)
	if len(o) != 0 {
		t.Fatalf("overlay is not empty: %v", o)
	}
	o.committed(d) // not there any more
}

func TestApplyFollowsTheLog(t *testing.T) {
	s := newProducers(ttl)
	h := header(1, 5, 40, 10)
	h.BaseOffset = 100
	if !s.apply(&h, 0) || s.end != 110 {
		t.Fatalf("end %d", s.end)
	}
	if s.apply(&h, 0) {
		t.Fatal("applied twice")
	}
	applyAt(&s, 1, 5, 90, 1, 0) // a gap is in the log
	applyAt(&s, 1, 4, 0, 1, 0)  // an older epoch, too
	pr := s.get(1, 0)
	if pr.epoch != 4 || pr.n != 1 || pr.newest().base != 111 {
		t.Fatalf("state %+v", pr)
	}
	applyAt(&s, -1, -1, -1, 3, 0)
	control := header(1, 4, -1, 1)
	control.Attributes, control.BaseOffset = 1<<5, s.end
	s.apply(&control, 0)
	if s.end != 116 || pr.n != 1 || len(s.byID) != 1 {
		t.Fatalf("end %d, state %+v", s.end, pr)
	}
}

func TestProducersExpire(t *testing.T) {
	s := newProducers(ttl)
	applyAt(&s, 1, 0, 0, 1, 0)
	applyAt(&s, 2, 0, 0, 1, 500)
	if got := s.list(ttl); len(got) != 1 || got[0].ID != 2 {
		t.Fatalf("listed %v", got)
	}
	applyAt(&s, 1, 0, 7, 1, ttl) // its old batches are forgotten
	if pr := s.get(1, ttl); pr.n != 1 {
		t.Fatalf("%d batches", pr.n)
	}
	s.sweep(500 + ttl)
	if len(s.byID) != 1 {
		t.Fatalf("%d producers", len(s.byID))
	}
}

func TestProducersLimit(t *testing.T) {
	s := newProducers(ttl)
	s.limit = 16
	for id := range int64(16) {
		applyAt(&s, id, 0, 0, 1, 100-id) // the higher the id, the longer idle
	}
	applyAt(&s, 99, 0, 0, 1, 100)
	for id := range int64(16) {
		if known := s.get(id, 100) != nil; known != (id < 13) {
			t.Errorf("producer %d: known is %v", id, known)
		}
	}
	if s.get(99, 100) == nil {
		t.Error("the newest is not there")
	}
}

func goldenState() *producers {
	s := newProducers(ttl)
	for i := range int32(6) {
		applyAt(&s, 7, 1, i*2, 2, 1_700_000_000_000)
	}
	h := header(1000, 0, math.MaxInt32, 2)
	h.BaseOffset, h.Attributes, h.MaxTimestamp = s.end, 1<<3, -5
	s.apply(&h, 1_700_000_000_001)
	return &s
}

const goldenHex = "010e02" + "070180a0abfef96205" + "020102d40f00" + "040104d80f00" + "060106dc0f00" + "080108e00f00" + "0a010ae40f00" +
	"e1070082a0abfef96201" + "ffffffff07010c0901"

func TestProducerStateGolden(t *testing.T) {
	want := goldenState()
	if got := hex.EncodeToString(want.encode()); got != goldenHex {
		t.Fatalf("encoded\n%s, want\n%s", got, goldenHex)
	}
	b, _ := hex.DecodeString(goldenHex)
	got := newProducers(ttl)
	if err := got.decode(b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Fatalf("decoded %+v, want %+v", got, want)
	}
	for n := range b {
		short := newProducers(ttl)
		if err := short.decode(b[:n]); !errors.Is(err, errProducerState) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
}

func FuzzProducerState(f *testing.F) {
	b, _ := hex.DecodeString(goldenHex)
	f.Add(b)
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { checkProducerState(t, b) })
}

func checkProducerState(t testing.TB, b []byte) {
	s := newProducers(ttl)
	if err := s.decode(b); err != nil {
		if !errors.Is(err, errProducerState) {
			t.Fatal(err)
		}
		return
	}
	again := newProducers(ttl)
	if err := again.decode(s.encode()); err != nil {
		t.Fatalf("what was decoded does not decode again: %v", err)
	}
	if !reflect.DeepEqual(s, again) {
		t.Fatalf("decoded %+v, again %+v", s, again)
	}
}
