package partition

import (
	"errors"
	"testing"
)

// Point 10: a leader without a lease answers nothing, neither what it has nor that it has nothing.
func TestNoLeaseNoAnswer(t *testing.T) {
	f := newFixture(t)
	f.write(t, 3)
	f.group.deposed.Store(true)
	if _, err := f.Marks(1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("marks: %v", err)
	}
	if _, _, err := f.Read(0, 1000, 1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := f.ReadAsFollower(0, 1000, 1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("read by a follower's rules, of a leader: %v", err)
	}
	if _, err := f.DeleteRecords(t.Context(), 1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("delete records: %v", err)
	}
	if epoch, leads := f.LeadsIn(); epoch != 1 || !leads {
		t.Errorf("leads in %d is %v: the role is not over", epoch, leads)
	}
	f.group.deposed.Store(false)
	if m, err := f.Marks(1); err != nil || m.HighWatermark != 3 {
		t.Errorf("with a lease again: %+v, %v", m, err)
	}
}

// KIP-392: a follower gives out what it knows to be committed.
func TestReadAsFollower(t *testing.T) {
	f := newFixture(t)
	f.write(t, 3)
	f.group.depose()
	f.group.term = 4 // the newest that it has heard of
	f.group.log.stored = append(f.group.log.stored, header(-1, -1, -1, 2))
	f.group.log.stored[len(f.group.log.stored)-1].BaseOffset = 3 // not committed, as far as it knows
	for _, c := range []struct {
		from  Offset
		epoch CurrentEpoch
		want  error
	}{
		{0, -1, nil}, {2, 4, nil}, {3, 4, nil}, {0, 3, ErrFencedLeaderEpoch}, {0, 5, ErrUnknownLeaderEpoch},
		{4, 4, ErrOffsetNotAvailable}, {5, 4, ErrOffsetNotAvailable}, {6, 4, ErrOffsetOutOfRange}, {-1, 4, ErrOffsetOutOfRange},
	} {
		chunk, m, err := f.ReadAsFollower(c.from, 1000, c.epoch)
		if !errors.Is(err, c.want) {
			t.Errorf("from %d in epoch %d: %v, want %v", c.from, c.epoch, err, c.want)
		}
		if err == nil && (m.HighWatermark != 3 || m.Epoch != 4 || (chunk.Len > 0) != (c.from < 3)) {
			t.Errorf("from %d: %d bytes, %+v", c.from, chunk.Len, m)
		}
	}
	if _, _, err := f.Read(0, 1000, -1); !errors.Is(err, ErrNotLeader) {
		t.Errorf("read as of a leader: %v", err)
	}
	_ = f.close(t.Context())
	if _, err := f.MarksAsFollower(-1); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
