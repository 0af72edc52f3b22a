package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// atMost is a bound on how long something may take. It holds as it is on a machine that does nothing else (QUIRE_STRICT=1, `make strict`);
// elsewhere a test only sees that nothing is waited for that need not be.
func atMost(d time.Duration) time.Duration {
	if os.Getenv("QUIRE_STRICT") == "" {
		return 20 * d
	}
	return d
}

// Point 9 of the design: a lone voter is called to stand for election, and leads in milliseconds, where Raft alone would wait for a
// heartbeat of 10 s at least.
func TestLoneVoterLeadsAtOnce(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	best := map[string]time.Duration{}
	for i := range 6 { // the quickest of three, since the machine may be busy
		what := []string{"new", "restarted"}[min(i, 1)]
		begin := time.Now()
		must(t, s.open())
		s.awaitLead()
		if took := time.Since(begin); best[what] == 0 || took < best[what] {
			best[what] = took
		}
		s.produce(newBatch(t, 1, 3, 10))
		must(t, s.close())
	}
	for what, took := range best {
		t.Logf("%s: leads after %v", what, took)
		if limit := atMost(100 * time.Millisecond); took > limit {
			t.Errorf("%s: leads after %v, want %v at most", what, took, limit)
		}
	}
}

// Many groups elect themselves at once. That they share commits of the votes file is TestWaitingVotesShareACommit's.
func TestManyGroupsElectThemselves(t *testing.T) {
	const groups = 200
	s := newServer(t, "1-a", "1-a")
	for _, what := range []string{"new", "restarted"} {
		node, err := OpenNode(NodeOptions{Dir: s.votes, Self: s.id})
		must(t, err)
		begin := time.Now()
		var wg sync.WaitGroup
		all, machines := make([]*Group, groups), make([]*machine, groups)
		for i := range groups {
			wg.Go(func() {
				var err error
				id := GroupID{Partition: int32(i)}
				if all[i], machines[i], err = s.openGroup(node, id, filepath.Join(s.dir, fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range groups {
			eventually(t, fmt.Sprintf("lead of group %d", i), machines[i].leading)
		}
		took := time.Since(begin)
		t.Logf("%s: %d groups lead after %v, %d commits", what, groups, took, node.votes.commits)
		if limit := atMost(2 * time.Second); took > limit {
			t.Errorf("%s: %v, want %v at most", what, took, limit)
		}
		for _, g := range all {
			wg.Go(func() {
				if err := g.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		must(t, node.Close())
	}
}

func TestCommittedIsToldOnceInOrderWithTheSameSlice(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	var proposed [][]byte
	for i := range 500 {
		b := newBatch(t, uint64(i), 1+i%3, 10)
		proposed = append(proposed, b)
		s.produce(b)
	}
	s.machine.mu.Lock()
	defer s.machine.mu.Unlock()
	if len(s.machine.mine) != len(proposed) {
		t.Fatalf("%d batches with data, want %d", len(s.machine.mine), len(proposed))
	}
	for i, b := range proposed {
		if &b[0] != &s.machine.mine[i][0] {
			t.Fatalf("batch %d: another slice than was proposed", i)
		}
	}
}

// Point 6: with one voter the store is the commit, on the goroutine that stored.
func TestLoneVoterCommitsWhereItStores(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	stack := make(chan string, 1)
	s.machine.mu.Lock()
	s.machine.ending = func() { stack <- string(debug.Stack()) }
	s.machine.mu.Unlock()
	s.produce(newBatch(t, 1, 1, 10))
	if at := <-stack; !strings.Contains(at, "StoreLogs") {
		t.Fatalf("committed elsewhere:\n%s", at)
	}
}

// killed copies a running server's files to a server of its own: what kill -9 leaves.
func killed(t *testing.T, s *server) *server {
	t.Helper()
	k := newServer(t, s.id, s.voters...)
	must(t, os.CopyFS(k.dir, os.DirFS(s.dir)))
	must(t, os.CopyFS(k.votes, os.DirFS(s.votes)))
	return k
}

func TestLoneVoterAfterKill(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	for i := range 20 {
		s.produce(newBatch(t, uint64(i), 2, 10))
		if i == 10 {
			must(t, s.group.Checkpoint())
		}
	}
	k := killed(t, s).start()
	if got := k.machine.at(); got != 40 {
		t.Fatalf("applied up to offset %d when OpenGroup returned, want 40", got)
	}
	if k.machine.restore != 22 || k.machine.count() != 9 {
		t.Fatalf("restored up to %d, then %d batches; want 22 and 9", k.machine.restore, k.machine.count())
	}
	k.awaitLead().produce(newBatch(t, 99, 1, 10))
	if k.machine.epoch <= s.machine.epoch {
		t.Fatalf("leads in term %d after term %d", k.machine.epoch, s.machine.epoch)
	}
	if !bytes.HasPrefix(k.content(), s.content()) {
		t.Fatal("the log's bytes have changed")
	}
	eventually(t, "raft applies", func() bool { return k.group.raft.AppliedIndex() == uint64(k.group.log.LastIndex()) })
	if k.machine.count() != 10 {
		t.Fatalf("%d batches, want 10: Raft applied some again", k.machine.count())
	}
}

func TestProposeIsRefused(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	group := s.group
	s.stop()
	s.group = group
	if err := <-s.propose(newBatch(t, 1, 1, 1)); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}
	if err := group.Checkpoint(); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v, want ErrClosed", err)
	}

	other := newServer(t, "2-a", "1-a").start() // it has no vote, so never leads
	if err := <-other.propose(newBatch(t, 1, 1, 1)); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("got %v, want ErrNotLeader", err)
	}
}

// failingFS fails writes of record batches while full is set.
type failingFS struct {
	vfs.FS
	full atomic.Bool
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

func (f *failingFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return failingFile{file, f}, nil
}

func (f failingFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	if f.fs.full.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteVec(bufs, off)
}

// A full disk fails the proposal with the reason, and the lone voter leads again by itself when there is room.
func TestLoneVoterAfterFailedStore(t *testing.T) {
	disk := &failingFS{FS: vfs.OS}
	s := newServer(t, "1-a", "1-a")
	s.fs = disk
	s.start().awaitLead().produce(newBatch(t, 1, 1, 10))
	disk.full.Store(true)
	failed := s.propose(newBatch(t, 2, 1, 10))
	if err := <-failed; !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("got %v, want ENOSPC and no doubt", err)
	}
	eventually(t, "end of the leadership", func() bool { return !s.machine.leading() })
	disk.full.Store(false)
	s.awaitLead().produce(newBatch(t, 3, 1, 10))
	if got := s.machine.at(); got != 2 {
		t.Fatalf("end %d, want 2: the failed batch is in the log", got)
	}
	if len(failed) > 0 {
		t.Fatal("failure told twice")
	}
}

// Point 13: the votes know a log that is gone, or the log has terms that the votes do not.
func TestLogAndVotesMustBelongTogether(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	must(t, s.open())
	s.awaitLead().produce(newBatch(t, 1, 1, 10))
	term := s.machine.epoch
	must(t, s.close())

	noLog := killed(t, s)
	noLog.dir = t.TempDir()
	if err := noLog.open(); !errors.Is(err, ErrStateLost) {
		t.Fatalf("log lost: got %v, want ErrStateLost", err)
	}

	noVotes := killed(t, s)
	noVotes.votes = t.TempDir()
	noVotes.start().awaitLead()
	if noVotes.machine.epoch <= term {
		t.Fatalf("votes of a lone voter lost: leads in term %d after term %d", noVotes.machine.epoch, term)
	}
	noVotes.ok()
}

func (s *server) ok() { s.machine.ok() }

func TestDamagedLogIsFenced(t *testing.T) {
	s := newServer(t, "1-a", "1-a").start().awaitLead()
	s.produce(newBatch(t, 1, 1, 100), newBatch(t, 2, 1, 100))
	must(t, s.group.Checkpoint())
	k := killed(t, s)
	name := filepath.Join(k.dir, fmt.Sprintf("%020d.log", 0))
	must(t, os.Truncate(name, 100))
	if err := k.open(); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v, want ErrDamaged", err)
	}
}

// A bootstrap that a crash cut short goes on; DropVotes makes room for a group that is made again.
func TestBootstrap(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	must(t, s.open())
	s.awaitLead()
	if v := s.group.Voters(); len(v) != 1 || v[0] != "1-a" {
		t.Fatalf("voters %v", v)
	}
	if id, term := s.group.Leader(); id != "1-a" || term != s.machine.epoch {
		t.Fatalf("leader %q in term %d", id, term)
	}
	must(t, s.close())

	half := newServer(t, "1-a", "1-a") // the first entry is written, the votes are not
	log, err := segment.Open(half.dir, segment.Options{})
	must(t, err)
	g := &Group{log: log, options: GroupOptions{Voters: half.voters}}
	must(t, g.bootstrap())
	must(t, log.Close())
	half.start().awaitLead().produce(newBatch(t, 1, 1, 1))
	half.stop()

	node, err := OpenNode(NodeOptions{Dir: half.votes, Self: "1-a"})
	must(t, err)
	must(t, node.DropVotes(testGroup))
	must(t, node.Close())
	half.dir = t.TempDir()
	half.start().awaitLead()
}

// Checkpoints come by themselves: every 4,096 batches or 8 MiB.
func TestCheckpointsComeByThemselves(t *testing.T) {
	for _, c := range []struct {
		name       string
		batches, n int
	}{{"entries", checkpointEntries, 10}, {"bytes", 9, 1 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, "1-a", "1-a").start().awaitLead()
			b := newBatch(t, 1, 1, c.n)
			for from := 0; from < c.batches; from += 200 {
				var some [][]byte
				for range min(200, c.batches-from) {
					some = append(some, bytes.Clone(b))
				}
				s.produce(some...)
			}
			eventually(t, "a checkpoint", func() bool { _, ok := s.group.log.Checkpoint(); return ok })
			cp, _ := s.group.log.Checkpoint()
			if cp.Index == 0 || cp.Index > s.group.appliedIndex() {
				t.Fatalf("checkpoint at %d, applied %d", cp.Index, s.group.appliedIndex())
			}
		})
	}
}

// TestIdleEndsLeaveFewEntries: a group that nobody writes to gets a checkpoint at few of its clean ends, and has few entries to
// read at a start. One that was written to gets it at once.
func TestIdleEndsLeaveFewEntries(t *testing.T) {
	s := newServer(t, "1-a", "1-a")
	checkpoints := map[segment.Index]bool{}
	for range 40 {
		must(t, s.open())
		c, ok := s.group.log.Checkpoint()
		if ok {
			checkpoints[c.Index] = true
		}
		if above := s.group.log.LastIndex() - c.Index; above > fewEntries {
			t.Errorf("%d entries to read at a start", above)
		}
		s.awaitLead()
		must(t, s.close())
	}
	if n := len(checkpoints); n < 1 || n > 40/(fewEntries-4) {
		t.Errorf("%d checkpoints in 40 ends", n)
	}
	must(t, s.open())
	s.awaitLead().produce(newBatch(t, 1, 3, 10))
	must(t, s.close())
	must(t, s.open())
	if c, _ := s.group.log.Checkpoint(); c.End != 3 || s.machine.at() != 3 {
		t.Errorf("checkpoint ends at offset %d, the machine at %d, want 3", c.End, s.machine.at())
	}
	must(t, s.close())
}
