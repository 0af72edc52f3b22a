package partition

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/quirelog/quire/segment/vfs"
)

// fakeStorage keeps a file "data" in each partition's directory, and votes in memory.
type fakeStorage struct {
	fs    vfs.FS
	mu    sync.Mutex
	votes map[ID]bool
	joins []ID // that are to join
	err   error
}

func (st *fakeStorage) open(p *Partition, dir string, s Spec) error {
	if st.err != nil {
		return st.err
	}
	if err := writeSynced(st.fs, path.Join(dir, "data"), s.ID.Topic[:1]); err != nil {
		return err
	}
	if err := errors.Join(st.fs.SyncDir(dir), st.fs.SyncDir(path.Dir(dir))); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.votes[s.ID] = true
	log := &fakeLog{}
	p.log, p.group = log, &fakeGroup{p: p, log: log}
	return nil
}

func (st *fakeStorage) dropVotes(id ID) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.votes, id)
	return nil
}

func (st *fakeStorage) forgetLog(id ID) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.joins = append(st.joins, id)
	return nil
}

func (st *fakeStorage) voted(id ID) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.votes[id]
}

func fakeManager(t *testing.T, dir string, st *fakeStorage) *Manager {
	t.Helper()
	m, err := newManager(Options{Dir: dir}.withDefaults(), st)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newFakeStorage() *fakeStorage { return &fakeStorage{fs: vfs.OS, votes: map[ID]bool{}} }

func spec(topic string, id byte, n int32) Spec {
	return Spec{ID: ID{Topic: [16]byte{id}, Partition: n}, Topic: topic}
}

func mustOpen(t *testing.T, m *Manager, s Spec) *Partition {
	t.Helper()
	p, err := m.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Fatalf("%s holds %q, want %q", dir, got, want)
	}
}

