package replication

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// peer is another server's log as a Source.
type peer struct {
	s       *server
	fixed   *Manifest // what it told first
	release func()
	reads   int
	limit   int // of reads, then it fails; 0: none
}

var errCut = errors.New("connection cut")

func (p *peer) Manifest(context.Context) (Manifest, error) {
	if p.fixed != nil {
		return *p.fixed, nil
	}
	m, release, err := p.s.group.Files()
	if err != nil {
		return Manifest{}, err
	}
	p.fixed, p.release = &m, release
	return *p.fixed, nil
}

func (p *peer) ReadAt(_ context.Context, name string, b []byte, off int64) (int, error) {
	if p.reads++; p.limit > 0 && p.reads > p.limit {
		return 0, errCut
	}
	f, err := p.s.fs.OpenFile(path.Join(p.s.dir, name), os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.ReadAt(b, off)
}

// pull does what a manager does for a replica that is far behind.
func (s *server) pull(from *peer) {
	s.t.Helper()
	s.stop()
	must(s.t, Install(s.t.Context(), InstallOptions{FS: s.fs, Dir: s.dir, Source: from, Chunk: 512}))
	must(s.t, s.open())
}

// forgetful is a log that answers as if entries below an index were compacted away.
type forgetful struct {
	*segment.Log
	below *atomic.Uint64
}

func (f forgetful) ReadEntry(i segment.Index, headerOnly bool) (segment.Entry, error) {
	if i < segment.Index(f.below.Load()) {
		return segment.Entry{}, segment.ErrNotFound
	}
	return f.Log.ReadEntry(i, headerOnly)
}

func (f forgetful) Term(i segment.Index) (segment.Term, error) {
	if i+1 < segment.Index(f.below.Load()) {
		return 0, segment.ErrNotFound
	}
	return f.Log.Term(i)
}

// Point 2: a follower that needs entries which are no longer there one by one is told so, pulls the files and is opened again.
func TestFarCatchUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		diverge int // batches that the follower has stored, uncommitted, before it falls behind
		missed  int
	}{{"behind", 0, 40}, {"diverged, and longer than what is installed", 30, 3}} {
		t.Run(c.name, func(t *testing.T) { farCatchUp(t, c.diverge, c.missed) })
	}
}

func farCatchUp(t *testing.T, diverge, missed int) {
	c := newCluster(t).start()
	c.produce(5)
	lead := c.leader()
	behind := lead // a leader that is cut off stores what nobody confirms
	if diverge == 0 {
		behind = c.others(lead)[0]
	}
	asked := make(chan segment.Index, 64)
	behind.stop()
	behind.far = func(_ ServerID, i segment.Index) {
		select {
		case asked <- i:
		default:
		}
	}
	must(t, behind.open())
	if diverge > 0 {
		diverged(t, c, behind, diverge)
	}
	c.net.isolate(true, behind.id)
	for _, s := range c.others(behind) {
		if c.leader() == behind {
			must(t, s.group.kick())
		}
	}
	eventually(t, "another leader", func() bool { return c.leader() != behind })
	c.produce(missed)
	for _, s := range c.others(behind) {
		s.group.store.tail.truncateAfter(0)
		must(t, s.group.Checkpoint())
		cp, _ := s.group.log.Checkpoint()
		s.below.Store(uint64(cp.Index))
	}
	behind.stop()
	must(t, behind.open())
	c.net.isolate(false, behind.id)
	if i := <-asked; i == 0 {
		t.Fatal("told to install entry 0")
	}
	from := &peer{s: c.leader()}
	_, err := from.Manifest(t.Context())
	must(t, err)
	c.produce(3) // the checkpoint moves on during the pull, which must not matter
	must(t, c.leader().group.Checkpoint())
	behind.pull(from)
	c.agree(c.produce(3))
	from.release()
	if list, err := from.s.group.snapshots.List(); err != nil || list[0].Index <= uint64(from.fixed.Checkpoint.Index) {
		t.Fatalf("%v after the release of checkpoint %d, %v", list, from.fixed.Checkpoint.Index, err)
	}
}

// diverged makes s lead, cuts it off, and has it store n batches that nobody else gets.
func diverged(t *testing.T, c *cluster, s *server, n int) {
	eventually(t, "lead of "+string(s.id), func() bool {
		if lead := c.leader(); lead != s {
			_ = lead.group.raft.LeadershipTransfer().Error()
		}
		return c.leader() == s
	})
	c.net.isolate(true, s.id)
	var failures []<-chan error
	for _, b := range c.batches(n) {
		failures = append(failures, s.propose(b))
	}
	for _, f := range failures {
		if err := <-f; err == nil {
			t.Fatal("committed without a majority")
		}
	}
}

// loneSource is a closed-off log with a few segments, to be pulled.
func loneSource(t *testing.T) *server {
	s := newServer(t, "1-a", "1-a")
	s.log.SegmentBytes = 1000
	s.start().awaitLead()
	for i := range 30 {
		s.produce(newBatch(t, uint64(i), 1, 60))
	}
	must(t, s.group.Checkpoint())
	return s
}

func TestInstallIsResumed(t *testing.T) {
	source := loneSource(t)
	from := &peer{s: source, limit: 3}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "partition.meta"), []byte("meta"), 0o600))
	o := InstallOptions{FS: vfs.OS, Dir: dir, Source: from, Keep: []string{"partition.meta"}, Chunk: 256}
	total, cuts := 0, 0
	for ; ; cuts++ {
		err := Install(t.Context(), o)
		total += min(from.reads, from.limit)
		if err == nil {
			break
		}
		if !errors.Is(err, errCut) || total > 1000 {
			t.Fatal(err)
		}
		from.reads = 0
	}
	m, err := from.Manifest(t.Context())
	must(t, err)
	need := 0
	for _, f := range m.Files {
		need += int(f.Len+255) / 256
	}
	if total > need+cuts { // the last chunk before a cut is not trusted
		t.Fatalf("%d reads with %d cuts, want %d: more was pulled twice than need be", total, cuts, need)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "partition.meta")); err != nil || string(b) != "meta" {
		t.Fatalf("kept file: %q, %v", b, err)
	}
	copied := &server{t: t, fs: vfs.OS, dir: dir}
	if !slices.Equal(copied.content(), source.content()) {
		t.Fatal("the copy has other bytes")
	}
}

// A copy that was changed on the way is thrown away, and pulled again from the start.
func TestInstallOfBadCopy(t *testing.T) {
	from := &peer{s: loneSource(t)}
	m, err := from.Manifest(t.Context())
	must(t, err)
	dir := t.TempDir()
	o := InstallOptions{FS: vfs.OS, Dir: dir, Source: from}
	must(t, o.prepare(&m))
	bad := make([]byte, m.Files[1].Len)
	must(t, os.WriteFile(filepath.Join(dir, installingDir, pulledDir, m.Files[1].Name), bad, 0o600))
	if err := Install(t.Context(), o); !errors.Is(err, ErrBadCopy) {
		t.Fatalf("got %v, want ErrBadCopy", err)
	}
	must(t, Install(t.Context(), o))

	m.Files[0].Name = "../escape"
	if err := Install(t.Context(), InstallOptions{FS: vfs.OS, Dir: dir, Source: &peer{fixed: &m}}); !errors.Is(err, ErrBadCopy) {
		t.Fatalf("got %v, want ErrBadCopy", err)
	}
}
