package partition

import (
	"errors"
	"fmt"

	"github.com/quirelog/quire/segment"
)

// Marks are a replica's offsets at one moment. LastStable is the high watermark: there are no transactions, so nothing committed
// waits for its marker.
type Marks struct {
	LogStart      Offset
	HighWatermark Offset
	LastStable    Offset
	Epoch         int32 // leader epoch
}

// CurrentEpoch is what a request says the leader epoch is (KIP-320); -1: it does not say.
type CurrentEpoch int32

// Marks returns the offsets, if this replica leads: ErrNotLeader, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch; ErrClosed, ErrDamaged.
func (p *Partition) Marks(e CurrentEpoch) (Marks, error) {
	epoch, err := p.leads(e)
	if err != nil {
		return Marks{}, err
	}
	high := Offset(p.high.Load())
	return Marks{LogStart: p.log.StartOffset(), HighWatermark: high, LastStable: high, Epoch: epoch}, nil
}

// leads returns the leader epoch, if this replica leads in e. As in Kafka a wrong epoch is told before a wrong leader, since it
// says which of the two sides has to refresh its metadata.
func (p *Partition) leads(e CurrentEpoch) (int32, error) {
	role := p.role.Load()
	epoch := int32(role)
	switch role {
	case roleClosed:
		return 0, ErrClosed
	case roleDamaged:
		return 0, ErrDamaged
	case roleFailed:
		return 0, errFailed
	case roleFollower:
		_, term := p.group.Leader()
		epoch = int32(term)
	}
	switch {
	case e >= 0 && int32(e) < epoch:
		return 0, fmt.Errorf("%w: sent %d, current is %d", ErrFencedLeaderEpoch, e, epoch)
	case e >= 0 && int32(e) > epoch:
		return 0, fmt.Errorf("%w: sent %d, current is %d", ErrUnknownLeaderEpoch, e, epoch)
	case role < 0:
		return 0, ErrNotLeader
	}
	return epoch, nil
}

// Read returns whole batches from the one that holds from on, below the high watermark: up to maxBytes, but one batch at
// least. The chunk must be closed; it is empty where from lies between the high watermark and the log's end. Errors as Marks and
// ErrOffsetOutOfRange, with which the marks are still valid.
func (p *Partition) Read(from Offset, maxBytes int, e CurrentEpoch) (segment.Chunk, Marks, error) {
	m, err := p.Marks(e)
	if err != nil {
		return segment.Chunk{}, m, err
	}
	if from > m.HighWatermark && from <= p.log.EndOffset() {
		return segment.Chunk{Base: from}, m, nil // it will exist as soon as it is committed
	}
	c, err := p.log.Read(from, m.HighWatermark, maxBytes)
	if err != nil {
		return segment.Chunk{}, m, p.readError(from, err)
	}
	return c, m, nil
}

// MarksAsFollower is Marks of a replica that leads or follows: the high watermark as it knows it, and the newest epoch that it knows of.
func (p *Partition) MarksAsFollower(e CurrentEpoch) (Marks, error) { return p.Marks(e) }

// ReadAsFollower is Read for a consumer that reads from the nearest replica (KIP-392): up to the high watermark that this one knows.
// ErrOffsetNotAvailable for an offset above that which may exist.
func (p *Partition) ReadAsFollower(from Offset, maxBytes int, e CurrentEpoch) (segment.Chunk, Marks, error) {
	return p.Read(from, maxBytes, e)
}

func (p *Partition) readError(from Offset, err error) error {
	switch {
	case errors.Is(err, segment.ErrClosed):
		err = ErrClosed
	case errors.Is(err, segment.ErrDamaged):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("read %s-%d from offset %d: %w", p.topic, p.id.Partition, from, err)
}

// Available is about how many bytes lie from from to the high watermark.
func (p *Partition) Available(from Offset) int64 {
	high := Offset(p.high.Load())
	if from >= high {
		return 0
	}
	return p.log.BytesBetween(from, high)
}

// OffsetForTimestamp finds the first record below the high watermark whose timestamp is at or above ts (ms since the
// epoch). found is false when there is none.
func (p *Partition) OffsetForTimestamp(ts int64) (segment.TimestampOffset, bool, error) {
	return p.log.OffsetForTimestamp(ts, Offset(p.high.Load()))
}

// MaxTimestamp finds the record with the largest timestamp below the high watermark, the first of equal ones.
func (p *Partition) MaxTimestamp() (segment.TimestampOffset, bool, error) {
	return p.log.MaxTimestamp(Offset(p.high.Load()))
}