func TestManagerOpensAndFinds(t *testing.T) {
	dir := t.TempDir()
	m := fakeManager(t, dir, newFakeStorage())
	var wg sync.WaitGroup
	for n := range int32(20) {
		for range 2 { // the same one twice is one
			wg.Go(func() { _, _ = m.Open(spec("orders", 1, n)) })
		}
	}
	wg.Wait()
	if n := len(m.All()); n != 20 {
		t.Fatalf("%d partitions", n)
	}
	p := m.Get("orders", 7)
	if p == nil || p != m.ByID(spec("orders", 1, 7).ID) || p.Topic() != "orders" || p.ID().Partition != 7 {
		t.Fatalf("found %+v", p)
	}
	if m.Get("orders", 20) != nil || m.Get("other", 0) != nil || m.ByID(ID{}) != nil {
		t.Fatal("found what is not there")
	}
	id := p.ID()
	if n := testing.AllocsPerRun(100, func() { m.Get("orders", 7); m.ByID(id) }); n != 0 {
		t.Errorf("a lookup makes %v allocations", n)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(spec("orders", 1, 0)); !errors.Is(err, ErrClosed) || len(m.All()) != 0 {
		t.Fatalf("after Close: %v, %d open", err, len(m.All()))
	}
	again := fakeManager(t, dir, newFakeStorage())
	mustOpen(t, again, spec("orders", 1, 7))
}

func TestManagerRefuses(t *testing.T) {
	dir := t.TempDir()
	m := fakeManager(t, dir, newFakeStorage())
	for _, topic := range []string{"", ".", "..", "a/b", "../a", `a\b`, "a\x00"} {
		if _, err := m.Open(spec(topic, 1, 0)); err == nil {
			t.Errorf("topic %q opened", topic)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "strange-0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "strange-0", "00000000000000000000.log"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(spec("strange", 1, 0)); err == nil {
		t.Error("a directory with files of nobody opened")
	}
	mustOpen(t, m, spec("orders", 1, 0))
	if _, err := m.Open(spec("orders", 2, 0)); err == nil {
		t.Error("a second topic of the name opened")
	}
	if err := os.WriteFile(filepath.Join(dir, "strange-0", metaName), []byte("what"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(spec("strange", 1, 0)); !errors.Is(err, errMeta) {
		t.Errorf("malformed meta: %v", err)
	}
	wantNames(t, filepath.Join(dir, "strange-0"), "00000000000000000000.log", metaName)
}

func TestManagerDeletes(t *testing.T) {
	dir, st := t.TempDir(), newFakeStorage()
	m := fakeManager(t, dir, st)
	s := spec("orders", 1, 0)
	p := mustOpen(t, m, s)
	w := NewWaiter()
	p.Watch(w)
	if err := m.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir)
	if m.Get("orders", 0) != nil || st.voted(s.ID) {
		t.Fatal("still there")
	}
	if _, err := p.Marks(-1); !errors.Is(err, ErrClosed) {
		t.Fatalf("marks: %v", err)
	}
	<-w.C()
	if err := m.Delete(t.Context(), s.ID); err != nil {
		t.Fatalf("a second time: %v", err)
	}
	mustOpen(t, m, spec("orders", 2, 0))
}

func TestRecreatedTopicSharesNothing(t *testing.T) {
	dir, st := t.TempDir(), newFakeStorage()
	m := fakeManager(t, dir, st)
	old, recreated := spec("orders", 1, 0), spec("orders", 2, 0)
	mustOpen(t, m, old)
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "orders-0", "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m = fakeManager(t, dir, st)
	mustOpen(t, m, recreated)
	wantNames(t, dir, "orders-0")
	wantNames(t, filepath.Join(dir, "orders-0"), "data", metaName)
	if st.voted(old.ID) || !st.voted(recreated.ID) {
		t.Fatalf("votes %v", st.votes)
	}
}

func TestOpenFailsAndIsTriedAgain(t *testing.T) {
	dir, st := t.TempDir(), newFakeStorage()
	m := fakeManager(t, dir, st)
	st.err = errors.New("no file descriptors")
	if _, err := m.Open(spec("orders", 1, 0)); !errors.Is(err, st.err) || len(m.All()) != 0 {
		t.Fatalf("%v, %d open", err, len(m.All()))
	}
	st.err = nil
	mustOpen(t, m, spec("orders", 1, 0))
}

func TestOrphansAreDeleted(t *testing.T) {
	dir, st := t.TempDir(), newFakeStorage()
	m := fakeManager(t, dir, st)
	for n := range int32(3) {
		mustOpen(t, m, spec("orders", 1, n))
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"stranger", "orders-0.bak"} {
		if err := os.MkdirAll(filepath.Join(dir, other), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "votes.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	m = fakeManager(t, dir, st)
	mustOpen(t, m, spec("orders", 1, 0)) // open, though not known
	known := spec("orders", 1, 1).ID
	if err := m.DeleteOrphans(t.Context(), func(id ID) bool { return id == known }); err != nil {
		t.Fatal(err)
	}
	wantNames(t, dir, "orders-0", "orders-0.bak", "orders-1", "stranger", "votes.db")
}

// faultFS fails every operation from the n-th on that changes a directory: a process that dies there.
type faultFS struct {
	vfs.FS
	mu   sync.Mutex
	left int
}

var errFault = errors.New("injected")

func (f *faultFS) step() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return errFault
	}
	return nil
}

func (f *faultFS) Rename(a, b string) error { return f.do(func() error { return f.FS.Rename(a, b) }) }
func (f *faultFS) RemoveAll(name string) error {
	return f.do(func() error { return f.FS.RemoveAll(name) })
}
func (f *faultFS) SyncDir(dir string) error { return f.do(func() error { return f.FS.SyncDir(dir) }) }

func (f *faultFS) do(fn func() error) error {
	if err := f.step(); err != nil {
		return err
	}
	return fn()
}

func (f *faultFS) failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left < 0
}

// TestDeletionIsFinished stops a deletion at every step and starts anew.
func TestDeletionIsFinished(t *testing.T) {
	for n, failed := 0, true; failed; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir, st := t.TempDir(), newFakeStorage()
			s := spec("orders", 1, 0)
			mustOpen(t, fakeManager(t, dir, st), s)
			fsys := &faultFS{FS: vfs.OS, left: 1 << 30}
			m, err := newManager(Options{Dir: dir, FS: fsys}.withDefaults(), st)
			if err != nil {
				t.Fatal(err)
			}
			mustOpen(t, m, s)
			fsys.left = n
			err = m.Delete(context.Background(), s.ID)
			if failed = fsys.failed(); failed != (err != nil) {
				t.Fatalf("failed is %v, the error %v", failed, err)
			}
			m = fakeManager(t, dir, st)
			if err := m.DeleteOrphans(t.Context(), func(ID) bool { return false }); err != nil {
				t.Fatal(err)
			}
			wantNames(t, dir)
			if st.voted(s.ID) {
				t.Fatal("votes are left")
			}
		})
	}
}
