package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs"
)

// segmentExam is the examination of one segment.
type segmentExam struct {
	*examiner
	name    string
	durable int64 // bytes that were synced
	sealed  bool
	b       *indexBuilder
	index   indexExam
	batchAt Index // of the newest batch
}

// segment examines the segment whose record was met last, and returns the size of its file.
func (x *examiner) segment(rec *sideRecord) (int64, error) {
	x.out.Segments++
	s := segmentExam{
		examiner: x, name: logName(rec.offset), b: x.l.newIndexBuilder(rec.offset, rec.index, x.side),
		sealed: rec.offset < x.mark.base,
	}
	size, found := x.sizes[rec.offset]
	delete(x.sizes, rec.offset)
	switch {
	case s.sealed:
		s.durable = size
		if next := x.following(); next != nil {
			s.durable = int64(next.pos)
		}
	case rec.offset == x.mark.base:
		s.durable = x.mark.pos
	}
	s.own(0)
	if !found {
		return 0, s.missing()
	}
	if err := s.loadIndex(); err != nil {
		return size, err
	}
	s.meet()
	f, err := x.l.fs.OpenFile(s.b.segmentPath(x.l.dir), os.O_RDONLY, 0)
	if err != nil {
		return size, err
	}
	defer f.Close()
	return size, s.scan(f, size)
}

func (b *indexBuilder) segmentPath(dir string) string {
	return (&segment{base: b.base}).logPath(dir)
}

// following is the record of the segment after this one.
func (x *examiner) following() *sideRecord {
	for i := x.k; i < len(x.side); i++ {
		if x.side[i].typ == sideSegment {
			return &x.side[i]
		}
	}
	return nil
}

// missing judges a segment without a file: those wholly below the log start are deleted, the others are not.
func (s *segmentExam) missing() error {
	delete(s.examiner.index, s.b.base)
	next, c := s.following(), s.out.Checkpoint
	if next != nil && c != nil && next.offset <= c.Start {
		s.judge(false, s.name, 0, "the segment is deleted")
	} else {
		s.judge(s.durable > 0 || s.sealed, s.name, 0, "the file is missing")
	}
	if s.durable > 0 && next != nil {
		s.jump()
	}
	s.meet()
	return nil
}

// jump goes on with the segment after this one, since nothing more can be known of this one.
func (s *segmentExam) jump() {
	if s.resync() {
		rec := &s.side[s.k]
		s.next, s.end, s.term = rec.index, rec.offset, rec.term
	}
}

