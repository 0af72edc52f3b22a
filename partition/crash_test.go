package partition

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// lifecycle is a topic that is made, written to, deleted and made again, as far as it came before power was lost.
type lifecycle struct {
	old, recreated Spec
	current        Spec // what the cluster's metadata says
	acked          bool // current has a record
}

func newLifecycle() *lifecycle {
	l := &lifecycle{old: voterSpec("orders", 1, 0), recreated: voterSpec("orders", 2, 0)}
	l.current = l.old
	return l
}

func (l *lifecycle) run(tb testing.TB, fs *crashfs.FS, votes string) error {
	r, err := openRig(rigOptions{fs: fs, dir: "data", votes: votes, files: 1})
	if err != nil {
		return err
	}
	defer r.close() // fails where power was lost
	for _, s := range []Spec{l.old, l.recreated} {
		if l.current.ID != s.ID {
			id := l.current.ID
			l.current, l.acked = s, false
			if err := r.Delete(context.Background(), id); err != nil {
				return err
			}
		}
		p, err := r.Open(s)
		if err != nil {
			return err
		}
		if err := appendUntil(fs, p, build(tb, 1, 0, 1, s.label())); err != nil {
			return err
		}
		l.acked = true
	}
	return nil
}

func (s Spec) label() string { return fmt.Sprintf("topic %d", s.ID.Topic[0]) }

// appendUntil appends once p leads. It gives up when power is lost.
func appendUntil(fs *crashfs.FS, p *Partition, b []byte) error {
	if !waitLeads(fs, p) {
		return crashfs.ErrCrashed
	}
	pd, err := appendBatch(p, b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = pd.Wait(ctx)
	return err
}

// waitLeads is false when power is lost before p leads.
func waitLeads(fs *crashfs.FS, p *Partition) bool {
	w := NewWaiter()
	p.Watch(w)
	defer p.Unwatch(w)
	for !fs.Crashed() {
		if _, err := p.Marks(-1); err == nil {
			return true
		}
		select {
		case <-w.C():
		case <-time.After(time.Millisecond):
		}
	}
	return false
}

// check opens what the metadata says, on what a power loss left.
func (l *lifecycle) check(t *testing.T, fs *crashfs.FS, votes string) {
	r := mustRig(t, rigOptions{fs: fs, dir: "data", votes: votes, files: 1})
	defer mustClose(t, r)
	p := openLeader(t, r, l.current)
	if err := r.DeleteOrphans(t.Context(), func(id ID) bool { return id == l.current.ID }); err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir("data")
	if err != nil || len(entries) != 1 || entries[0].Name() != "orders-0" {
		t.Fatalf("the data directory holds %v, %v", entries, err)
	}
	got, err := readAll(p, 0)
	if err != nil || len(got) > 1 || l.acked && len(got) == 0 {
		t.Fatalf("%d batches, acknowledged is %v, %v", len(got), l.acked, err)
	}
	for _, b := range got {
		if !bytes.Contains(b, []byte(l.current.label())) {
			t.Fatal("a record of the topic that was deleted")
		}
	}
	if a := mustAppend(t, p, build(t, 1, 0, 1, l.current.label())); a.Base != 0 {
		t.Fatalf("the repeat is at %d", a.Base)
	}
}

// TestCrashAtEveryOperation loses power at every operation of making, deleting and making a topic again.
func TestCrashAtEveryOperation(t *testing.T) {
	for n, crashed := 0, true; crashed; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			fs, votes, l := crashfs.New(), t.TempDir(), newLifecycle()
			fs.CrashAt(n)
			if err := l.run(t, fs, votes); err != nil && !fs.Crashed() {
				t.Fatal(err)
			}
			crashed = fs.Crashed()
			for seed := range uint64(4) {
				l.check(t, fs.Recover(seed), killed(t, votes))
			}
		})
	}
}

// TestCrashInDeletion tries many outcomes of each power loss in a deletion: the name can always be used anew, by a directory
// that shares nothing with the old one, and nothing is left.
func TestCrashInDeletion(t *testing.T) {
	for n, crashed := 0, true; crashed; n++ {
		fs := crashfs.New()
		before := &fakeStorage{fs: fs, votes: map[ID]bool{}}
		m, err := newManager(Options{FS: fs, Dir: "data"}.withDefaults(), before)
		if err != nil {
			t.Fatal(err)
		}
		p := mustOpen(t, m, spec("orders", 1, 0))
		fs.CrashAt(fs.Ops() + n)
		if err := m.Delete(t.Context(), p.id); err != nil && !fs.Crashed() {
			t.Fatal(err)
		}
		crashed = fs.Crashed()
		for seed := range uint64(50) {
			found := fs.Recover(seed)
			st := &fakeStorage{fs: found, votes: map[ID]bool{p.id: before.voted(p.id)}}
			m, err := newManager(Options{FS: found, Dir: "data"}.withDefaults(), st)
			if err != nil {
				t.Fatal(err)
			}
			mustOpen(t, m, spec("orders", 2, 0))
			entries, err := found.ReadDir("data")
			if err != nil || len(entries) != 1 || st.voted(p.id) {
				t.Fatalf("operation %d, outcome %d: %v are left, votes %v, %v", n, seed, entries, st.votes, err)
			}
		}
	}
}

