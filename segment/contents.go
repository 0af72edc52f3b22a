package segment

import (
	"path"
	"time"

	"github.com/quirelog/quire/segment/vfs"
)

// SideRecord is a record of the side file, for people to look at.
type SideRecord struct {
	At       int64      `json:"byte"` // in the side file
	Type     string     `json:"type"` // segment, entry or term
	Kind     Kind       `json:"kind"` // of an entry: hashicorp/raft's LogType
	Index    Index      `json:"index"`
	Term     Term       `json:"term"`
	Offset   Offset     `json:"offset"`
	Position int64      `json:"position"`                  // in the segment file
	Created  *time.Time `json:"created,omitempty"`         // of a segment
	Before   *time.Time `json:"appended_before,omitempty"` // last append to the segment before
	Payload  []byte     `json:"payload,omitempty"`
}

// ReadSideFile decodes the side file of the closed log in dir. With an error it returns what is good before it.
func ReadSideFile(fsys vfs.FS, dir string) ([]SideRecord, error) {
	b, err := newLog(dir, Options{FS: fsys}).readFile(sideName, 1<<30)
	if err != nil {
		return nil, err
	}
	f, bad := parseSideFile(b)
	out := make([]SideRecord, 0, len(f.records))
	times := f.times
	for i := range f.records {
		r := &f.records[i]
		s := SideRecord{
			At: r.at - f.origin, Type: r.typ.String(), Kind: r.kind, Index: r.index, Term: r.term, Offset: r.offset, Position: int64(r.pos),
		}
		if r.typ == sideSegment {
			at, before := times[0].created.UTC(), times[0].before.UTC()
			s.Created, s.Before, times = &at, &before, times[1:]
		} else {
			s.Payload = b[r.at-f.origin+sideRecordSize : r.end()-f.origin]
		}
		out = append(out, s)
	}
	return out, bad
}

func (t sideType) String() string {
	switch t {
	case sideSegment:
		return "segment"
	case sideEntry:
		return "entry"
	}
	return "term"
}

// IndexEntry is an entry of a segment's index, for people to look at.
type IndexEntry struct {
	Offset    Offset `json:"offset"`
	Index     Index  `json:"index"`
	Position  int64  `json:"position"`
	Newest    *int64 `json:"newest_timestamp"` // largest timestamp before Position, ms; nil: none before it
	NewestPos int64  `json:"newest_position"`  // of the batch that has it
}

// ReadIndex decodes the index of the segment based at base, whose first entry has index baseIndex. With an error it returns what
// is good before it.
func ReadIndex(fsys vfs.FS, dir string, base Offset, baseIndex Index) ([]IndexEntry, error) {
	b, err := newLog(dir, Options{FS: fsys}).readFile(indexName(base), 1<<31)
	if err != nil {
		return nil, err
	}
	if err := checkIndexHeader(b, base, baseIndex); err != nil {
		return nil, err
	}
	var out []IndexEntry
	for b = b[indexHeaderSize:]; len(b) > 0; b = b[indexEntrySize:] {
		e, err := parseIndexEntry(b)
		if err != nil {
			return out, err
		}
		entry := IndexEntry{
			Offset: base + Offset(e.offset), Index: baseIndex + Index(e.index), Position: int64(e.pos), NewestPos: int64(e.newestPos),
		}
		if e.newestTime != noTimestamp {
			entry.Newest = &e.newestTime
		}
		out = append(out, entry)
	}
	return out, nil
}

// Mark is the place up to which a checkpoint or a clean-shutdown marker says that the log is durable.
type Mark struct {
	File     string `json:"file"`
	Index    Index  `json:"index"`
	Term     Term   `json:"term"`
	End      Offset `json:"end_offset"`
	Base     Offset `json:"segment"`
	Position int64  `json:"position"`
	Side     int64  `json:"side_position"`
	Entries  int    `json:"index_entries"`
}

// ReadCheckpoint decodes the checkpoint of the closed log in dir.
func ReadCheckpoint(fsys vfs.FS, dir string) (Checkpoint, Mark, error) {
	b, err := newLog(dir, Options{FS: fsys}).readFile(checkpointName, maxStateBytes+4096)
	if err != nil {
		return Checkpoint{}, Mark{}, err
	}
	c, m, err := parseCheckpoint(b)
	return c, m.public(checkpointName), err
}

// ReadMarker decodes the clean-shutdown marker of the closed log in dir.
func ReadMarker(fsys vfs.FS, dir string) (Mark, error) {
	b, err := newLog(dir, Options{FS: fsys}).readFile(markerName, 4096)
	if err != nil {
		return Mark{}, err
	}
	m, err := parseMarker(b)
	return m.public(markerName), err
}

func (m mark) public(file string) Mark {
	return Mark{
		File: file, Index: m.index, Term: m.term, End: m.end, Base: m.base, Position: m.pos, Side: m.side, Entries: m.entries,
	}
}

// ParseLogName is the base offset that a segment file's name tells; false for other files.
func ParseLogName(name string) (Offset, bool) {
	base, suffix, ok := parseName(path.Base(name))
	return base, ok && suffix == logSuffix
}
