package segment

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// TestCrash loses power at every operation of scripts of appends, Raft's own entries, rolls, truncations, checkpoints and
// restarts; in every second script the log gives its file back after each step. In mode fsync every acknowledged entry must be there again; in mode os everything up to the last checkpoint;
// in both what is there must be a prefix of what was written, and the log must go on.
func TestCrash(t *testing.T) {
	for _, mode := range []flush.Mode{flush.Fsync, flush.OS} {
		for script := range uint64(2) {
			t.Run(fmt.Sprintf("mode%d/script%d", mode, script), func(t *testing.T) {
				for n := 0; ; n++ {
					if done := crashAt(t, mode, script, n); done {
						if n < 50 {
							t.Fatalf("the script has %d operations only", n)
						}
						return
					}
				}
			})
		}
	}
}

// crashOptions are those of a log on f; stop ends its flusher.
func crashOptions(t *testing.T, f *crashfs.FS, mode flush.Mode, script uint64) (o Options, stop func()) {
	o = Options{FS: f, SegmentBytes: 2000, IndexInterval: 500}
	if script%2 == 1 {
		o.Files = NewOpenFiles(1)
	}
	if mode == flush.Fsync {
		return o, func() {}
	}
	o.Flusher = flush.New(flush.Options{FS: f, Mode: mode})
	return o, func() { _ = o.Flusher.Close(t.Context()) }
}

func crashAt(t *testing.T, mode flush.Mode, script uint64, n int) (done bool) {
	f := crashfs.New()
	f.CrashAt(n)
	o, stop := crashOptions(t, f, mode, script)
	defer stop()
	m := runScript(t, o, script)
	if !f.Crashed() {
		return true
	}
	for seed := range uint64(2) {
		after := f.Recover(seed)
		if seed > 0 { // power is lost again, while the log recovers
			after.CrashAt(n % 9)
			o, stop := crashOptions(t, after, mode, script)
			if l, err := Open("data/log", o); err == nil {
				_ = l.Close()
			}
			stop()
			after = after.Recover(seed)
		}
		if err := goesOnAfter(t, after, mode, m, script); err != nil {
			t.Fatalf("crash at operation %d, outcome %d: %v", n, seed, err)
		}
	}
	return false
}

// runScript runs until it is through or power is lost.
func runScript(t *testing.T, o Options, script uint64) *model {
	m := &model{}
	rnd := rand.New(rand.NewPCG(script, 5))
	l, err := Open("data/log", o)
	for step := 0; err == nil && step < 18; step++ {
		if err = modelStep(t, l, m, rnd); err == nil && rnd.IntN(10) == 0 {
			if err = l.Close(); err == nil {
				l, err = Open("data/log", o)
			}
		}
	}
	if l != nil {
		_ = l.Close()
	}
	return m
}

func goesOnAfter(t *testing.T, f *crashfs.FS, mode flush.Mode, before *model, seed uint64) error {
	m := *before
	floor := m.floor
	if mode == flush.OS {
		floor = m.mark
	}
	o, stop := crashOptions(t, f, mode, seed)
	defer stop()
	l, err := Open("data/log", o)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := m.adopt(l, floor); err != nil {
		return err
	}
	return goOn(t, l, &m, rand.New(rand.NewPCG(seed, 9)))
}
