package partition

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// slowGroup is a group that takes until released to close.
type slowGroup struct {
	raftGroup
	released chan struct{}
}

func (g *slowGroup) Close(ctx context.Context) error {
	select {
	case <-g.released:
		return g.raftGroup.Close(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestDeleteWaitsForTheFiles deletes a partition that does not close in time: its files must stay in place as long as they
// are in use, or what is still written would end in the directory of a topic made again.
func TestDeleteWaitsForTheFiles(t *testing.T) {
	dir := t.TempDir()
	m := fakeManager(t, dir, newFakeStorage())
	s := spec("orders", 1, 0)
	p := mustOpen(t, m, s)
	slow := &slowGroup{p.group, make(chan struct{})}
	p.group = slow
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Delete(ended, s.ID); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "orders-0", "data")); err != nil {
		t.Fatalf("the files in use: %v", err)
	}
	if _, err := m.Open(spec("orders", 2, 0)); err == nil {
		t.Fatal("the place is in use and was given to another topic")
	}
	close(slow.released)
	if err := m.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); len(got) != 0 {
		t.Fatalf("left: %q", got)
	}
	if _, err := m.Open(spec("orders", 2, 0)); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
