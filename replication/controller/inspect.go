package controller

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/quirelog/quire/replication/boltcheck"
	"github.com/quirelog/quire/segment"
)

// Examination is what Examine found in a controller's directory.
type Examination struct {
	Server  string // broker id and incarnation
	Entries int    // in the log
	Image   *Image // after the last entry; nil when it cannot be known
	Faults  []segment.Fault
	Notes   []segment.Fault
}

func (x *Examination) fault(file string, at int64, format string, args ...any) {
	x.Faults = append(x.Faults, segment.Fault{File: file, At: at, Problem: fmt.Sprintf(format, args...)})
}

// Examine checks the controller's directory, which nobody has open, and writes nothing: the structure of raft.db, every entry of the
// log, the checksums of the snapshots, and that the log goes on where the newest snapshot ends. raft.db has no checksums over its
// data: what still makes sense in it is taken.
func Examine(dir string) (Examination, error) {
	var x Examination
	base, err := x.snapshots(dir)
	if err != nil {
		return x, err
	}
	b, err := os.ReadFile(filepath.Join(dir, dbFile))
	if errors.Is(err, fs.ErrNotExist) {
		x.fault(dbFile, 0, "the file is missing")
		return x, nil
	}
	if err != nil {
		return x, err
	}
	places, ok := x.structure(b)
	if !ok {
		x.Image = nil
		return x, nil
	}
	return x, x.log(dir, base, places)
}

// structure checks raft.db's pages and keys, and returns where the log's entries lie, by index.
func (x *Examination) structure(b []byte) (places map[uint64]int64, ok bool) {
	places = map[uint64]int64{}
	bad := boltcheck.Walk(b, func(p boltcheck.Pair) error {
		switch {
		case p.Bucket == "conf":
			x.conf(p)
		case p.Bucket == "logs" && len(p.Key) == 8:
			places[binary.BigEndian.Uint64(p.Key)] = p.At
		default:
			x.fault(dbFile, p.At, "key %q in bucket %q is unknown", p.Key, p.Bucket)
		}
		return nil
	})
	ok = bad == nil
	if ok {
		bad = boltcheck.CheckMetas(b)
	}
	if d, is := errors.AsType[*boltcheck.Damage](bad); is {
		x.fault(dbFile, d.At, "%s", d.Problem)
	}
	if ok && x.Server == "" {
		x.fault(dbFile, 0, "key %s is missing", keyServerID)
	}
	return places, ok
}

func (x *Examination) conf(p boltcheck.Pair) {
	switch string(p.Key) {
	case string(keyServerID):
		x.Server = string(p.Value)
		if _, _, err := splitServerID(raft.ServerID(x.Server)); err != nil {
			x.fault(dbFile, p.At, "%v", err)
		}
	case string(keyCurrentTerm), string(keyLastVoteTerm):
		if len(p.Value) != 8 {
			x.fault(dbFile, p.At, "%s of %d bytes", p.Key, len(p.Value))
		}
	case string(keyLastVoteCand):
	default:
		x.fault(dbFile, p.At, "key %q in bucket %q is unknown", p.Key, p.Bucket)
	}
}

// log decodes the log's entries and applies those above the snapshot at base to the image.
func (x *Examination) log(dir string, base uint64, places map[uint64]int64) (err error) {
	if len(places) == 0 {
		return nil
	}
	db, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, dbFile), BoltOptions: &bbolt.Options{ReadOnly: true, Timeout: lockTimeout},
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", dbFile, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	indexes := slices.Collect(func(yield func(uint64) bool) {
		for i := range places {
			if !yield(i) {
				return
			}
		}
	})
	slices.Sort(indexes)
	x.Entries = len(indexes)
	if first := indexes[0]; first > base+1 {
		x.fault(dbFile, places[first], "the log begins at index %d, the newest snapshot ends at %d", first, base)
	}
	var entries []entry
	term := uint64(0)
	for n, i := range indexes {
		if n > 0 && indexes[n-1] != i-1 {
			x.fault(dbFile, places[i], "index %d follows %d", i, indexes[n-1])
		}
		var l raft.Log
		if err := db.GetLog(i, &l); err != nil {
			x.fault(dbFile, places[i], "entry %d: %v", i, err)
			continue
		}
		if l.Index != i || l.Term < term || l.Term == 0 {
			x.fault(dbFile, places[i], "entry %d says that it is %d of term %d, after term %d", i, l.Index, l.Term, term)
		}
		term = max(term, l.Term)
		if l.Type != raft.LogCommand {
			continue
		}
		c, err := decodeCommand(l.Data)
		if err != nil {
			x.fault(dbFile, places[i], "entry %d: %v", i, err)
		} else if i > base {
			entries = append(entries, entry{i, c})
		}
	}
	if x.Image != nil && len(x.Faults) == 0 {
		x.Image, _ = applyEntries(x.Image, entries)
	}
	return nil
}

// snapshots checks every snapshot, loads the newest one's image and returns the index at which it ends.
func (x *Examination) snapshots(dir string) (base uint64, err error) {
	x.Image = &Image{}
	names, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	for _, d := range names {
		name := filepath.Join(snapshotDir, d.Name())
		if strings.HasSuffix(name, ".tmp") {
			x.Notes = append(x.Notes, segment.Fault{File: name, Problem: "was being written; the next start removes it"})
			continue
		}
		image, index, err := x.snapshot(dir, name)
		if err != nil {
			return base, err
		}
		if index > base {
			base, x.Image = index, image
		}
	}
	return base, nil
}

// snapshotMeta is meta.json as raft.FileSnapshotStore writes it.
type snapshotMeta struct {
	raft.SnapshotMeta
	CRC []byte
}

// snapshot checks one snapshot. Its image is nil when it is damaged.
func (x *Examination) snapshot(dir, name string) (image *Image, index uint64, err error) {
	metaName, stateName := filepath.Join(name, "meta.json"), filepath.Join(name, "state.bin")
	text, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		return nil, 0, err
	}
	state, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return nil, 0, err
	}
	var m snapshotMeta
	if err := json.Unmarshal(text, &m); err != nil {
		x.fault(metaName, 0, "%v", err)
		return nil, 0, nil
	}
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	sum.Write(state) // never fails
	prefix := fmt.Sprintf("%d-%d-", m.Term, m.Index)
	switch {
	case m.ID != filepath.Base(name) || !strings.HasPrefix(m.ID, prefix):
		x.fault(metaName, 0, "it is of snapshot %s, term %d, index %d", m.ID, m.Term, m.Index)
	case m.Size != int64(len(state)):
		x.fault(stateName, int64(len(state)), "the file ends here, %s says %d bytes", metaName, m.Size)
	case string(sum.Sum(nil)) != string(m.CRC):
		x.fault(stateName, 0, "checksum %x, %s says %x", sum.Sum(nil), metaName, m.CRC)
	default:
		if image, err = decodeSnapshot(state); err != nil {
			x.fault(stateName, 0, "%v", err)
			image = nil
		}
	}
	return image, m.Index, nil
}
