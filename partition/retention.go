package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// retainAtOnce is how many partitions are seen to side by side: where something goes, they mostly wait for the disk.
	retainAtOnce = 16
	// trimTime bounds the wait for a trim that nobody confirms. Retention asks again.
	trimTime = 5 * time.Second
)

// Retain does what retention asks for, in all partitions: the leader moves the log start offset, and every replica begins
// segments that are due and removes those below the start. It does nothing where nothing is due, so it may be called often.
func (m *Manager) Retain(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(retainAtOnce)
	for _, p := range m.All() {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			err := p.retain(ctx)
			if err != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotLeader) {
				p.logger.Warn("retention", "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are logged: the next pass tries again
}

func (p *Partition) retain(ctx context.Context) error {
	if p.group == nil || p.fenced.Load() != nil {
		return nil // nothing is written to it
	}
	var err error
	if _, notHere := p.leads(-1); notHere == nil {
		start := p.log.RetainedFrom(*p.retention.Load(), Offset(p.high.Load()))
		if before := p.log.StartOffset(); start > before {
			err = p.trim(ctx, start)
			if err == nil {
				p.logger.Info("records expired", "from", before, "before", start)
			}
		}
	}
	return errors.Join(err, p.group.Maintain())
}

func (p *Partition) trim(ctx context.Context, start Offset) error {
	ctx, cancel := context.WithTimeout(ctx, trimTime)
	defer cancel()
	return p.group.Trim(ctx, start)
}

// BeforeHighWatermark as the offset of DeleteRecords means all that is committed.
const BeforeHighWatermark Offset = -1

// DeleteRecords moves the log start offset up to before and returns where the log starts then. It does nothing where the log
// starts there or later. ErrOffsetOutOfRange for an offset that is negative or above the high watermark; errors as Marks, and
// ErrUnknownOutcome when ctx ends first.
func (p *Partition) DeleteRecords(ctx context.Context, before Offset) (Offset, error) {
	m, err := p.Marks(-1)
	if err != nil {
		return 0, err
	}
	if before == BeforeHighWatermark {
		before = m.HighWatermark
	}
	switch {
	case p.group == nil:
		return 0, ErrDamaged
	case before < 0 || before > m.HighWatermark:
		return 0, fmt.Errorf("%w: %d, high watermark is %d", ErrOffsetOutOfRange, before, m.HighWatermark)
	case before > m.LogStart:
		if err := p.group.Trim(ctx, before); err != nil {
			return 0, fmt.Errorf("delete records of %s-%d: %w", p.topic, p.id.Partition, err)
		}
	}
	return p.log.StartOffset(), nil
}
