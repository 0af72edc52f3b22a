package segment

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// examine checks dir and that the examination has changed nothing.
func examine(t testing.TB, dir string) Examination {
	t.Helper()
	x, err := Examine(t.Context(), nil, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// closedLog makes a cleanly closed log of several segments with two terms, Raft's own entries and a checkpoint.
func closedLog(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := openLog(t, dir, Options{SegmentBytes: 1500})
	i := Index(0)
	entry := func(term Term, kind Kind, data []byte) {
		i++
		appendOK(t, l, Entry{Index: i, Term: term, Kind: kind, Data: data})
	}
	entry(1, 4, []byte("configuration"))
	for n := range 12 {
		if n == 6 {
			entry(3, 1, nil)
		}
		entry(1+Term(n/6)*2, KindBatch, testBatch(t, 1+n%3, 100, int64(1000+n)))
		if n == 8 {
			c := Checkpoint{Index: l.LastIndex(), Term: 3, End: l.EndOffset(), Start: 1, State: []byte("state")}
			if err := l.WriteCheckpoint(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func allFiles(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(b)
	}
	return out
}

func TestExamineCleanLog(t *testing.T) {
	dir := closedLog(t)
	before := allFiles(t, dir)
	x := examine(t, dir)
	if len(x.Faults)+len(x.Notes) > 0 || !x.Clean || x.Batches != 12 || x.Records != 24 || x.End != 24 || x.Start != 1 ||
		x.First != 1 || x.Last != 14 || x.Segments < 3 || x.Checkpoint == nil {
		t.Errorf("%+v", x)
	}
	for name, content := range allFiles(t, dir) {
		if before[name] != content {
			t.Errorf("%s has changed", name)
		}
		delete(before, name)
	}
	if len(before) > 0 {
		t.Errorf("files are gone: %d", len(before))
	}
}

// TestExamineFindsEveryFlippedBit flips a bit in every byte of every file of a cleanly closed log.
func TestExamineFindsEveryFlippedBit(t *testing.T) {
	dir := closedLog(t)
	for name, content := range allFiles(t, dir) {
		path := filepath.Join(dir, name)
		for at := range len(content) {
			b := []byte(content)
			b[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			found := false
			x := examine(t, dir)
			for _, f := range x.Faults {
				found = found || f.File == name && f.At <= int64(at)
			}
			if !found {
				t.Fatalf("%s, byte %d: %v", name, at, x.Faults)
			}
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExamineFindsCutAndMissingFiles(t *testing.T) {
	dir := closedLog(t)
	for name, content := range allFiles(t, dir) {
		path := filepath.Join(dir, name)
		if name == markerName || name == checkpointName {
			continue // as none
		}
		for _, size := range []int{-1, 0, len(content) / 2, len(content) - 1} {
			if size < 0 {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(path, []byte(content[:size]), 0o644); err != nil {
				t.Fatal(err)
			}
			if x := examine(t, dir); len(x.Faults) == 0 || !strings.Contains(x.Faults[0].String(), name) {
				t.Errorf("%s with %d bytes of %d: %v", name, size, len(content), x.Faults)
			}
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExamineUnclean: without the marker the tail is a note, damage that whole batches follow a fault.
func TestExamineUnclean(t *testing.T) {
	dir := closedLog(t)
	if err := os.Remove(filepath.Join(dir, markerName)); err != nil {
		t.Fatal(err)
	}
	if x := examine(t, dir); len(x.Faults)+len(x.Notes) > 0 || x.Clean {
		t.Errorf("%+v", x)
	}
	last, size := "", int64(0)
	for name, content := range allFiles(t, dir) {
		if strings.HasSuffix(name, logSuffix) && name > last {
			last, size = name, int64(len(content))
		}
	}
	path := filepath.Join(dir, last)
	flip(t, path, size-1, 1)
	if x := examine(t, dir); len(x.Faults) > 0 || len(x.Notes) != 1 || x.Notes[0].File != last {
		t.Errorf("torn tail: %+v", x)
	}
	flip(t, path, size-1, 1)
	flip(t, path, 100, 1)
	if x := examine(t, dir); len(x.Faults) == 0 || x.Faults[0] != (Fault{last, 0, x.Faults[0].Problem}) {
		t.Errorf("damage before whole batches: %+v", x)
	}
}

// TestExamineModel: whatever a log goes through, nothing is at fault in what it leaves.
func TestExamineModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 9))
		dir, m := t.TempDir(), &model{}
		for range 4 {
			l := openLog(t, dir, Options{SegmentBytes: int64(500 + rnd.IntN(3000))})
			for range 10 {
				if err := modelStep(t, l, m, rnd); err != nil {
					t.Fatal(err)
				}
			}
			if x := examine(t, dir); len(x.Faults) > 0 {
				t.Fatalf("seed %d, open: %v", seed, x.Faults)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if x := examine(t, dir); len(x.Faults)+len(x.Notes) > 0 || x.End != m.end() || x.Last != m.last() {
				t.Fatalf("seed %d, closed: %+v", seed, x)
			}
		}
	}
}

// TestExamineCrash loses power at every operation: what that leaves is told in notes, but for the one case that cannot be told from
// damage.
func TestExamineCrash(t *testing.T) {
	for n := 0; ; n++ {
		f := crashfs.New()
		f.CrashAt(n)
		o, stop := crashOptions(t, f, flush.Fsync, 0)
		runScript(t, o, 1)
		stop()
		if !f.Crashed() {
			return
		}
		after := f.Recover(uint64(n))
		if _, err := after.Stat("data/log"); err != nil {
			continue
		}
		x, err := Examine(t.Context(), after, "data/log", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range x.Faults {
			if !strings.Contains(fault.Problem, wholeFollow) {
				t.Fatalf("crash at operation %d: %v", n, x.Faults)
			}
		}
	}
}
