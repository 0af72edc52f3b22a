package partition

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quirelog/quire/segment"
)

func starts(p *Partition) Offset {
	m, _ := p.Marks(-1)
	return m.LogStart
}

// An idle topic expires too, though its segment is the one that is appended to, and though its records say that they are of
// 1970; what is younger stays, and the start survives a restart.
func TestIdlePartitionExpires(t *testing.T) {
	dir, c := t.TempDir(), &clock{t: time.Now().Add(-time.Hour)}
	r := mustRig(t, rigOptions{dir: dir, now: c.now})
	s := voterSpec("orders", 1, 0)
	s.Config.Retention.Age = 10 * time.Minute
	p := openLeader(t, r, s)
	for range 3 {
		mustAppend(t, p, build(t, -1, 0, 2, "v"))
	}
	r.Retain(t.Context())
	if p.Size() == 0 || starts(p) != 0 {
		t.Fatalf("young records are gone: %d bytes, start %d", p.Size(), starts(p))
	}
	c.advance(11 * time.Minute)
	r.Retain(t.Context())
	if p.Size() != 0 || starts(p) != 6 {
		t.Fatalf("%d bytes are left, start %d", p.Size(), starts(p))
	}
	if _, _, err := p.Read(5, 100, -1); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("read of what is gone: %v", err)
	}
	mustClose(t, r)
	r = mustRig(t, rigOptions{dir: dir, now: c.now})
	defer mustClose(t, r)
	p = openLeader(t, r, s)
	if a := mustAppend(t, p, build(t, -1, 0, 1, "v")); a.Base != 6 || a.LogStart != 6 {
		t.Fatalf("appended at %+v", a)
	}
	p.Reconfigure(Config{Retention: segment.Retention{Bytes: -1}}) // changed while it runs
	r.Retain(t.Context())
	if starts(p) != 7 {
		t.Fatalf("start %d after retention by size", starts(p))
	}
}

func TestRetentionBySize(t *testing.T) {
	r := mustRig(t, rigOptions{dir: t.TempDir()})
	defer mustClose(t, r)
	s := voterSpec("orders", 1, 0)
	s.Config = Config{SegmentBytes: 1000, Retention: segment.Retention{Bytes: 3000}}
	p := openLeader(t, r, s)
	for i := range 40 {
		mustAppend(t, p, build(t, -1, 0, 1, fmt.Sprintf("%0200d", i)))
	}
	r.Retain(t.Context())
	if size := p.Size(); size < 3000 || size > 4000 {
		t.Fatalf("%d bytes are kept", size)
	}
	all, err := readAll(p, starts(p))
	if err != nil || len(all) != 40-int(starts(p)) {
		t.Fatalf("%d batches from %d, %v", len(all), starts(p), err)
	}
	m, _ := p.Marks(-1)
	if p.EpochAt(starts(p)-1) != -1 || p.EpochAt(starts(p)) != m.Epoch {
		t.Fatal("leader epochs are not those from the start on")
	}
}

func TestDeleteRecords(t *testing.T) {
	r := mustRig(t, rigOptions{dir: t.TempDir()})
	defer mustClose(t, r)
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	mustAppend(t, p, build(t, -1, 0, 10, "v"))
	for _, c := range []struct {
		before, low Offset
		err         error
	}{
		{4, 4, nil}, {2, 4, nil}, {11, 0, ErrOffsetOutOfRange}, {-2, 0, ErrOffsetOutOfRange}, {0, 4, nil},
		{BeforeHighWatermark, 10, nil}, {10, 10, nil},
	} {
		low, err := p.DeleteRecords(t.Context(), c.before)
		if low != c.low || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Fatalf("before %d: %d, %v; want %d, %v", c.before, low, err, c.low, c.err)
		}
	}
	r.Retain(t.Context())
	if p.Size() != 0 {
		t.Fatalf("%d bytes are left", p.Size())
	}
}
