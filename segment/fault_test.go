package segment

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// TestFaults fails every operation of a script once, with ENOSPC where something is written and with EIO where it is
// synced; once with a log that gives its file back after each step. Unless the log has failed, it goes on as if the failed call had not been made; after a reopen it goes on anyway.
func TestFaults(t *testing.T) {
	t.Run("busy", func(t *testing.T) { faultEverywhere(t, Options{SegmentBytes: 2000}) })
	t.Run("idle", func(t *testing.T) { faultEverywhere(t, Options{SegmentBytes: 2000, Files: NewOpenFiles(1)}) })
}

func faultEverywhere(t *testing.T, o Options) {
	for n := 0; ; n++ {
		if done := faultAt(t, o, n); done {
			if n < 80 {
				t.Fatalf("the script has %d operations only", n)
			}
			return
		}
	}
}

func faultAt(t *testing.T, o Options, n int) (done bool) {
	ops, failed := 0, ""
	f := crashfs.New()
	f.SetHook(func(op crashfs.Op, _ string) error {
		if ops++; ops-1 != n {
			return nil
		}
		failed = string(op)
		switch op {
		case crashfs.OpSync, crashfs.OpSyncDir:
			return syscall.EIO
		case crashfs.OpWrite:
			return &crashfs.PartialWrite{N: 100, Err: syscall.ENOSPC}
		}
		return syscall.ENOSPC
	})
	o.FS = f
	dir := "data/log"
	rnd := rand.New(rand.NewPCG(7, 7))
	m := &model{}
	l, err := Open(dir, o)
	if err != nil && failed == "" {
		t.Fatal(err)
	}
	for step := 0; err == nil && failed == "" && step < 25; step++ {
		err = modelStep(t, l, m, rnd)
	}
	if failed == "" {
		_ = l.Close()
		return true
	}
	if l != nil && !errors.Is(err, ErrFailed) {
		m.pending = nil // a call that failed without failing the log left nothing
		if err := goOn(t, l, m, rnd); err != nil {
			t.Fatalf("operation %d (%s): the log does not go on: %v", n, failed, err)
		}
	}
	if l != nil {
		_ = l.Close()
	}
	l = openLog(t, dir, o)
	if err := m.adopt(l, m.floor); err != nil {
		t.Fatalf("operation %d (%s): reopened: %v", n, failed, err)
	}
	if err := goOn(t, l, m, rnd); err != nil {
		t.Fatalf("operation %d (%s): reopened, then: %v", n, failed, err)
	}
	_ = l.Close()
	return false
}

func goOn(t *testing.T, l *Log, m *model, rnd *rand.Rand) error {
	if err := m.check(l); err != nil {
		return err
	}
	for range 5 {
		if err := modelStep(t, l, m, rnd); err != nil {
			return err
		}
	}
	if err := m.check(l); err != nil {
		return fmt.Errorf("and after more steps: %w", err)
	}
	return nil
}
