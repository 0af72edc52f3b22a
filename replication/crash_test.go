package replication

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// numbers are the numbers of the batches that newBatch made, as content has them.
func numbers(t testing.TB, content []byte) []uint64 {
	t.Helper()
	var out []uint64
	for len(content) > 0 {
		b, rest, err := batch.Split(content)
		must(t, err)
		must(t, batch.Records(b, 0, func(r *batch.Record) bool {
			out = append(out, binary.BigEndian.Uint64(r.Value))
			return false
		}))
		content = rest
	}
	return out
}

// outcomes says what the power loss of each operation leaves: nothing that was not durable, or something random.
func outcomes(t *testing.T) func() uint64 {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	return func() uint64 {
		if rng.IntN(3) == 0 {
			return 0
		}
		return rng.Uint64()
	}
}

// on makes a server's log live in a file system in memory.
func (s *server) on(f *crashfs.FS) *server {
	s.fs, s.dir = f, "/log"
	return s
}

func newCrashFS(t testing.TB) *crashfs.FS {
	f := crashfs.New()
	must(t, f.MkdirAll("/log", 0o755))
	must(t, f.SyncDir("/"))
	return f
}

// produceUntilCrash produces one batch after the other, with checkpoints in between, and notes which were committed.
func (s *server) produceUntilCrash(f *crashfs.FS, n int) (acked []uint64) {
	for i := range n {
		before := s.machine.at()
		failed := s.propose(newBatch(s.t, uint64(i), 1, 700))
		eventually(s.t, "an outcome", func() bool { return len(failed) > 0 || s.machine.at() > before })
		if s.machine.at() > before {
			acked = append(acked, uint64(i))
		} else if f.Crashed() {
			return acked
		}
		if i%4 == 3 {
			_ = s.group.Checkpoint() // the crash may be in it
		}
	}
	return acked
}

// A lone voter loses power at every operation: whatever it has told to be committed is there afterwards, in order.
func TestLoneVoterCrashesAtEveryOperation(t *testing.T) {
	outcome := outcomes(t)
	for n := 0; crashLone(t, n, outcome()); n++ {
	}
}

// crashLone crashes at operation n, if it comes to that.
func crashLone(t *testing.T, n int, seed uint64) (crashed bool) {
	f := newCrashFS(t)
	f.CrashAt(f.Ops() + n)
	s := newServer(t, "1-a", "1-a").on(f)
	s.log.SegmentBytes = 4000
	var acked []uint64
	if s.open() == nil {
		eventually(t, "lead or crash", func() bool { return s.machine.leading() || f.Crashed() })
		acked = s.produceUntilCrash(f, 12)
		_ = s.close() // the crash may be in it
	}
	crashed = f.Crashed()
	s.on(f.Recover(seed))
	if err := s.open(); err != nil {
		t.Fatalf("crash at operation %d, seed %d: %v", n, seed, err)
	}
	s.awaitLead()
	got := numbers(t, s.content())
	if len(got) < len(acked) || len(got) > len(acked)+1 || !slices.Equal(got[:len(acked)], acked) {
		t.Fatalf("crash at operation %d, seed %d: acknowledged %v, found %v", n, seed, acked, got)
	}
	if int(s.machine.at()) != len(got) {
		t.Fatalf("crash at operation %d, seed %d: applied %d of %d", n, seed, s.machine.at(), len(got))
	}
	s.produce(newBatch(t, 99, 1, 10))
	must(t, s.close())
	return crashed
}

