package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
)

func TestAppendAndRead(t *testing.T) {
	r := mustRig(t, rigOptions{dir: t.TempDir()})
	defer mustClose(t, r)
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	var want [][]byte
	for i := range int32(20) {
		b := build(t, -1, 0, 3, fmt.Sprint(i))
		want = append(want, b)
		if a := mustAppend(t, p, b); a.Base != Offset(3*i) || a.AppendTime != -1 || a.LogStart != 0 {
			t.Fatalf("batch %d went to %+v", i, a)
		}
	}
	got, err := readAll(p, 0)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d batches, %v", len(got), err)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("batch %d is not what was appended", i)
		}
	}
	m, _ := p.Marks(-1)
	if e, end := p.EpochEnd(m.Epoch); e != m.Epoch || end != 60 || p.EpochAt(59) != m.Epoch || p.EpochAt(60) != -1 {
		t.Errorf("epoch %d ends at %d; at 59: %d", e, end, p.EpochAt(59))
	}
	if ts, found, err := p.OffsetForTimestamp(1002); err != nil || !found || ts.Offset != 2 {
		t.Errorf("timestamp 1002: %+v, %v, %v", ts, found, err)
	}
	if ts, found, err := p.MaxTimestamp(); err != nil || !found || ts.Timestamp != 1002 || ts.Offset != 2 {
		t.Errorf("largest timestamp: %+v, %v, %v", ts, found, err)
	}
	if leader, epoch := p.Leader(); leader != "1" || epoch != m.Epoch {
		t.Errorf("leader %q, epoch %d", leader, epoch)
	}
	if p.Size() == 0 || p.Available(0) == 0 {
		t.Errorf("size %d, available %d", p.Size(), p.Available(0))
	}
}

func TestAppendTime(t *testing.T) {
	dir, c := t.TempDir(), &clock{t: time.UnixMilli(5_000_000)}
	r := mustRig(t, rigOptions{dir: dir, now: c.now})
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	p.Reconfigure(Config{LogAppendTime: true})
	b := build(t, 1, 0, 2, "x")
	again := bytes.Clone(b)
	if a := mustAppend(t, p, b); a.AppendTime != 5_000_000 {
		t.Fatalf("append time %d", a.AppendTime)
	}
	got, err := readAll(p, 0) // checks the CRC
	if err != nil || len(got) != 1 {
		t.Fatalf("%d batches, %v", len(got), err)
	}
	h, _ := batch.ParseHeader(got[0])
	if !h.LogAppendTime() || h.MaxTimestamp != 5_000_000 {
		t.Fatalf("header %+v", h)
	}
	c.advance(time.Minute)
	p.Reconfigure(Config{})
	mustClose(t, r)
	r = mustRig(t, rigOptions{dir: dir, now: c.now})
	defer mustClose(t, r)
	if a := mustAppend(t, openLeader(t, r, voterSpec("orders", 1, 0)), again); a.Base != 0 || a.AppendTime != 5_000_000 {
		t.Fatalf("repeated after a restart: %+v", a)
	}
}

// killed copies what kill -9 would leave of a data directory.
func killed(t *testing.T, dir string) string {
	t.Helper()
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

func TestRestartKeepsProducerState(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash bool
	}{{"clean", false}, {"killed", true}} {
		t.Run(c.name, func(t *testing.T) {
			dir, s := t.TempDir(), voterSpec("orders", 1, 0)
			r := mustRig(t, rigOptions{dir: dir})
			p := openLeader(t, r, s)
			for i := range int32(8) {
				mustAppend(t, p, build(t, 77, i*2, 2, fmt.Sprint(i)))
				mustAppend(t, p, build(t, -1, 0, 1, "between"))
			}
			if c.crash {
				dir = killed(t, dir)
			}
			mustClose(t, r)
			r = mustRig(t, rigOptions{dir: dir})
			defer mustClose(t, r)
			p = openLeader(t, r, s)
			if m, err := p.Marks(-1); err != nil || m.HighWatermark != 24 {
				t.Fatalf("marks %+v, %v", m, err)
			}
			if a := mustAppend(t, p, build(t, 77, 14, 2, "7")); a.Base != 21 {
				t.Fatalf("repeat of the newest is at %d", a.Base)
			}
			if a := mustAppend(t, p, build(t, 77, 6, 2, "3")); a.Base != 9 {
				t.Fatalf("repeat of the fifth newest is at %d", a.Base)
			}
			if _, err := appendBatch(p, build(t, 77, 18, 1, "gap")); !errors.Is(err, ErrOutOfOrderSequence) {
				t.Fatalf("gap: %v", err)
			}
			if a := mustAppend(t, p, build(t, 77, 16, 1, "next")); a.Base != 24 {
				t.Fatalf("the next is at %d", a.Base)
			}
			if got := p.Producers(); len(got) != 1 || got[0] != (ProducerState{77, 0, 16, 1000}) {
				t.Fatalf("producers %+v", got)
			}
		})
	}
}

