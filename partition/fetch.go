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

// Marks returns the offsets, if this replica leads and can be sure that no other does: ErrNotLeader, ErrFencedLeaderEpoch,
// ErrUnknownLeaderEpoch; ErrClosed, ErrDamaged.
func (p *Partition) Marks(e CurrentEpoch) (Marks, error) {
	epoch, err := p.leads(e)
	if err != nil {
		return Marks{}, err
	}
	m := p.marks(epoch)
	if p.group != nil && !p.group.Leased() { // asked last: this process may have been stopped for a while
		return Marks{}, fmt.Errorf("%w: no majority of the replicas has confirmed it of late", ErrNotLeader)
	}
	return m, nil
}

func (p *Partition) marks(epoch int32) Marks {
	high := Offset(p.high.Load())
	return Marks{LogStart: p.log.StartOffset(), HighWatermark: high, LastStable: high, Epoch: epoch}
}

// leads returns the leader epoch, if this replica leads in e.
func (p *Partition) leads(e CurrentEpoch) (int32, error) {
	role, epoch, err := p.inEpoch(e)
	if err == nil && role < 0 {
		err = ErrNotLeader
	}
	return epoch, err
}

// inEpoch returns the role and the newest leader epoch, if this replica leads or follows and e is that epoch. As in Kafka a wrong
// epoch is told before a wrong leader, since it says which of the two sides has to refresh its metadata.
func (p *Partition) inEpoch(e CurrentEpoch) (role int64, epoch int32, err error) {
	role = p.role.Load()
	epoch = int32(role)
	switch role {
	case roleClosed:
		err = ErrClosed
	case roleDamaged:
		err = ErrDamaged
	case roleFailed:
		err = errFailed
	case roleFollower:
		_, term := p.group.Leader()
		epoch = int32(term)
	}
	switch {
	case err != nil:
	case e >= 0 && int32(e) < epoch:
		err = fmt.Errorf("%w: sent %d, current is %d", ErrFencedLeaderEpoch, e, epoch)
	case e >= 0 && int32(e) > epoch:
		err = fmt.Errorf("%w: sent %d, current is %d", ErrUnknownLeaderEpoch, e, epoch)
	}
	return role, epoch, err
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
	return p.read(from, maxBytes, m)
}

func (p *Partition) read(from Offset, maxBytes int, m Marks) (segment.Chunk, Marks, error) {
	c, err := p.log.Read(from, m.HighWatermark, maxBytes)
	if err != nil {
		return segment.Chunk{}, m, p.readError(from, err)
	}
	if p.group != nil && len(p.group.Voters()) > 1 {
		c.Owner = (*reading)(p)
	}
	return c, m, nil
}

// reading is a partition as the owner of a chunk that is sent to a client. Where there are other replicas, who is sent damaged records
// gets none, and then those of another replica; where there is none, he is sent what there is, and finds out himself.
type reading Partition

// Damaged fences the replica.
func (r *reading) Damaged(err error) { r.group.Broken(err) }

// MarksAsFollower is Marks of a replica that leads or follows: the high watermark is the one that it knows, and needs no lease where
// it follows.
func (p *Partition) MarksAsFollower(e CurrentEpoch) (Marks, error) {
	role, epoch, err := p.inEpoch(e)
	if err != nil {
		return Marks{}, err
	}
	if role >= 0 {
		return p.Marks(e)
	}
	return p.marks(epoch), nil
}

// ReadAsFollower is Read for a consumer that reads from the nearest replica (KIP-392): up to the high watermark that this one knows.
// Errors as of Read, and ErrOffsetNotAvailable for an offset that this replica has but does not know to be committed; for one that it
// does not have at all ErrOffsetOutOfRange, with which clients turn to the leader. That it follows is no error.
func (p *Partition) ReadAsFollower(from Offset, maxBytes int, e CurrentEpoch) (segment.Chunk, Marks, error) {
	m, err := p.MarksAsFollower(e)
	if err != nil {
		return segment.Chunk{}, m, err
	}
	if from > m.HighWatermark && from <= p.log.EndOffset() {
		return segment.Chunk{}, m, fmt.Errorf("%w: %d, this replica knows all below %d to be committed", ErrOffsetNotAvailable, from, m.HighWatermark)
	}
	return p.read(from, maxBytes, m)
}

func (p *Partition) readError(from Offset, err error) error {
	switch {
	case errors.Is(err, segment.ErrClosed):
		err = ErrClosed
	case errors.Is(err, segment.ErrDamaged):
		if p.group != nil {
			p.group.Broken(err)
		}
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