// One of three replicas loses power at an operation picked at random, leader or follower; it comes back with what its disk
// has kept, and all agree again on everything that was committed.
func TestReplicaCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	c := newCluster(t)
	disks := map[*server]*crashfs.FS{}
	for _, s := range c.servers {
		disks[s] = newCrashFS(t)
		s.on(disks[s]).log.SegmentBytes = 4000
	}
	c.start()
	var acked []uint64
	produce := func() {
		c.produce(1)
		acked = append(acked, c.number)
	}
	for range 6 {
		victim := c.servers[rng.IntN(3)]
		disks[victim].CrashAt(disks[victim].Ops() + rng.IntN(25))
		for !disks[victim].Crashed() {
			produce()
			_ = victim.group.Checkpoint() // the crash may be in it
		}
		_ = victim.close()
		must(t, c.others(victim)[rng.IntN(2)].group.callElection(c))
		for range 3 {
			produce()
		}
		disks[victim] = disks[victim].Recover(rng.Uint64())
		must(t, victim.on(disks[victim]).open())
		produce()
		c.agree(c.leader().machine.at())
	}
	got := numbers(t, c.leader().content())
	for _, n := range acked {
		if !slices.Contains(got, n) {
			t.Fatalf("batch %d was committed and is gone", n)
		}
	}
}

// callElection stands for election unless there is a leader.
func (g *Group) callElection(c *cluster) error {
	for _, s := range c.servers {
		if s.node != nil && s.machine.leading() {
			return nil
		}
	}
	return g.kick()
}

// oldLog is a file system with a log of its own and a file beside it.
func oldLog(t *testing.T) *crashfs.FS {
	f := newCrashFS(t)
	must(t, writeDurably(f, "/log/partition.meta", []byte("meta")))
	must(t, f.SyncDir("/log"))
	s := newServer(t, "1-a", "1-a").on(f)
	s.log.SegmentBytes = 1500
	must(t, s.open())
	s.awaitLead()
	for i := range 10 {
		s.produce(newBatch(t, uint64(1000+i), 1, 300))
	}
	must(t, s.close())
	return f
}

// An install loses power at every operation: the old log or the new one is there afterwards, and the install can go on.
func TestInstallCrashesAtEveryOperation(t *testing.T) {
	from := &peer{s: loneSource(t)}
	old := oldLog(t)
	oldContent, newContent := (&server{t: t}).on(old).content(), from.s.content()
	outcome := outcomes(t)
	for n := 0; ; n++ {
		f, seed := old.Recover(0), outcome()
		f.CrashAt(f.Ops() + n)
		o := InstallOptions{FS: f, Dir: "/log", Source: from, Keep: []string{"partition.meta"}}
		err := Install(t.Context(), o)
		if !f.Crashed() {
			must(t, err)
			return
		}
		o.FS = f.Recover(seed)
		must(t, FinishInstall(o.FS, o.Dir, o.Keep...))
		got := openedContent(t, o)
		if !bytes.Equal(got, oldContent) && !bytes.Equal(got, newContent) {
			t.Fatalf("crash at operation %d, seed %d: neither the old log nor the new one", n, seed)
		}
		if err := Install(t.Context(), o); err != nil || !bytes.Equal(openedContent(t, o), newContent) {
			t.Fatalf("crash at operation %d, seed %d: the install that went on gave another log, or %v", n, seed, err)
		}
		if b, err := readAll(o.FS, "/log/partition.meta"); err != nil || string(b) != "meta" {
			t.Fatalf("crash at operation %d, seed %d: kept file: %q, %v", n, seed, b, err)
		}
	}
}

// openedContent opens the log as a broker would, and returns its batches.
func openedContent(t *testing.T, o InstallOptions) []byte {
	t.Helper()
	log, err := segment.Open(o.Dir, segment.Options{FS: o.FS})
	must(t, err)
	if d := log.Recovery().Damage; len(d) > 0 {
		t.Fatal(d)
	}
	must(t, log.Close())
	names, err := o.FS.ReadDir(o.Dir)
	must(t, err)
	for _, n := range names {
		if n.IsDir() && n.Name() != installingDir {
			t.Fatalf("%s is left", n.Name())
		}
	}
	return (&server{t: t, fs: o.FS, dir: o.Dir}).content()
}
