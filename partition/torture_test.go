package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// TestTorture has several idempotent producers a partition append through everything that can go wrong at once: rolls,
// checkpoints, deletions and recreations, a full disk, failing writes and syncs, kills, power losses and clean restarts at
// random operations. After each restart every partition is compared record by record with what was acknowledged.
//
// QUIRE_TORTURE is how many minutes to go on (some rounds only without it), QUIRE_TORTURE_SEED the first round's seed. A seed
// fixes what is done to whom; how the goroutines meet is the scheduler's.
func TestTorture(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QUIRE_TORTURE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	rounds, end := 4, time.Time{}
	if m := os.Getenv("QUIRE_TORTURE"); m != "" {
		minutes, err := strconv.ParseFloat(m, 64)
		if err != nil {
			t.Fatal(err)
		}
		rounds, end = 1<<30, time.Now().Add(time.Duration(minutes*float64(time.Minute)))
	}
	n := 0
	for ; n < rounds && (end.IsZero() || time.Now().Before(end)) && !t.Failed(); n++ {
		round := seed + uint64(n)
		t.Run(fmt.Sprintf("seed%d", round), func(t *testing.T) { tortureRound(t, round) })
	}
	t.Logf("%d rounds from seed %d", n, seed)
}

// torture is one round: a few lives of a broker on one disk.
type torture struct {
	t     *testing.T
	rnd   *rand.Rand // of the goroutine that runs the round
	fs    *crashfs.FS
	votes string
	mode  flush.Mode
	files int // that its partitions keep open, in all; 0: one each
	slots []*slot
}

// slot is a topic of one partition that is now and then deleted and made again. What is acknowledged belongs to spec.
type slot struct {
	spec      Spec
	made      uint16 // incarnations so far
	producers []*tortured
}

// tortured is one idempotent producer of one partition. Its fields belong to the goroutine that runs it.
type tortured struct {
	t    *testing.T
	id   int64
	rnd  *rand.Rand
	seq  int32
	open [][]byte // sent and not acknowledged, in order of sequence
	// sent are all batches' bytes from the record count on, by first sequence; acked the offsets of those acknowledged.
	sent  map[int32][]byte
	acked map[int32]Offset
}

func tortureRound(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	to := &torture{t: t, rnd: rnd, fs: crashfs.New(), votes: t.TempDir()}
	if rnd.IntN(4) == 0 {
		to.mode = flush.OS
	}
	to.files = rnd.IntN(2)
	for n := range 3 {
		s := &slot{}
		s.next(t, n, rnd)
		to.slots = append(to.slots, s)
	}
	for range 6 {
		to.life()
		if t.Failed() {
			return
		}
	}
	to.quietLife()
}

// next makes the slot another incarnation of its topic.
func (s *slot) next(t *testing.T, n int, rnd *rand.Rand) {
	s.made++
	s.spec = voterSpec(fmt.Sprintf("topic%d", n), byte(n+1), 0)
	binary.BigEndian.PutUint16(s.spec.ID.Topic[1:], s.made)
	s.spec.Config = Config{SegmentBytes: int64(1000 + rnd.IntN(4000))}
	s.producers = nil
	for id := range int64(3) {
		s.producers = append(s.producers, &tortured{
			t: t, id: id + 10*int64(s.made), rnd: rand.New(rand.NewPCG(rnd.Uint64(), 2)),
			sent: map[int32][]byte{}, acked: map[int32]Offset{},
		})
	}
}

// life opens everything, checks it, works on it until something ends the process or the work is done, and closes it.
func (to *torture) life() {
	l := newLife(to.fs)
	to.fs.CrashAt(-1)
	switch kind := to.rnd.IntN(4); {
	case kind == 0: // ends cleanly
	case kind == 1 || to.mode == flush.OS:
		l.killAt = int64(to.rnd.IntN(300))
	default:
		to.fs.CrashAt(to.fs.Ops() + to.rnd.IntN(300))
	}
	if to.mode == flush.Fsync && to.rnd.IntN(2) == 0 {
		l.fault, l.faultAt = 1+to.rnd.IntN(3), int64(to.rnd.IntN(200))
	}
	to.fs.SetHook(l.hook)
	to.work(l, 30)
	to.fs.SetHook(nil)
	to.t.Logf("a life of %d operations: killed %v, power lost %v, fault %d at %d", l.ops, l.killed, to.fs.Crashed(), l.fault, l.faultAt)
	if to.fs.Crashed() {
		to.fs = to.fs.Recover(to.rnd.Uint64())
	}
}

// quietLife is one without faults, in which everything that is under way must come through.
func (to *torture) quietLife() {
	to.fs.CrashAt(-1)
	to.work(newLife(to.fs), 3)
	for _, s := range to.slots {
		for _, pr := range s.producers {
			if !to.t.Failed() && len(pr.open) > 0 {
				to.t.Errorf("%s: producer %d has %d batches open at the end", s.spec.Topic, pr.id, len(pr.open))
			}
		}
	}
}

func (to *torture) work(l *life, batches int) {
	r, err := openRig(rigOptions{fs: to.fs, dir: "data", votes: to.votes, mode: to.mode, files: to.files, failed: l.end})
	if err != nil {
		if !l.over() {
			to.t.Errorf("open: %v", err)
		}
		return
	}
	var wg sync.WaitGroup
	for n, s := range to.slots {
		rnd := rand.New(rand.NewPCG(to.rnd.Uint64(), 3))
		wg.Go(func() { to.workSlot(l, r, s, n, batches, rnd) })
	}
	wg.Wait()
	if err := r.close(); err != nil && !l.over() && !l.failing() {
		to.t.Errorf("close: %v", err)
	}
}

