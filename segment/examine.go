package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/quirelog/quire/segment/vfs"
)

// Fault is what is wrong in a file, and where.
type Fault struct {
	File    string `json:"file"` // relative to the directory that was examined
	At      int64  `json:"byte"` // first byte of what does not check
	Problem string `json:"problem"`
}

func (f Fault) String() string { return fmt.Sprintf("%s: byte %d: %s", f.File, f.At, f.Problem) }

// Examination is what Examine found.
type Examination struct {
	Segments int
	Batches  int64
	Records  int64
	Bytes    int64 // of good batches
	First    Index // 0: the log has no entries
	Last     Index
	Start    Offset // log start offset
	End      Offset // of the next record
	Clean    bool   // closed cleanly: everything was durable
	// Checkpoint is nil where there is none, or none that can be read.
	Checkpoint *Checkpoint
	Faults     []Fault
	// Notes are what a crash leaves and the next Open puts in order: they are no faults.
	Notes []Fault
}

// Examine checks every byte of the closed log in dir against every other, and writes nothing: CRC, offset and leader epoch of
// every batch, the side file, the indexes, the checkpoint and the clean-shutdown marker. What does not check below the synced
// mark is a fault, and so is a damaged batch that whole ones follow; other leftovers of a crash behind the mark are notes. It
// ends early only when a file cannot be read or ctx ends. progress, if any, is told of bytes read.
func Examine(ctx context.Context, fsys vfs.FS, dir string, progress func(bytes int64)) (Examination, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	x := examiner{
		ctx: ctx, l: newLog(dir, Options{FS: fsys}), progress: progress,
		sizes: map[Offset]int64{}, index: map[Offset]bool{},
	}
	for _, step := range []func() error{x.list, x.loadMarks, x.loadSide, x.segments} {
		if err := step(); err != nil {
			return x.out, fmt.Errorf("examine %s: %w", dir, err)
		}
		if x.over {
			break
		}
	}
	return x.out, nil
}

// examiner goes through a log as recovery does, but goes on behind what is wrong, and changes nothing.
type examiner struct {
	ctx      context.Context // of the one call that it serves
	l        *Log            // never opened: options and reading of files
	progress func(int64)
	out      Examination
	over     bool // there is nothing more to look at

	sizes map[Offset]int64 // of the .log files; those met are taken out
	index map[Offset]bool  // .qidx files; likewise
	marks []*placeMark
	mark  mark // the furthest that is good; zero: nothing is known to be durable
	fresh bool

	side sideList
	k    int // side records met
	next Index
	end  Offset
	term Term
}

// placeMark is a mark that is to be met on the way.
type placeMark struct {
	mark
	file string
	met  bool
}

func (x *examiner) fault(file string, at int64, format string, args ...any) {
	x.out.Faults = append(x.out.Faults, Fault{file, at, fmt.Sprintf(format, args...)})
}

// judge is a fault where durable says that the bytes were durable once, else a note.
func (x *examiner) judge(durable bool, file string, at int64, format string, args ...any) {
	if durable {
		x.fault(file, at, format, args...)
		return
	}
	x.out.Notes = append(x.out.Notes, Fault{file, at, fmt.Sprintf(format, args...)})
}

func (x *examiner) list() error {
	names, err := x.l.fs.ReadDir(x.l.dir)
	if err != nil {
		return err
	}
	x.fresh = true
	for _, d := range names {
		name := d.Name()
		base, suffix, ok := parseName(name)
		switch {
		case strings.HasSuffix(name, tempSuffix):
			x.judge(false, name, 0, "was being replaced; the next start removes it")
		case name == sideName, name == checkpointName, name == markerName:
			x.fresh = false
		case ok && suffix == logSuffix:
			info, err := d.Info()
			if err != nil {
				return err
			}
			x.sizes[base] = info.Size()
			x.fresh = x.fresh && info.Size() == 0
		case ok && suffix == indexSuffix:
			x.index[base] = true
		}
	}
	if x.fresh {
		x.judge(false, sideName, 0, "there is no log yet; the next start makes it")
		x.over = true
	}
	return nil
}