// scan examines the batches.
func (s *segmentExam) scan(f vfs.File, size int64) error {
	torn := int64(-1)
	err := withScanner(f, 0, size, func(sc *scanner) error {
		for sc.pos < size {
			if err := s.ctx.Err(); err != nil {
				return err
			}
			at := sc.pos
			h, err := sc.next(s.end, false)
			if errors.Is(err, errNotABatch) {
				if torn = at; !s.damaged(f, &h, at, sc.pos, size, err) {
					return nil
				}
				torn = -1
			} else if err != nil {
				return err
			}
			s.batch(&h, at)
			s.progress(int64(h.Size()))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if torn < 0 && size < s.durable {
		s.fault(s.name, size, "the file ends here, it was synced up to byte %d", s.durable)
	}
	if torn >= 0 && s.sealed {
		s.jump()
		return nil
	}
	s.index.finish(s)
	return nil
}

// wholeFollow is said of damage that a torn write of several batches can leave, but that may as well have hit acknowledged ones.
const wholeFollow = "whole batches follow it, which the next start would cut as a torn tail"

// damaged tells of a batch that does not check, and returns whether the scan can go on behind it: its header is good then.
func (s *segmentExam) damaged(f vfs.File, h *batch.Header, at, pos, size int64, why error) bool {
	what := strings.TrimPrefix(why.Error(), fmt.Sprintf("%v at byte %d: ", errNotABatch, at))
	stepped := pos == at+int64(h.Size()) && pos > at
	if at < s.durable || s.out.Clean {
		s.fault(s.name, at, "%s", what)
		return stepped
	}
	if stepped && wholeBatchAt(f, h.Next(), pos, size) {
		s.fault(s.name, at, "%s; %s", what, wholeFollow)
		return true
	}
	s.judge(false, s.name, at, "torn tail of %d bytes (%s); the next start cuts it", size-at, what)
	return false
}

func wholeBatchAt(f vfs.File, o Offset, pos, size int64) bool {
	err := withScannerHere(f, pos, size, func(sc *scanner) error {
		_, err := sc.next(o, false)
		return err
	})
	return err == nil
}

// withScannerHere is withScanner for who holds a scan slot already: two of them could wait for each other.
func withScannerHere(f vfs.File, pos, size int64, fn func(*scanner) error) error {
	if pos >= size {
		return errNotABatch
	}
	return fn(&scanner{file: f, size: size, pos: pos, buf: make([]byte, windowSize)})
}

// batch takes the batch at a byte, whose place is good.
func (s *segmentExam) batch(h *batch.Header, at int64) {
	if Term(h.LeaderEpoch) != s.term {
		s.fault(s.name, at+12, "leader epoch %d, %s says %d", h.LeaderEpoch, sideName, s.term)
	}
	s.b.index = s.next
	s.index.at(s)
	s.b.add(h)
	s.batchAt = s.next
	s.next++
	s.end = s.b.offset
	s.out.Batches++
	s.out.Records += int64(h.NumRecords)
	s.out.Bytes += int64(h.Size())
	s.own(s.b.pos)
	s.meet()
}

// own takes the side records that lie at the place reached, which is byte pos of the segment.
func (x *examiner) own(pos int64) {
	for x.k < len(x.side) {
		rec := &x.side[x.k]
		if rec.typ == sideSegment || rec.index != x.next || rec.offset != x.end {
			return
		}
		if int64(rec.pos) != pos {
			x.fault(sideName, rec.at+12, "position %d, the log is at byte %d", rec.pos, pos)
		}
		x.term = rec.term
		x.k++
		if rec.typ == sideEntry {
			x.next++
		}
	}
}

// meet checks the marks that point to the place reached.
func (s *segmentExam) meet() {
	for _, m := range s.marks {
		if m.met || m.base != s.b.base || m.pos != s.b.pos {
			continue
		}
		m.met = true
		side := int64(sideHeaderSize)
		if n := s.side.through(m.mark.index); n > 0 {
			side = s.side[n-1].end()
		}
		if m.end != s.end || m.term != s.side.term(m.mark.index) || m.newest != s.b.newest || m.file == checkpointName && m.side != side ||
			m.mark.index < s.batchAt || m.mark.index >= s.next {
			s.fault(m.file, fileHeadSize, "entry %d of term %d, offset %d, side file %d: byte %d of %s is at entry %d of term %d, offset %d, side file %d",
				m.mark.index, m.term, m.end, m.side, m.pos, s.name, s.next-1, s.side.term(m.mark.index), s.end, side)
		}
		if m.entries > s.index.n && s.index.loaded {
			s.fault(indexName(s.b.base), s.index.size, "%d entries, %s says %d", s.index.n, m.file, m.entries)
		}
	}
}

// indexExam holds a segment's index against its batches.
type indexExam struct {
	loaded  bool
	size    int64
	n       int // whole entries in the file
	must    int // of them, those that were synced
	entries []indexEntry
	good    []bool
	i       int // entries met
}

// loadIndex reads the index of the segment.
func (s *segmentExam) loadIndex() error {
	name := indexName(s.b.base)
	durable := s.sealed || s.b.base == s.mark.base && (s.mark.entries > 0 || s.out.Clean)
	found := s.examiner.index[s.b.base]
	delete(s.examiner.index, s.b.base)
	b, err := s.l.readFile(name, 1<<31)
	if errors.Is(err, fs.ErrNotExist) || !found {
		s.judge(durable, name, 0, "the index is missing; the next start makes it anew")
		return nil
	}
	if err != nil {
		return err
	}
	s.progress(int64(len(b)))
	x := &s.index
	x.size = int64(len(b))
	if bad := checkIndexHeader(b, s.b.base, s.b.start); bad != nil {
		s.judge(durable, name, 0, "%v", bad)
		return nil
	}
	x.loaded, x.n = true, (len(b)-indexHeaderSize)/indexEntrySize
	switch {
	case s.sealed:
		x.must = x.n
	case s.b.base == s.mark.base:
		x.must = min(x.n, s.mark.entries)
	}
	if odd := (len(b) - indexHeaderSize) % indexEntrySize; odd != 0 {
		s.judge(s.sealed || s.out.Clean, name, x.size-int64(odd), "%d bytes behind the last whole entry", odd)
	}
	for i := range x.must {
		e, bad := parseIndexEntry(b[indexHeaderSize+i*indexEntrySize:])
		if bad != nil {
			s.fault(name, x.place(i), "%v", bad)
		}
		x.entries, x.good = append(x.entries, e), append(x.good, bad == nil)
	}
	return nil
}

func (x *indexExam) place(i int) int64 { return indexHeaderSize + int64(i)*indexEntrySize }

// at compares the entries that stand for the place reached, which s.b holds.
func (x *indexExam) at(s *segmentExam) {
	for ; x.i < len(x.entries); x.i++ {
		e := x.entries[x.i]
		if !x.good[x.i] {
			continue // told already
		}
		if int64(e.pos) > s.b.pos {
			return
		}
		if want := s.b.entry(); e != want {
			s.fault(indexName(s.b.base), x.place(x.i), "entry says %s, the log %s", e, want)
		}
	}
}

// finish compares what stands for the segment's end.
func (x *indexExam) finish(s *segmentExam) {
	if !x.loaded {
		return
	}
	last := x.i
	if n := len(x.entries); last < n {
		// An end entry that was made with the segment has the next entry's index, one made anew the next batch's.
		if e := &x.entries[n-1]; s.b.start+Index(e.index) == s.next {
			s.b.index = s.next
		}
	}
	x.at(s)
	for ; x.i < len(x.entries); x.i++ {
		if x.good[x.i] {
			s.fault(indexName(s.b.base), x.place(x.i), "entry says %s, the segment ends at byte %d", x.entries[x.i], s.b.pos)
		}
	}
	if s.sealed && (last == len(x.entries) || int64(x.entries[len(x.entries)-1].pos) != s.b.pos) {
		s.fault(indexName(s.b.base), x.size, "no entry for the segment's end at byte %d", s.b.pos)
	}
}

func (e indexEntry) String() string {
	return fmt.Sprintf("byte %d is offset +%d, index +%d, newest %d at %d", e.pos, e.offset, e.index, e.newestTime, e.newestPos)
}