func (to *torture) workSlot(l *life, r *rig, s *slot, n, batches int, rnd *rand.Rand) {
	for phase := 0; phase < 2; phase++ {
		p, err := r.Open(s.spec)
		if err != nil {
			if !l.over() && !l.failing() {
				to.t.Errorf("open %s: %v", s.spec.Topic, err)
			}
			return
		}
		if !l.leads(to.t, p) {
			return
		}
		if err := s.check(p); err != nil && !l.over() {
			to.t.Errorf("%s, incarnation %d, phase %d: %v", s.spec.Topic, s.made, phase, err)
			return
		}
		var wg sync.WaitGroup
		for _, pr := range s.producers {
			wg.Go(func() { pr.run(l, p, batches) })
		}
		for range rnd.IntN(3) {
			if g, ok := p.group.(*replication.Group); ok {
				_ = g.Checkpoint() // what it must do is seen after a restart
			}
		}
		if batches < 10 || rnd.IntN(3) > 0 {
			wg.Wait()
			return
		}
		id := s.spec.ID // from here on, the cluster's metadata has the next incarnation
		err = r.Delete(context.Background(), id)
		wg.Wait()
		s.next(to.t, n, rnd)
		if err != nil && !l.over() && !l.failing() {
			to.t.Errorf("delete %s: %v", s.spec.Topic, err)
		}
	}
}

// check compares what can be read with what was sent and acknowledged.
func (s *slot) check(p *Partition) error {
	all, err := readAll(p, 0)
	if err != nil {
		return err
	}
	next := map[int64]int32{}
	at := Offset(0)
	found := map[int64]map[int32]Offset{}
	for _, b := range all {
		id, seq := int64(binary.BigEndian.Uint64(b[43:])), int32(binary.BigEndian.Uint32(b[53:]))
		pr := s.producer(id)
		switch {
		case pr == nil:
			return fmt.Errorf("offset %d: batch of producer %d, unknown here", at, id)
		case seq != next[id]:
			return fmt.Errorf("offset %d: producer %d wrote sequence %d after %d", at, id, seq, next[id]-1)
		case !bytes.Equal(pr.sent[seq], b[61:]):
			return fmt.Errorf("offset %d: producer %d did not send this as %d", at, id, seq)
		}
		n := int32(binary.BigEndian.Uint32(b[57:]))
		if found[id] == nil {
			found[id] = map[int32]Offset{}
		}
		found[id][seq], next[id] = at, seq+n
		at += Offset(n)
	}
	for _, pr := range s.producers {
		for seq, want := range pr.acked {
			if got, ok := found[pr.id][seq]; !ok || got != want {
				return fmt.Errorf("producer %d, sequence %d was acknowledged at %d, is at %d (there: %v); log ends at %d",
					pr.id, seq, want, got, ok, at)
			}
		}
	}
	return nil
}

func (s *slot) producer(id int64) *tortured {
	for _, pr := range s.producers {
		if pr.id == id {
			return pr
		}
	}
	return nil
}

// run sends up to batches new batches and everything that is open from before, up to five at once, until the process or the
// partition ends.
func (pr *tortured) run(l *life, p *Partition, batches int) {
	deadline := time.Now().Add(20 * time.Second)
	for (batches > 0 || len(pr.open) > 0) && !l.over() {
		for batches > 0 && len(pr.open) < remembered {
			pr.make()
			batches--
		}
		err := pr.send(p)
		switch {
		case err == nil:
		case errors.Is(err, ErrClosed):
			return
		case errors.Is(err, ErrOutOfOrderSequence) && !l.over():
			pr.t.Errorf("%s: producer %d cannot go on at %d: %v", p.topic, pr.id, binary.BigEndian.Uint32(pr.open[0][53:]), err)
			return
		case time.Now().After(deadline) && !l.failing():
			pr.t.Errorf("%s: producer %d made no progress for 20 s: %v", p.topic, pr.id, err)
			return
		case !l.leads(pr.t, p):
			return
		}
	}
}

func (pr *tortured) make() {
	n := 1 + int32(pr.rnd.IntN(4))
	size := 10 + pr.rnd.IntN(200)
	if pr.rnd.IntN(20) == 0 {
		size = 6000 // more than a segment
	}
	b := build(pr.t, pr.id, pr.seq, n, fmt.Sprintf("%d/%d/%s", pr.id, pr.seq, strings.Repeat("x", size)))
	pr.sent[pr.seq] = b[61:]
	pr.open = append(pr.open, b)
	pr.seq += n
}

// send sends all that is open and waits for it. The error is the first batch's that was not acknowledged.
func (pr *tortured) send(p *Partition) (failed error) {
	var pending []*Pending
	for _, b := range pr.open {
		pd, err := appendBatch(p, bytes.Clone(b))
		if err != nil {
			failed = err
			break
		}
		pending = append(pending, pd)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i, pd := range pending {
		a, err := pd.Wait(ctx)
		if err != nil {
			if ctx.Err() != nil {
				pr.t.Errorf("%s: producer %d got no answer for 30 s", p.topic, pr.id)
			}
			pr.open = pr.open[i:]
			return err
		}
		seq := int32(binary.BigEndian.Uint32(pr.open[i][53:]))
		if before, ok := pr.acked[seq]; ok && before != a.Base {
			pr.t.Errorf("producer %d: sequence %d acknowledged at %d and %d", pr.id, seq, before, a.Base)
		}
		pr.acked[seq] = a.Base
	}
	pr.open = pr.open[len(pending):]
	return failed
}
