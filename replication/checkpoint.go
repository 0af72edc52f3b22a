package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// checkpointState is what a group keeps in segment.Checkpoint.State.
type checkpointState struct {
	configIndex segment.Index
	config      raft.Configuration
	machine     []byte
}

// A checkpoint state: version, index and length of the configuration, the configuration as the library encodes it, and the machine's
// state; big-endian. The checkpoint file has a checksum.
const (
	stateVersion = 1
	stateFixed   = 1 + 8 + 4
)

var errState = errors.New("bad checkpoint state")

func (s *checkpointState) encode() []byte {
	config := raft.EncodeConfiguration(s.config)
	b := make([]byte, 0, stateFixed+len(config)+len(s.machine))
	b = append(b, stateVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(s.configIndex))
	b = binary.BigEndian.AppendUint32(b, uint32(len(config)))
	b = append(b, config...)
	return append(b, s.machine...)
}

func decodeState(b []byte) (s checkpointState, err error) {
	if len(b) < stateFixed || b[0] != stateVersion {
		return s, fmt.Errorf("%w: %d bytes, version %d", errState, len(b), append(b, 0)[0])
	}
	s.configIndex = segment.Index(binary.BigEndian.Uint64(b[1:]))
	n := uint64(binary.BigEndian.Uint32(b[9:]))
	if n > uint64(len(b)-stateFixed) {
		return s, fmt.Errorf("%w: configuration of %d bytes, %d left", errState, n, len(b)-stateFixed)
	}
	if s.config, err = transport.DecodeConfiguration(b[stateFixed : stateFixed+n]); err != nil {
		return s, fmt.Errorf("%w: configuration: %w", errState, err)
	}
	s.machine = b[stateFixed+n:]
	return s, nil
}

// A checkpoint is taken when this much was committed since the one before, so that a restart reads no more.
const (
	checkpointBytes   = 8 << 20
	checkpointEntries = 4096
)

// snapshotStore shows the log's checkpoint to hashicorp/raft as its snapshot: index, term and configuration, no data. The
// library takes none itself.
type snapshotStore struct {
	g *Group
	// opening stands in for the checkpoint until NewRaft returns: see Group.replay.
	opening *raft.SnapshotMeta

	mu     sync.Mutex
	pinned []segment.Checkpoint // that other replicas are pulling, oldest first
}

// newest is the checkpoint that followers are to install: the newest, but the oldest one being pulled while there is one. A
// leader goes on from the checkpoint that it has last told a follower to install, so with the newest, a follower whose pull
// takes longer than the next checkpoint would pull for ever.
func (s *snapshotStore) newest() (segment.Checkpoint, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pinned) > 0 {
		return s.pinned[0], true
	}
	return s.g.log.Checkpoint()
}

// List is the newest checkpoint, if there is one.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	if s.opening != nil {
		return []*raft.SnapshotMeta{s.opening}, nil
	}
	c, ok := s.newest()
	if !ok {
		return nil, nil
	}
	state, err := decodeState(c.State)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{snapshotMeta(c.Index, c.Term, state.configIndex, state.config)}, nil
}

func snapshotMeta(i segment.Index, t segment.Term, ci segment.Index, c raft.Configuration) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: raft.SnapshotVersionMax, ID: fmt.Sprintf("%d-%d", t, i), Index: uint64(i), Term: uint64(t),
		Configuration: c, ConfigurationIndex: uint64(ci),
	}
}

// Open is what List lists, whatever id says.
func (s *snapshotStore) Open(string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	list, err := s.List()
	if err != nil || len(list) == 0 {
		return nil, nil, errors.Join(err, errors.New("there is no checkpoint"))
	}
	return list[0], io.NopCloser(bytes.NewReader(nil)), nil
}

// Create is called when a leader wants this replica to install its checkpoint. There is no data in it: the files must be
// pulled and the group opened on them. Until then the leader gets an error and asks again. Once they are here, there is
// nothing left to do, and it is told so: only that takes it past the entries that it cannot send.
//
// The library will take the configuration for the newest one and everything up to index for applied, so both must be so.
func (s *snapshotStore) Create(
	_ raft.SnapshotVersion, index, term uint64, _ raft.Configuration, configIndex uint64, _ raft.Transport,
) (raft.SnapshotSink, error) {
	i := segment.Index(index)
	var have raft.Log
	if s.g.store.GetLog(index, &have) != nil || have.Term != term {
		s.g.farBehind(i)
		return nil, fmt.Errorf("entries up to %d of term %d are to be pulled as files", index, term)
	}
	if applied := s.g.appliedIndex(); applied < i || s.g.members.newest.Load().index > segment.Index(configIndex) {
		return nil, fmt.Errorf("entries up to %d of term %d are here, but applied up to %d only, or the configuration is newer",
			index, term, applied)
	}
	return installed(fmt.Sprintf("%d-%d", term, index)), nil
}