func (x *examiner) loadMarks() error {
	b, err := x.l.readFile(checkpointName, maxStateBytes+4096)
	if err == nil {
		c, m, bad := parseCheckpoint(b)
		if bad != nil {
			x.fault(checkpointName, 0, "%v", bad)
		} else {
			x.out.Checkpoint, x.mark = &c, m
			x.marks = append(x.marks, &placeMark{mark: m, file: checkpointName})
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b, err = x.l.readFile(markerName, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch m, bad := parseMarker(b); {
	case bad != nil:
		x.fault(markerName, 0, "%v", bad)
	case m.index < x.mark.index:
		x.fault(markerName, fileHeadSize, "ends at entry %d, the checkpoint is at %d", m.index, x.mark.index)
	default:
		x.mark, x.out.Clean = m, true
		x.marks = append(x.marks, &placeMark{mark: m, file: markerName})
	}
	return nil
}

func (x *examiner) loadSide() error {
	b, err := x.l.readFile(sideName, 1<<30)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, bad := parseSideFile(b)
	switch {
	case bad != nil:
		x.judge(f.size < x.mark.side || x.out.Clean || len(f.records) == 0, sideName, f.size, "%v; %d bytes follow", bad, int64(len(b))-f.size)
	case f.size < x.mark.side:
		x.fault(sideName, f.size, "the file ends here, it was synced up to byte %d", x.mark.side)
	}
	x.progress(int64(len(b)))
	if len(f.records) == 0 {
		x.over = true
		return nil
	}
	x.side = f.records
	first := &x.side[0]
	for _, m := range x.marks { // one may stand where segments were removed up to
		m.met = m.mark.index+1 == first.index && m.end == first.offset
	}
	x.next, x.end, x.term = first.index, first.offset, first.term
	x.out.Start = first.offset
	if c := x.out.Checkpoint; c != nil {
		x.out.Start = max(x.out.Start, c.Start)
	}
	return nil
}

// segments goes through the segments that the side file names. Behind one that does not check it goes on with the next, whose
// record says where that begins.
func (x *examiner) segments() error {
	before := int64(0) // size of the segment before
	for x.k < len(x.side) {
		rec := &x.side[x.k]
		if rec.typ != sideSegment || x.k > 0 && (rec.index != x.next || rec.offset != x.end || int64(rec.pos) != before) {
			x.judge(x.synced(rec.at), sideName, rec.at,
				"record of index %d, offset %d does not connect to the log, which is at index %d, offset %d, byte %d",
				rec.index, rec.offset, x.next, x.end, before)
			if !x.synced(rec.at) || !x.resync() {
				break
			}
			rec = &x.side[x.k]
		}
		x.next, x.end, x.term = rec.index, rec.offset, max(x.term, rec.term)
		x.k++
		size, err := x.segment(rec)
		if err != nil {
			return fmt.Errorf("segment %d: %w", rec.offset, err)
		}
		before = size
	}
	x.leftovers()
	x.out.End, x.out.Start = x.end, min(x.out.Start, x.end)
	if first := x.side[0].index; x.next > first {
		x.out.First, x.out.Last = first, x.next-1
	}
	return nil
}

// resync moves to the next segment record, if there is one.
func (x *examiner) resync() bool {
	for x.k < len(x.side) && x.side[x.k].typ != sideSegment {
		x.k++
	}
	return x.k < len(x.side)
}

// synced says whether what lies at a byte of the side file was durable.
func (x *examiner) synced(at int64) bool { return at < x.mark.side || x.out.Clean }

// leftovers tells of files that no segment record names, and of marks that were not met.
func (x *examiner) leftovers() {
	for base, size := range x.sizes {
		x.judge(x.out.Clean && size > 0, logName(base), 0, "%s names no such segment", sideName)
	}
	for base := range x.index {
		x.judge(false, indexName(base), 0, "there is no segment for it; the next start removes it")
	}
	for _, m := range x.marks {
		if !m.met {
			x.fault(m.file, fileHeadSize, "it ends at entry %d, offset %d, at byte %d of %s: no batch ends there",
				m.mark.index, m.mark.end, m.mark.pos, path.Base(logName(m.mark.base)))
		}
	}
}
