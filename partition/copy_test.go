package partition

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
)

// Point 2: a replica whose entries its leader has removed gets the files by itself, and is opened on them; whoever had the old Partition is
// told that it is closed. What it promised it has not forgotten, and it takes part again.
func TestFarBehindReplicaIsCopied(t *testing.T) {
	c := newTrio(t)
	for _, b := range c.brokers {
		b.open()
	}
	lead := c.elect(c.brokers[0])
	c.produce(lead, 10)
	c.agree(lead)
	behind := c.brokers[2]
	behind.stop()
	c.produce(lead, 40)
	m, _ := lead.Marks(-1)
	if _, err := lead.DeleteRecords(t.Context(), m.HighWatermark-50); err != nil {
		t.Fatal(err)
	}
	for _, b := range c.brokers[:2] {
		b.Retain(t.Context())
	}
	if first := lead.Group().Status().LastIndex; first < 50 {
		t.Fatalf("the log ends at entry %d", first)
	}
	behind.start()
	old := behind.open()
	w := NewWaiter()
	old.Watch(w)
	old.Reconfigure(Config{SegmentBytes: 8 << 10, MinInsync: 2})
	eventually(t, "another partition in the place", func() bool { return behind.replica() != old })
	<-w.C()
	if _, err := old.MarksAsFollower(-1); !errors.Is(err, ErrClosed) {
		t.Fatalf("the old one: %v", err)
	}
	if cfg := behind.replica().config.Load(); cfg.MinInsync != 2 {
		t.Fatalf("the new one has the configuration %+v", cfg)
	}
	c.produce(lead, 3)
	c.agree(lead)
	if behind.ByID(old.ID()) != behind.replica() {
		t.Fatal("found by id and by place are not the same")
	}
	// It counts: with the other follower gone, the two make up a majority, and it can lead.
	c.brokers[1].stop()
	c.produce(lead, 2)
	if err := lead.Group().Transfer(t.Context(), behind.id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "lead of the copy", func() bool { _, err := behind.replica().Marks(-1); return err == nil })
	c.produce(behind.replica(), 2)
	c.agree(behind.replica())
}

// A copy that is under way leaves off when its partition is deleted, or the broker is stopped; nothing of it is left.
func TestCopyYields(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *Manager, ID) error{
		"deleted": func(t *testing.T, m *Manager, id ID) error { return m.Delete(t.Context(), id) },
		"closed":  func(t *testing.T, m *Manager, _ ID) error { return m.Close(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := fakeManager(t, dir, newFakeStorage())
			p := mustOpen(t, m, spec("orders", 1, 0))
			from := hanging{begun: make(chan struct{}), ended: make(chan struct{})}
			m.o.Source = func(replication.ServerID, ID) replication.Source { return from }
			m.farBehind(p.id, "2-a")
			m.farBehind(p.id, "2-a") // is under way
			<-from.begun
			if err := end(t, m, p.id); err != nil {
				t.Fatal(err)
			}
			<-from.ended
			if name == "deleted" {
				wantNames(t, dir)
				if err := m.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// hanging is a source that answers when it is no longer waited for.
type hanging struct{ begun, ended chan struct{} }

func (h hanging) Manifest(ctx context.Context) (replication.Manifest, error) {
	close(h.begun)
	<-ctx.Done()
	close(h.ended)
	return replication.Manifest{}, ctx.Err()
}

func (h hanging) ReadAt(context.Context, string, []byte, int64) (int, error) {
	return 0, errors.New("never asked for")
}

// All copies together keep to the rate, and what was not used of it in a quiet time is not made up for.
func TestCopiesKeepToTheRate(t *testing.T) {
	c := copies{rate: 1000}
	now := time.Unix(1_700_000_000, 0)
	for i, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		if got := c.reserve(1000, now); got != want {
			t.Errorf("read %d waits %v, want %v", i, got, want)
		}
	}
	if got := c.reserve(500, now.Add(time.Hour)); got != 500*time.Millisecond {
		t.Errorf("after an hour: %v", got)
	}
}