// installed is the sink of a checkpoint that is here already.
type installed string

func (i installed) ID() string    { return string(i) }
func (i installed) Close() error  { return nil }
func (i installed) Cancel() error { return nil }

func (i installed) Write(p []byte) (int, error) {
	return 0, fmt.Errorf("checkpoint %s comes with %d bytes of data", string(i), len(p))
}

// Files lists the files up to the newest checkpoint for another replica to pull. They stay as they are, and followers are
// told to install this checkpoint or an older one, until release is called: not before the other replica has caught up.
func (g *Group) Files() (m Manifest, release func(), err error) {
	g.snapshots.mu.Lock()
	defer g.snapshots.mu.Unlock()
	c, ok := g.log.Checkpoint()
	if !ok {
		return m, nil, fmt.Errorf("group %s has no checkpoint yet", g)
	}
	files, drop, err := g.log.Manifest(c)
	if err != nil {
		return m, nil, fmt.Errorf("group %s: %w", g, err)
	}
	g.snapshots.pinned = append(g.snapshots.pinned, c)
	var once sync.Once
	return Manifest{Checkpoint: c, Files: files}, func() {
		once.Do(func() {
			drop()
			g.snapshots.unpin(c.Index)
		})
	}, nil
}

func (s *snapshotStore) unpin(i segment.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.pinned, func(c segment.Checkpoint) bool { return c.Index == i })
	s.pinned = slices.Delete(s.pinned, at, at+1)
}

// Checkpoint writes a checkpoint now, unless nothing was committed since the last one.
func (g *Group) Checkpoint() error {
	g.checkpointing.Lock()
	defer g.checkpointing.Unlock()
	if g.stopped {
		return ErrClosed
	}
	return g.writeCheckpoint()
}

// writeCheckpoint is called with checkpointing held, so that an older checkpoint never replaces a newer one.
func (g *Group) writeCheckpoint() error {
	old, _ := g.log.Checkpoint()
	if g.appliedIndex() <= old.Index {
		return nil
	}
	return g.replaceCheckpoint()
}

// fewEntries is how many entries without records a clean end leaves above the checkpoint. Each start adds one: the new leader's.
const fewEntries = 16

// finalCheckpoint is writeCheckpoint for a clean end. Where few entries were committed since the last one, and none of them with
// records, the next start reads them in less time than a checkpoint takes: a broker has thousands of partitions that
// nobody writes to.
func (g *Group) finalCheckpoint() error {
	old, _ := g.log.Checkpoint()
	g.applyMu.Lock()
	idle := g.end == old.End && g.log.StartOffset() == old.Start && g.applied-old.Index < fewEntries
	g.applyMu.Unlock()
	if idle {
		return nil
	}
	return g.writeCheckpoint()
}

// replaceCheckpoint is writeCheckpoint even where only the log start offset is another.
func (g *Group) replaceCheckpoint() error {
	c, err := g.capture()
	if err != nil {
		return fmt.Errorf("capture state at entry %d: %w", c.Index, err)
	}
	if err := g.log.WriteCheckpoint(c); err != nil {
		return fmt.Errorf("write checkpoint at entry %d: %w", c.Index, err)
	}
	return nil
}

// capture takes the applied state. It is at or below the commit index by construction.
func (g *Group) capture() (segment.Checkpoint, error) {
	g.applyMu.Lock()
	defer g.applyMu.Unlock()
	c := segment.Checkpoint{Index: g.applied, Term: g.appliedTerm, End: g.end, Start: g.log.StartOffset()}
	machine, err := g.machine.Capture()
	if err != nil {
		return c, err
	}
	m := g.members.committedAt(c.Index)
	state := checkpointState{configIndex: m.index, config: m.config, machine: machine}
	c.State = state.encode()
	g.sinceBytes, g.sinceEntries = 0, 0
	return c, nil
}
