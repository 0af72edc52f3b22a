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

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// rig is a manager over segment files and Raft groups of one voter.
type rig struct {
	*Manager
	node    *replication.Node
	flusher *flush.Flusher
}

type rigOptions struct {
	fs    vfs.FS // nil: the operating system
	dir   string
	votes string // "": dir
	mode  flush.Mode
	now   func() time.Time
}

func openRig(o rigOptions) (*rig, error) {
	if o.fs == nil {
		o.fs = vfs.OS
	}
	if o.votes == "" {
		o.votes = o.dir
	}
	node, err := replication.OpenNode(replication.NodeOptions{FS: o.fs, Dir: o.votes, Self: "1"})
	if err != nil {
		return nil, err
	}
	r := &rig{node: node, flusher: flush.New(flush.Options{FS: o.fs, Dir: o.dir, Mode: o.mode})}
	r.Manager, err = NewManager(Options{FS: o.fs, Dir: o.dir, Node: node, Flusher: r.flusher, MinFree: 1, Now: o.now})
	if err != nil {
		return nil, errors.Join(err, r.flusher.Close(context.Background()), node.Close())
	}
	return r, nil
}

func (r *rig) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(r.Manager.Close(ctx), r.flusher.Close(ctx), r.node.Close())
}

func mustRig(tb testing.TB, o rigOptions) *rig {
	tb.Helper()
	r, err := openRig(o)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func mustClose(tb testing.TB, r *rig) {
	tb.Helper()
	if err := r.close(); err != nil {
		tb.Fatal(err)
	}
}

// voterSpec is a partition with this broker as its only voter.
func voterSpec(topic string, id byte, n int32) Spec {
	s := spec(topic, id, n)
	s.Voters = []replication.ServerID{"1"}
	return s
}

// awaitLeader returns when p leads.
func awaitLeader(tb testing.TB, p *Partition) {
	tb.Helper()
	w := NewWaiter()
	p.Watch(w)
	defer p.Unwatch(w)
	timeout := time.After(10 * time.Second)
	for {
		if _, err := p.Marks(-1); err == nil {
			return
		}
		select {
		case <-w.C():
		case <-timeout:
			tb.Fatal("no leader within 10 s")
		}
	}
}

func openLeader(tb testing.TB, r *rig, s Spec) *Partition {
	tb.Helper()
	p, err := r.Open(s)
	if err != nil {
		tb.Fatal(err)
	}
	awaitLeader(tb, p)
	return p
}

// build makes a batch of n records; producer -1: not idempotent.
func build(tb testing.TB, producer int64, seq, n int32, value string) []byte {
	tb.Helper()
	bu := batch.Builder{Idempotent: producer >= 0, ProducerID: producer, BaseSequence: seq}
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{Timestamp: 1000 + int64(i), Value: fmt.Appendf(nil, "%s-%d", value, i)}
	}
	b, err := bu.Build(records)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func appendBatch(p *Partition, b []byte) (*Pending, error) {
	h, err := batch.Validate(b)
	if err != nil {
		return nil, err
	}
	return p.Append(context.Background(), b, h, AcksAll)
}

func mustAppend(tb testing.TB, p *Partition, b []byte) Appended {
	tb.Helper()
	pd, err := appendBatch(p, b)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := pd.Wait(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// readAll returns the batches from from to the high watermark.
func readAll(p *Partition, from Offset) (all [][]byte, err error) {
	for {
		c, m, err := p.Read(from, 1<<20, -1)
		if err != nil {
			return nil, err
		}
		if from >= m.HighWatermark {
			return all, nil
		}
		b := make([]byte, c.Len)
		_, err = c.ReadAt(b, 0)
		c.Close()
		if err != nil {
			return nil, err
		}
		for len(b) > 0 {
			var one []byte
			if one, b, err = batch.Split(b); err != nil {
				return nil, err
			}
			h, err := batch.Validate(one)
			if err != nil {
				return nil, err
			}
			if h.BaseOffset != from {
				return nil, fmt.Errorf("a batch at %d, expected %d", h.BaseOffset, from)
			}
			all, from = append(all, one), h.Next()
		}
	}
}

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
