package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// A trim is a command of the group's own, beside record batches: it moves the log start offset up. It is an entry of the Raft log, so
// every replica moves it at the same place, and who was told of it finds it so after any crash and under any leader.
// To Raft it is a LogCommand, told from a record batch by its length; in the log it has a kind of its own, so that it takes no
// offset: a version byte and the offset, big-endian.
const (
	kindTrim    segment.Kind = 0x20
	trimVersion              = 1
	trimBytes                = 1 + 8
)

var errTrim = errors.New("bad trim command")

func isTrim(data []byte) bool { return len(data) < batch.HeaderSize }

func encodeTrim(start segment.Offset) []byte {
	return binary.BigEndian.AppendUint64([]byte{trimVersion}, uint64(start))
}

func decodeTrim(b []byte) (segment.Offset, error) {
	if len(b) != trimBytes || b[0] != trimVersion {
		return 0, fmt.Errorf("%w: %d bytes", errTrim, len(b))
	}
	return segment.Offset(binary.BigEndian.Uint64(b[1:])), nil
}

// kindOf is what an entry of Raft's is in the log.
func kindOf(l *raft.Log) segment.Kind {
	if l.Type == raft.LogCommand && isTrim(l.Data) {
		return kindTrim
	}
	return segment.Kind(l.Type)
}

// typeOf is what an entry of the log is to Raft.
func typeOf(k segment.Kind) raft.LogType {
	if k == kindTrim {
		return raft.LogCommand
	}
	return raft.LogType(k)
}

// Trim moves the log start offset up to start, which is at most what this server has seen committed. When it returns nil, that
// is committed and nobody reads below start here; the files go later, with Maintain. Errors as of Propose; when ctx ends
// first it may still happen: ErrUnknownOutcome.
func (g *Group) Trim(ctx context.Context, start segment.Offset) error {
	outcome := make(chan error, 1)
	g.propose(proposal{
		data: encodeTrim(start), failed: func(err error) { outcome <- err }, done: func() { outcome <- nil },
	})
	select {
	case err := <-outcome:
		if err != nil {
			return fmt.Errorf("trim to offset %d: %w", start, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("trim to offset %d: %w: %w", start, ErrUnknownOutcome, context.Cause(ctx))
	}
}

// trims are the trim commands of one commit.
type trims struct {
	start segment.Offset
	done  []func()
}

func (t *trims) add(data []byte, p proposal) error {
	start, err := decodeTrim(data)
	if err != nil {
		return err
	}
	t.start = max(t.start, start)
	if p.done != nil {
		t.done = append(t.done, p.done)
	}
	return nil
}

// trim moves the log start offset. applyMu is held, or nobody else knows the group yet.
func (g *Group) trim(t *trims) {
	g.log.RaiseStart(min(t.start, g.end))
	for _, done := range t.done {
		done()
	}
}

// Maintain begins a new segment where the one that is appended to is old enough, and removes the segments that lie below the
// log start offset, after a checkpoint that says so. It may be called often: it does nothing where nothing is due.
func (g *Group) Maintain() error {
	if err := g.log.RollIdle(); err != nil {
		return fmt.Errorf("group %s: %w", g, err)
	}
	if !g.log.Reclaimable() {
		return nil
	}
	g.checkpointing.Lock()
	defer g.checkpointing.Unlock()
	if g.stopped {
		return ErrClosed
	}
	c, ok := g.log.Checkpoint()
	if !ok || c.Start < g.log.StartOffset() || c.Index < g.appliedIndex() {
		if err := g.replaceCheckpoint(); err != nil {
			return err
		}
	}
	if err := g.log.Reclaim(); err != nil {
		return fmt.Errorf("group %s: %w", g, err)
	}
	return nil
}
