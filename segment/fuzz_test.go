package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quirelog/quire/segment/vfs/crashfs"
)

func goodIndex() []byte {
	good := appendIndexHeader(nil, 7, 9)
	good = indexEntry{newestTime: noTimestamp}.append(good)
	return indexEntry{offset: 5, index: 3, pos: 4100, newestPos: 70, newestTime: 99}.append(good)
}

func FuzzIndex(f *testing.F) {
	f.Add(goodIndex(), 2)
	f.Add(goodIndex()[:40], 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) { checkIndex(t, b, n) })
}

func checkIndex(t testing.TB, b []byte, n int) {
	entries, err := parseIndex(b, 7, 9, n)
	if err != nil {
		if !errors.Is(err, errIndexDamaged) {
			t.Fatal(err)
		}
		return
	}
	again := appendIndexHeader(nil, 7, 9)
	for _, e := range entries {
		again = e.append(again)
	}
	if !bytes.HasPrefix(b, again) {
		t.Fatal("what was decoded encodes to something else")
	}
}

func goodSideFile() []byte {
	good := appendSideRecord(appendSideHeader(nil, 0), &sideRecord{typ: sideSegment, index: 1}, make([]byte, segmentRecordLen))
	good = appendSideRecord(good, &sideRecord{typ: sideEntry, kind: 3, index: 1, term: 1}, []byte("configuration"))
	return appendSideRecord(good, &sideRecord{typ: sideTerm, index: 2, term: 2, pos: 50, offset: 3}, nil)
}

func FuzzSideFile(f *testing.F) {
	good := goodSideFile()
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, b []byte) { checkSideFile(t, b) })
}

func checkSideFile(t testing.TB, b []byte) {
	s, err := parseSideFile(b)
	if len(b) > 0 && (err == nil) != (s.size-s.origin == int64(len(b))) {
		t.Fatalf("%d of %d bytes, %v", s.size, len(b), err)
	}
	for i, r := range s.records {
		if i > 0 && !s.records[i-1].before(&r) {
			t.Fatalf("record %d goes back", i)
		}
	}
	list := sideList(s.records)
	for i := range Index(5) {
		list.entry(i)
		list.term(i)
		list.batchAt(i)
	}
	list.epochs(0, 10)
}

func goodCheckpoints() [][]byte {
	m := mark{index: 5, term: 2, end: 9, base: 3, pos: 700, side: 60, entries: 2, newest: newest{time: 4, pos: 100}}
	return [][]byte{appendCheckpoint(nil, &Checkpoint{Start: 1, State: []byte("state")}, &m), m.appendMarker(nil)}
}

func FuzzCheckpoint(f *testing.F) {
	for _, b := range goodCheckpoints() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkCheckpoint(t, b) })
}

func checkCheckpoint(t testing.TB, b []byte) {
	if c, m, err := parseCheckpoint(b); err == nil && !bytes.Equal(appendCheckpoint(nil, &c, &m), b) {
		t.Fatal("what was decoded encodes to something else")
	}
	if m, err := parseMarker(b); err == nil && !bytes.Equal(m.appendMarker(nil), b) {
		t.Fatal("what was decoded encodes to something else")
	}
}

// FuzzRecover opens a directory with any content in its files: it must open or say why not, and what opens without damage
// must go on and open again the same.
func FuzzRecover(f *testing.F) {
	seed := goodFiles(f)
	f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	f.Add(seed[0], seed[1], []byte{}, []byte{}, []byte{})
	f.Add([]byte{}, seed[1], seed[2], []byte{}, seed[4])
	f.Add([]byte{}, seed[1][:sideHeaderSize], []byte{}, []byte{}, []byte{}) // opened without damage once, and lost what was appended
	f.Fuzz(func(t *testing.T, log, side, checkpoint, clean, index []byte) {
		checkRecover(t, [][]byte{log, side, checkpoint, clean, index}, false)
	})
}

var fuzzedFiles = []string{logName(0), sideName, checkpointName, markerName, indexName(0)}

// goodFiles is what a log cleanly closed has in fuzzedFiles.
func goodFiles(f testing.TB) (files [][]byte) {
	dir := filepath.Join(f.TempDir(), "log")
	l := openLog(f, dir, Options{})
	appendOK(f, l, Entry{Index: 1, Term: 1, Kind: 1}, Entry{Index: 2, Term: 1, Data: testBatch(f, 2, 30, 1)})
	if err := l.WriteCheckpoint(Checkpoint{Index: 2, Term: 1, End: 2}); err != nil {
		f.Fatal(err)
	}
	appendOK(f, l, Entry{Index: 3, Term: 2, Data: testBatch(f, 1, 30, 1)})
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	for _, name := range fuzzedFiles {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, b)
	}
	return files
}

func checkRecover(t testing.TB, files [][]byte, forged bool) {
	fs := crashfs.New()
	_ = fs.MkdirAll("log", 0o755)
	for i, b := range files {
		if len(b) == 0 {
			continue
		}
		file, err := fs.OpenFile("log/"+fuzzedFiles[i], os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteAt(b, 0)
		_ = file.Close()
	}
	l, err := Open("log", Options{FS: fs})
	if err != nil {
		return
	}
	defer l.Close()
	last := l.LastIndex()
	for i := l.FirstIndex(); i > 0 && i <= last && i < l.FirstIndex()+10; i++ {
		_, _ = l.ReadEntry(i, false)
	}
	next := Entry{Index: l.last + 1, Term: l.lastTerm, Kind: 1}
	err = l.Append([]Entry{next}, false)
	if forged {
		return
	}
	if damaged := len(l.Recovery().Damage) > 0; damaged != errors.Is(err, ErrDamaged) || !damaged && err != nil {
		t.Fatalf("append: %v, damage %v", err, l.Recovery().Damage)
	}
	if _, unmarked := parseMarker(files[3]); err != nil || unmarked == nil {
		return // what a marked log holds behind its checkpoint was not looked at
	}
	again, err := Open("log", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if again.LastIndex() != next.Index {
		t.Fatalf("opened again: last %d, want %d", again.LastIndex(), next.Index)
	}
	_ = again.Close()
}
