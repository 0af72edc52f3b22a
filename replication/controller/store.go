package controller

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	foundingTerm = 1 // of the entries that a group begins with

	dbFile    = "raft.db"
	dbNewFile = "raft.db.new" // being founded; worth nothing after a crash

	snapshotDir = "snapshots" // the name that raft.FileSnapshotStore gives it

	lockTimeout = 2 * time.Second // how long another process may still hold raft.db
)

var (
	keyServerID = []byte("QuireServerID")
	// hashicorp/raft's own keys
	keyCurrentTerm  = []byte("CurrentTerm")
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
)

// stableStore keeps votes and terms. Raft writes values again that have not changed; each write costs two syncs, so those are
// left out.
type stableStore struct{ *raftboltdb.BoltStore }

func (s stableStore) Set(key, value []byte) error {
	if old, err := s.Get(key); err == nil && string(old) == string(value) {
		return nil
	}
	return s.BoltStore.Set(key, value)
}

func (s stableStore) SetUint64(key []byte, value uint64) error {
	if old, err := s.GetUint64(key); err == nil && old == value {
		return nil
	}
	return s.BoltStore.SetUint64(key, value)
}

// founding is what a new raft.db begins with.
type founding struct {
	server  raft.Server
	servers []raft.Server // the group's first configuration; nil: a member that waits to be told of the group
	history []command     // what the log holds from the start; only the founder's does
}

// found makes raft.db. It is written beside its place without a sync a write, synced once and renamed: a crash leaves a whole
// file or none, and an empty start does not pay two syncs for each of its steps.
func found(dir string, f founding) error {
	path := filepath.Join(dir, dbNewFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("found controller: %w", err)
	}
	db, err := raftboltdb.New(raftboltdb.Options{Path: path, NoSync: true, BoltOptions: boltOptions()})
	if err != nil {
		return fmt.Errorf("found controller: %w", err)
	}
	err = f.write(db)
	if err == nil {
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("found controller: %w", err)
	}
	if err := os.Rename(path, filepath.Join(dir, dbFile)); err != nil {
		return fmt.Errorf("found controller: %w", err)
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// write is raft.BootstrapCluster with a history: the founder led term 1, in which it stored the configuration at index 1 and the
// commands after it. The no-op of the first real leader commits them.
func (f founding) write(db *raftboltdb.BoltStore) error {
	if err := db.Set(keyServerID, []byte(f.server.ID)); err != nil {
		return err
	}
	if f.servers == nil {
		return nil
	}
	err := errors.Join(
		db.SetUint64(keyCurrentTerm, 1),
		db.SetUint64(keyLastVoteTerm, 1),
		db.Set(keyLastVoteCand, []byte(f.server.Address)))
	if err != nil {
		return err
	}
	configuration := raft.EncodeConfiguration(raft.Configuration{Servers: f.servers})
	logs := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: configuration}}
	for _, c := range f.history {
		data, err := encodeCommand(c)
		if err != nil {
			return err
		}
		logs = append(logs, &raft.Log{Index: uint64(len(logs) + 1), Term: 1, Type: raft.LogCommand, Data: data})
	}
	return db.StoreLogs(logs)
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true}
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// storage is an opened controller directory.
type storage struct {
	db        *raftboltdb.BoltStore
	snapshots *raft.FileSnapshotStore

	server raft.ServerID
	image  *Image // of the newest snapshot; empty without one
	known  known
}

// known is the last command that this broker may have applied in an earlier life: an image that is older must not be acted upon, for it
// may lack topics whose partitions lie here. It is in the log, or was truncated, and then it was never committed.
type known struct {
	index atomic.Uint64 // 0: the image has it
}

// exists tells whether dir was founded. Snapshots without raft.db are no empty directory but a damaged one.
func exists(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, dbFile)); err == nil {
		return true, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	snapshots, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(snapshots) > 0 {
		return false, fmt.Errorf("controller directory %s holds snapshots, but %s is gone", dir, dbFile)
	}
	return false, nil
}

