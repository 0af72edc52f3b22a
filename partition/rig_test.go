package partition

import (
	"context"
	"errors"
	"fmt"
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
	files int // Options.OpenFiles

	failed func(error) // told when a disk failure must end the process
}

func openRig(o rigOptions) (*rig, error) {
	if o.fs == nil {
		o.fs = vfs.OS
	}
	if o.votes == "" {
		o.votes = o.dir
	}
	node, err := replication.OpenNode(replication.NodeOptions{Dir: o.votes, Self: "1"})
	if err != nil {
		return nil, err
	}
	r := &rig{node: node, flusher: flush.New(flush.Options{FS: o.fs, Dir: o.dir, Mode: o.mode, OnFailure: o.failed})}
	r.Manager, err = NewManager(Options{FS: o.fs, Dir: o.dir, Node: node, Flusher: r.flusher, MinFree: 1, Now: o.now, OpenFiles: o.files})
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
	s.Voters, s.Only = []replication.ServerID{"1"}, true
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