// ledger is what producers sent to one partition and what they were told.
type ledger struct {
	tb     testing.TB
	sent   map[int64][][]byte // by producer: the batches by sequence, one record each
	acked  map[int64]map[int32]Offset
	rng    *rand.Rand
	under  []underway
	config Config
}

type underway struct {
	producer int64
	seq      int32
	pending  *Pending
}

func newLedger(tb testing.TB, seed uint64) *ledger {
	return &ledger{
		tb: tb, sent: map[int64][][]byte{}, acked: map[int64]map[int32]Offset{}, rng: rand.New(rand.NewPCG(seed, 2)),
		config: Config{SegmentBytes: 2 << 10},
	}
}

func (l *ledger) open(r *rig) (*Partition, error) {
	s := voterSpec("orders", 1, 0)
	s.Config = l.config
	return r.Open(s)
}

// run sends until power is lost, or n batches.
func (l *ledger) run(p *Partition, n int) error {
	for range n {
		id := l.rng.Int64N(3)
		seq := int32(len(l.sent[id]))
		b := build(l.tb, id, seq, 1, fmt.Sprintf("%d/%d", id, seq))
		pd, err := appendBatch(p, bytes.Clone(b))
		if err != nil {
			return err
		}
		l.sent[id] = append(l.sent[id], b)
		l.under = append(l.under, underway{id, seq, pd})
		if len(l.under) > l.rng.IntN(8) {
			if err := l.settle(); err != nil {
				return err
			}
		}
	}
	return l.settle()
}

// settle waits for what is under way. Failures after a success are not told apart: the first one ends the run.
func (l *ledger) settle() (failed error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, u := range l.under {
		a, err := u.pending.Wait(ctx)
		if err != nil {
			failed = err
			continue
		}
		if l.acked[u.producer] == nil {
			l.acked[u.producer] = map[int32]Offset{}
		}
		l.acked[u.producer][u.seq] = a.Base
	}
	l.under = nil
	return failed
}

// check reads everything: what was acknowledged is at its offset, and each producer's batches are there from 0 on, in order and
// once. What is missing is sent again, together with the newest that is there.
func (l *ledger) check(p *Partition) {
	l.tb.Helper()
	all, err := readAll(p, 0)
	if err != nil {
		l.tb.Fatal(err)
	}
	at := map[int64][]Offset{}
	for _, b := range all {
		h, _ := batch.ParseHeader(b)
		offsets := at[h.ProducerID]
		if int(h.BaseSequence) != len(offsets) {
			l.tb.Fatalf("producer %d: sequence %d at %d, after %d others", h.ProducerID, h.BaseSequence, h.BaseOffset, len(offsets))
		}
		want := l.sent[h.ProducerID][h.BaseSequence]
		if !bytes.Equal(b[batch.HeaderSize:], want[batch.HeaderSize:]) {
			l.tb.Fatalf("producer %d, sequence %d: other bytes", h.ProducerID, h.BaseSequence)
		}
		at[h.ProducerID] = append(offsets, h.BaseOffset)
	}
	for id, acked := range l.acked {
		for seq, base := range acked {
			if int(seq) >= len(at[id]) || at[id][seq] != base {
				l.tb.Fatalf("producer %d, sequence %d was acknowledged at %d, and is not there: %v", id, seq, base, at[id])
			}
		}
	}
	for id, sent := range l.sent {
		for seq := max(0, len(at[id])-5); seq < len(sent); seq++ {
			a := mustAppend(l.tb, p, bytes.Clone(sent[seq]))
			if seq < len(at[id]) && a.Base != at[id][seq] {
				l.tb.Fatalf("producer %d, sequence %d is at %d, its repeat at %d", id, seq, at[id][seq], a.Base)
			}
			if l.acked[id] == nil {
				l.acked[id] = map[int32]Offset{}
			}
			l.acked[id][int32(seq)] = a.Base
		}
	}
}

// TestAcknowledgedSurvivesCrashes loses power at random operations, three times in a row each.
func TestAcknowledgedSurvivesCrashes(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			fs, votes, l := crashfs.New(), t.TempDir(), newLedger(t, seed)
			for range 3 {
				fs.CrashAt(fs.Ops() + 10 + l.rng.IntN(150))
				if r, err := openRig(rigOptions{fs: fs, dir: "data", votes: votes, files: 1}); err == nil {
					if p, err := l.open(r); err == nil && waitLeads(fs, p) {
						_ = l.run(p, 60)
					}
					_ = l.settle()
					_ = r.close()
				}
				fs = fs.Recover(l.rng.Uint64N(4))
				r := mustRig(t, rigOptions{fs: fs, dir: "data", votes: votes, files: 1})
				p, err := l.open(r)
				if err != nil {
					t.Fatal(err)
				}
				awaitLeader(t, p)
				l.check(p)
				mustClose(t, r)
			}
		})
	}
}