// openStorage opens what found has made and reads the newest snapshot. A damaged snapshot is an error: an older one would need log
// entries that are compacted away.
func openStorage(dir string, l *raftLogger) (_ *storage, err error) {
	db, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, dbFile), BoltOptions: boltOptions()})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use by another process", filepath.Join(dir, dbFile))
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Join(dir, dbFile), err)
	}
	defer func() {
		if err != nil {
			db.Close()
		}
	}()
	s := &storage{db: db}
	server, err := db.Get(keyServerID)
	if err != nil {
		return nil, fmt.Errorf("controller's server id: %w", err)
	}
	s.server = raft.ServerID(server)
	if err := dropUnfinished(dir); err != nil {
		return nil, err
	}
	if s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, 1, l); err != nil {
		return nil, fmt.Errorf("controller snapshots: %w", err)
	}
	at, err := s.readSnapshot()
	if err != nil {
		return nil, err
	}
	return s, s.scanLog(at)
}

// dropUnfinished removes the snapshots that a crash has left half written; the library ignores them but keeps them for ever.
func dropUnfinished(dir string) error {
	unfinished, err := filepath.Glob(filepath.Join(dir, snapshotDir, "*.tmp"))
	if err != nil {
		return err
	}
	for _, path := range unfinished {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("unfinished snapshot: %w", err)
		}
	}
	return nil
}

// readSnapshot loads the newest snapshot's image and returns the log index up to which it reaches.
func (s *storage) readSnapshot() (uint64, error) {
	s.image = &Image{}
	metas, err := s.snapshots.List()
	if err != nil || len(metas) == 0 {
		return 0, err
	}
	meta, r, err := s.snapshots.Open(metas[0].ID) // verifies the checksum
	if err != nil {
		return 0, fmt.Errorf("controller snapshot %s: %w", metas[0].ID, err)
	}
	defer r.Close()
	if s.image, err = readSnapshot(r); err != nil {
		return 0, fmt.Errorf("snapshot %s: %w", meta.ID, err)
	}
	return meta.Index, nil
}

// scanLog finds the last command and checks that the log continues the snapshot, which Raft would meet with a panic.
func (s *storage) scanLog(snapshot uint64) error {
	first, err := s.db.FirstIndex()
	if err != nil {
		return fmt.Errorf("controller log: %w", err)
	}
	if first > snapshot+1 {
		return fmt.Errorf("controller log begins at index %d, but the newest snapshot ends at %d", first, snapshot)
	}
	last, err := s.db.LastIndex()
	if err != nil {
		return fmt.Errorf("controller log: %w", err)
	}
	at, err := lastCommand(s.db, max(first, snapshot+1), last)
	s.known.index.Store(at)
	return err
}

// lastCommand is the index of the last command from first to last; 0: there is none.
func lastCommand(db *raftboltdb.BoltStore, first, last uint64) (uint64, error) {
	for i := last; i >= first && i > 0; i-- {
		var l raft.Log
		if err := db.GetLog(i, &l); err != nil {
			return 0, fmt.Errorf("controller log at index %d: %w", i, err)
		}
		if l.Type == raft.LogCommand {
			return i, nil
		}
	}
	return 0, nil
}

// logStore follows what becomes of the last command that was known.
type logStore struct {
	*raftboltdb.BoltStore
	known *known
}

// DeleteRange truncates or compacts the log. What is compacted is in an image.
func (s logStore) DeleteRange(from, to uint64) error {
	if err := s.BoltStore.DeleteRange(from, to); err != nil {
		return err
	}
	at := s.known.index.Load()
	if at < from || at > to {
		return nil
	}
	first, err := s.FirstIndex()
	if err != nil {
		return err
	}
	if at, err = lastCommand(s.BoltStore, first, from-1); err != nil || first == 0 {
		at = 0
	}
	s.known.index.Store(at)
	return err
}

// splitServerID is the reverse of serverID.
func splitServerID(id raft.ServerID) (broker int32, incarnation string, err error) {
	before, incarnation, ok := strings.Cut(string(id), "-")
	n, err := strconv.ParseInt(before, 10, 32)
	if err != nil || !ok || n < 0 {
		return 0, "", fmt.Errorf("server id %q is damaged", id)
	}
	return int32(n), incarnation, nil
}
