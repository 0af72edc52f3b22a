package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// damagedLog makes a log of several segments with a checkpoint at its end, not closed.
func damagedLog(t *testing.T) (dir string, size int64, all []byte) {
	dir = t.TempDir()
	l := openLog(t, dir, Options{SegmentBytes: 3000, IndexInterval: 500})
	for i := Index(1); i <= 40; i++ {
		e := Entry{Index: i, Term: Term(1 + i/15), Data: testBatch(t, 1, 200, int64(i))}
		if i%13 == 0 {
			e.Kind, e.Data = 1, []byte("own")
		}
		appendOK(t, l, e)
	}
	c := Checkpoint{Index: 40, Term: l.lastTerm, End: l.EndOffset()}
	if err := l.WriteCheckpoint(c); err != nil {
		t.Fatal(err)
	}
	return dir, l.Size(), readAll(t, l, 0, 1000)
}

func flip(t *testing.T, name string, at int64, bit byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= bit
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range names {
		b, err := os.ReadFile(filepath.Join(dir, d.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, suffix, ok := parseName(d.Name()); !ok || suffix != indexSuffix {
			out[d.Name()] = string(b)
		}
	}
	return out
}

// TestDamage breaks files below the synced mark: it is reported, the log refuses writes, reads below it go on, and not a byte
// is changed.
func TestDamage(t *testing.T) {
	files := func(dir string) []string {
		m, err := filepath.Glob(filepath.Join(dir, "*.log"))
		if err != nil || len(m) < 3 {
			t.Fatal(m, err)
		}
		return m
	}
	cut := func(name string) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b[:len(b)-1], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, hurt := range map[string]func(dir string){
		"closed segment shorter": func(dir string) { cut(files(dir)[1]) },
		"last segment shorter":   func(dir string) { f := files(dir); cut(f[len(f)-1]) },
		"closed segment gone":    func(dir string) { _ = os.Remove(files(dir)[1]) },
		"first segment gone":     func(dir string) { _ = os.Remove(files(dir)[0]) },
		"side file shorter":      func(dir string) { cut(filepath.Join(dir, sideName)) },
		"side file flipped":      func(dir string) { flip(t, filepath.Join(dir, sideName), 100, 1) },
		"side file header":       func(dir string) { flip(t, filepath.Join(dir, sideName), 1, 1) },
		"side file gone":         func(dir string) { _ = os.Remove(filepath.Join(dir, sideName)) },
		"checkpoint flipped":     func(dir string) { flip(t, filepath.Join(dir, checkpointName), 30, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, all := damagedLog(t)
			hurt(dir)
			before := contents(t, dir)
			l := openLog(t, dir, Options{SegmentBytes: 3000, IndexInterval: 500})
			if len(l.Recovery().Damage) == 0 {
				t.Fatal("damage was not reported")
			}
			if got := readAll(t, l, 0, 1000); !bytes.HasPrefix(all, got) {
				t.Fatal("what can be read is not the log's beginning")
			}
			next := Entry{Index: l.LastIndex() + 1, Term: 9, Kind: 1}
			if err := l.Append([]Entry{next}, false); !errors.Is(err, ErrDamaged) {
				t.Fatalf("append: %v", err)
			}
			if err := l.TruncateAfter(0); !errors.Is(err, ErrDamaged) {
				t.Fatalf("truncate: %v", err)
			}
			_ = l.Close()
			after := contents(t, dir)
			for name, b := range before {
				if after[name] != b {
					t.Fatalf("%s was changed", name)
				}
			}
			if len(after) != len(before) {
				t.Fatalf("files %d, were %d", len(after), len(before))
			}
		})
	}
}

// TestFlippedHeader flips bits of batch headers below the mark: nothing is scanned there, so a reader finds it, and gets
// an error instead of what lies there.
func TestFlippedHeader(t *testing.T) {
	dir, size, _ := damagedLog(t)
	name := filepath.Join(dir, logName(0))
	for _, at := range []int64{7, 11, 10, 16, 26} { // base offset, length, length, magic, last offset delta
		flip(t, name, at, 0x80)
		l := openLog(t, dir, Options{SegmentBytes: 3000, IndexInterval: 500})
		if r := l.Recovery(); len(r.Damage) > 0 || r.Scanned > 0 || r.Cut > 0 || l.Size() != size {
			t.Fatalf("byte %d: %+v", at, r)
		}
		c, err := l.Read(1, l.EndOffset(), 1)
		c.Close()
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d: read: %v", at, err)
		}
		if _, err := l.ReadEntry(2, false); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d: entry: %v", at, err)
		}
		_ = l.Close()
		flip(t, name, at, 0x80)
	}
}

// TestIndexIsMadeAnew damages or removes every index: lookups answer as before.
func TestIndexIsMadeAnew(t *testing.T) {
	for name, hurt := range map[string]func(name string){
		"gone":      func(name string) { _ = os.Remove(name) },
		"truncated": func(name string) { _ = os.Truncate(name, indexHeaderSize+5) },
		"header":    func(name string) { flip(t, name, 9, 1) },
		"entry":     func(name string) { flip(t, name, indexHeaderSize+indexEntrySize+2, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, all := damagedLog(t)
			indexes, err := filepath.Glob(filepath.Join(dir, "*"+indexSuffix))
			if err != nil || len(indexes) < 3 {
				t.Fatal(indexes, err)
			}
			for _, x := range indexes {
				hurt(x)
			}
			l := openLog(t, dir, Options{SegmentBytes: 3000, IndexInterval: 500})
			if r := l.Recovery(); len(r.Damage) > 0 || r.Rebuilt == 0 || r.Cut > 0 {
				t.Fatalf("%+v", r)
			}
			if got := readAll(t, l, 0, 1000); !bytes.Equal(got, all) {
				t.Fatal("another log")
			}
			for i := Index(1); i <= 40; i++ {
				if _, err := l.ReadEntry(i, true); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
