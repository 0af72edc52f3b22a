package controller

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/hashicorp/raft"
)

// fsm applies the log to the image. Raft calls it from one goroutine, the only one that publishes images.
//
// An entry that cannot be read stops it for good: later entries are refused and no snapshot is taken, so that a newer version
// of Quire can still read the log from there.
type fsm struct {
	images *publisher
	store  *storage
	log    *slog.Logger
	net    *network // told of what is committed

	stopped chan struct{} // closed when the fsm has stopped
	stopErr error         // why; written before stopped is closed, and never again
}

func newFSM(store *storage, net *network, log *slog.Logger) *fsm {
	return &fsm{images: newPublisher(store.image), store: store, net: net, log: log, stopped: make(chan struct{})}
}

// ApplyBatch publishes one image for the whole batch, before anybody waiting for one of its commands is answered.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	entries := make([]entry, 0, len(logs))
	for _, l := range logs {
		if l.Type != raft.LogCommand || f.stopErr != nil {
			continue
		}
		c, err := decodeCommand(l.Data)
		if err != nil {
			f.stop(fmt.Errorf("controller log stops at index %d: %w", l.Index, err))
			continue
		}
		entries = append(entries, entry{index: l.Index, command: c})
	}
	var results []result
	if len(entries) > 0 {
		var next *Image
		next, results = applyEntries(f.images.image(), entries)
		f.images.publish(next)
	}
	if n := len(logs); n > 0 {
		f.net.Committed(logs[n-1].Index)
	}
	responses := make([]any, len(logs))
	for i, l := range logs {
		switch {
		case l.Type != raft.LogCommand:
		case len(results) > 0:
			responses[i], results = results[0], results[1:]
		default:
			responses[i] = result{err: f.stopErr}
		}
	}
	return responses
}

// Apply is ApplyBatch of one.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

func (f *fsm) stop(err error) {
	f.stopErr = err
	close(f.stopped)
	f.log.Error("the cluster's metadata can no longer change on this broker", "error", err)
}

// Snapshot captures the image as of the last applied entry; the encoding is done in Persist, off the apply goroutine.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopErr != nil {
		return nil, f.stopErr
	}
	return imageSnapshot{f.images.image()}, nil
}

// Restore replaces the image by one that the leader sent.
func (f *fsm) Restore(r io.ReadCloser) error {
	i, err := readSnapshot(r)
	if err != nil {
		return err
	}
	f.images.publish(i)
	// The snapshot may end behind the last command that was known, without a command in that place.
	metas, err := f.store.snapshots.List()
	if err == nil && len(metas) > 0 && metas[0].Index >= f.store.known.index.Load() {
		f.store.known.index.Store(0)
	}
	return err
}

func readSnapshot(r io.Reader) (*Image, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSnapshotBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read controller snapshot: %w", err)
	}
	if len(b) > maxSnapshotBytes {
		return nil, fmt.Errorf("controller snapshot is larger than %d bytes", maxSnapshotBytes)
	}
	return decodeSnapshot(b)
}

type imageSnapshot struct{ image *Image }

func (s imageSnapshot) Persist(sink raft.SnapshotSink) error {
	b, err := encodeSnapshot(s.image)
	if err != nil {
		return err
	}
	if _, err := sink.Write(b); err != nil {
		return fmt.Errorf("write controller snapshot: %w", err)
	}
	return nil // Raft closes the sink, or cancels it after an error
}

func (imageSnapshot) Release() {}
