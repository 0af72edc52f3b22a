package broker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quirelog/quire/consumergroup"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/segment/batch"
)

// journalLog is a partition of the journal in one leadership: when that ends, appends and reads fail, even where this broker leads again.
type journalLog struct {
	p     *partition.Partition
	epoch partition.CurrentEpoch
}

var _ consumergroup.Log = (*journalLog)(nil)

// Leads says whether the partition is led here, in the same epoch.
func (l *journalLog) Leads() bool {
	_, err := l.p.Marks(l.epoch)
	return err == nil
}

// Append returns when the batch is committed.
func (l *journalLog) Append(ctx context.Context, data []byte) error {
	h, err := batch.Validate(data)
	if err != nil {
		return fmt.Errorf("journal batch: %w", err)
	}
	pending, err := l.p.AppendIn(ctx, data, h, partition.AcksAll, l.epoch)
	if err != nil {
		return err
	}
	_, err = pending.Wait(ctx)
	return err
}

// Read returns batches below the high watermark.
func (l *journalLog) Read(_ context.Context, from int64, maxBytes int) ([]byte, error) {
	chunk, marks, err := l.p.Read(partition.Offset(from), maxBytes, l.epoch)
	if errors.Is(err, partition.ErrOffsetOutOfRange) && partition.Offset(from) < marks.LogStart {
		chunk, _, err = l.p.Read(marks.LogStart, maxBytes, l.epoch)
	}
	if err != nil {
		return nil, err
	}
	defer chunk.Close()
	if chunk.Len == 0 {
		return nil, nil
	}
	data := make([]byte, chunk.Len)
	if n, err := chunk.ReadAt(data, 0); n < len(data) {
		return nil, fmt.Errorf("read journal at offset %d: %w", from, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return data, nil
}