// TestManyPartitionsManyProducers has idempotent producers send everything twice, over several partitions at once.
func TestManyPartitionsManyProducers(t *testing.T) {
	r := mustRig(t, rigOptions{dir: t.TempDir(), mode: flush.OS})
	defer mustClose(t, r)
	const partitions, producers, batches = 4, 3, 60
	var wg sync.WaitGroup
	for n := range int32(partitions) {
		p := openLeader(t, r, voterSpec("orders", 1, n))
		for id := range int64(producers) {
			wg.Go(func() {
				var sent []*Pending
				for seq := range int32(batches) {
					for range 2 {
						pd, err := appendBatch(p, build(t, id, seq, 1, "x"))
						if err != nil {
							t.Errorf("producer %d, sequence %d: %v", id, seq, err)
							return
						}
						sent = append(sent, pd)
					}
				}
				last := Offset(-1)
				for i := 0; i < len(sent); i += 2 {
					a, errA := sent[i].Wait(context.Background())
					b, errB := sent[i+1].Wait(context.Background())
					if errA != nil || errB != nil || a.Base != b.Base || a.Base <= last {
						t.Errorf("%v, %v: first %+v, repeat %+v, before %d", errA, errB, a, b, last)
					}
					last = a.Base
				}
			})
		}
	}
	wg.Wait()
	for _, p := range r.All() {
		if got, err := readAll(p, 0); err != nil || len(got) != producers*batches {
			t.Errorf("%d batches, %v", len(got), err)
		}
	}
}

// TestTail has readers follow the log while it grows: each waits at the high watermark and misses no wake.
func TestTail(t *testing.T) {
	r := mustRig(t, rigOptions{dir: t.TempDir(), mode: flush.OS})
	defer mustClose(t, r)
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	const batches = 500
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			w := NewWaiter()
			p.Watch(w)
			defer p.Unwatch(w)
			for from := Offset(0); from < batches; {
				got, err := readAll(p, from)
				if err != nil {
					t.Error(err)
					return
				}
				if from += Offset(len(got)); from == batches {
					return
				}
				select {
				case <-w.C():
				case <-time.After(10 * time.Second):
					t.Errorf("not woken at offset %d", from)
					return
				}
			}
		})
	}
	for i := range batches {
		if i%7 == 0 { // let the readers catch up
			mustAppend(t, p, build(t, -1, 0, 1, "x"))
		} else if _, err := appendBatch(p, build(t, -1, 0, 1, "x")); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestDeleteAndRecreate(t *testing.T) {
	dir := t.TempDir()
	r := mustRig(t, rigOptions{dir: dir})
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	mustAppend(t, p, build(t, 5, 0, 1, "old"))
	other := openLeader(t, r, voterSpec("other", 9, 0))
	mustAppend(t, other, build(t, -1, 0, 1, "other"))
	if err := r.Delete(t.Context(), p.ID()); err != nil {
		t.Fatal(err)
	}
	p = openLeader(t, r, voterSpec("orders", 2, 0))
	if a := mustAppend(t, p, build(t, 5, 3, 1, "new")); a.Base != 0 {
		t.Fatalf("first offset %d", a.Base)
	}
	if got, err := readAll(other, 0); err != nil || len(got) != 1 {
		t.Fatalf("the other topic: %d batches, %v", len(got), err)
	}
	mustClose(t, r)
	r = mustRig(t, rigOptions{dir: dir})
	defer mustClose(t, r)
	openLeader(t, r, voterSpec("orders", 2, 0))
	if _, err := os.Stat(filepath.Join(dir, deletedName(ID{Topic: [16]byte{1}}))); !os.IsNotExist(err) {
		t.Fatalf("the deleted directory: %v", err)
	}
}

// TestDamagedLogIsReadOnly cuts the log short below the synced mark.
func TestDamagedLogIsReadOnly(t *testing.T) {
	dir, s := t.TempDir(), voterSpec("orders", 1, 0)
	r := mustRig(t, rigOptions{dir: dir})
	p := openLeader(t, r, s)
	for i := range int32(10) {
		mustAppend(t, p, build(t, -1, 0, 1, fmt.Sprint(i)))
	}
	size := p.Size()
	mustClose(t, r)
	dir = killed(t, dir)
	name := path.Join(dir, "orders-0", fmt.Sprintf("%020d.log", 0))
	if err := os.Truncate(name, size/2); err != nil {
		t.Fatal(err)
	}
	r = mustRig(t, rigOptions{dir: dir})
	defer mustClose(t, r)
	p, err := r.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Damaged() {
		t.Fatal("not found to be damaged")
	}
	if _, err := appendBatch(p, build(t, -1, 0, 1, "x")); !errors.Is(err, ErrDamaged) {
		t.Fatalf("append: %v", err)
	}
	got, err := readAll(p, 0)
	if err != nil || len(got) == 0 || len(got) >= 10 {
		t.Fatalf("%d batches, %v", len(got), err)
	}
	mustAppend(t, openLeader(t, r, voterSpec("orders", 1, 1)), build(t, -1, 0, 1, "the rest works"))
}
