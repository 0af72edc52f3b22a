package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// damage flips a bit of the last record of a partition's first segment file.
func damage(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "orders-0", "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-100] ^= 1
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *trioBroker) fence(t *testing.T) Fence {
	t.Helper()
	all := b.Fenced()
	if len(all) != 1 {
		t.Fatalf("%s: fenced are %v", b.id, all)
	}
	return all[0]
}

// heal does what the keeper of replica sets does for a fenced replica.
func (c *trio) heal(t *testing.T, lead *Partition, b *trioBroker) {
	t.Helper()
	g, f := lead.Group(), b.fence(t)
	for _, step := range []func() error{
		func() error { return g.Remove(t.Context(), b.id) },
		func() error { return b.Reset(t.Context(), f.ID, f.Reason) },
		func() error { return g.AddLearner(t.Context(), b.id) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	c.agree(lead)
	if err := g.Promote(t.Context(), b.id); err != nil {
		t.Fatal(err)
	}
	if all := b.Fenced(); len(all) > 0 {
		t.Fatalf("fenced still: %v", all)
	}
	if err := b.Reset(t.Context(), f.ID, f.Reason); !errors.Is(err, ErrNotFenced) {
		t.Fatalf("a late reset: %v", err)
	}
}

// Point 13: a voter whose log is damaged or gone when it is opened is in no election and serves nothing, over restarts, until it has been taken out of
// the group; then it begins anew with nothing, and is given all.
func TestDamagedReplicaIsFencedAndHealed(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, string){
		"cut short": func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "orders-0", fmt.Sprintf("%020d.log", 0)), 1000); err != nil {
				t.Fatal(err)
			}
		},
		"lost": func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "orders-0")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTrio(t)
			for _, b := range c.brokers {
				b.open()
			}
			lead := c.elect(c.brokers[0])
			c.produce(lead, 10)
			c.agree(lead)
			sick := c.brokers[2]
			sick.stop()
			spoil(t, sick.dir)
			sick.start()
			p := sick.open()
			reason := sick.fence(t).Reason
			if _, _, err := p.ReadAsFollower(0, 1000, -1); !errors.Is(err, ErrDamaged) || p.Group() != nil || !p.Damaged() {
				t.Fatalf("a fenced replica reads: %v", err)
			}
			if leader, epoch := p.Leader(); leader != "" || epoch != -1 {
				t.Fatalf("a fenced replica says that %q leads in %d", leader, epoch)
			}
			sick.stop()
			sick.start()
			sick.open()
			if again := sick.fence(t).Reason; again != reason {
				t.Fatalf("the reason was %q and is %q", reason, again)
			}
			if err := sick.Reset(t.Context(), p.ID(), "another"); !errors.Is(err, ErrNotFenced) {
				t.Fatalf("reset for another reason: %v", err)
			}
			c.produce(lead, 2)
			c.heal(t, lead, sick)
			c.produce(lead, 2)
			c.agree(lead)
			sick.stop()
			sick.start()
			sick.open() // the founders in the spec do not make it found the group anew
			c.agree(lead)
		})
	}
}

// Records that were damaged on a leader's disk are not sent: whoever asked for them gets an error, the leader serves nothing any more and gives its
// leadership up, and he has them from another. The only replica sends what it has: it is the reader's CRC that tells him.
func TestDamagedRecordsAreNotSent(t *testing.T) {
	c := newTrio(t)
	for _, b := range c.brokers {
		b.open()
	}
	lead := c.elect(c.brokers[0])
	c.produce(lead, 3)
	c.agree(lead)
	damage(t, c.brokers[0].dir)
	var sent bytes.Buffer
	chunk, _, err := lead.Read(0, 1<<20, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer chunk.Close()
	if _, err := chunk.WriteTo(&sent); !errors.Is(err, ErrDamaged) && !errors.Is(err, segment.ErrDamaged) {
		t.Fatalf("%d bytes were sent, %v", sent.Len(), err)
	}
	if _, err := lead.Marks(-1); !errors.Is(err, ErrDamaged) {
		t.Fatalf("marks: %v", err)
	}
	if _, err := appendBatch(lead, build(t, -1, 0, 1, "x")); !errors.Is(err, ErrDamaged) {
		t.Fatalf("append: %v", err)
	}
	if reason := c.brokers[0].fence(t).Reason; !strings.Contains(reason, "CRC") {
		t.Fatalf("fenced for %q", reason)
	}
	eventually(t, "a closed group", func() bool { return c.brokers[0].node.Group(lead.ID()) == nil })
	next := c.elect(c.brokers[2])
	if got, err := followed(next, 0); err != nil || len(got) == 0 {
		t.Fatalf("another gives out %d bytes, %v", len(got), err)
	}
	c.heal(t, next, c.brokers[0])

	r := mustRig(t, rigOptions{dir: t.TempDir()})
	defer mustClose(t, r)
	alone := openLeader(t, r, voterSpec("orders", 1, 0))
	mustAppend(t, alone, build(t, -1, 0, 8, strings.Repeat("x", 100)))
	damage(t, r.o.Dir)
	only, _, err := alone.Read(0, 1<<20, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer only.Close()
	if n, err := only.WriteTo(&sent); err != nil || n != int64(only.Len) || alone.Damaged() {
		t.Fatalf("%d bytes of the only replica, %v", n, err)
	}
}

// TestResetIsAllOrNothing stops a reset at every step and starts anew: what is there then is the fenced replica, or an empty one that joins.
func TestResetIsAllOrNothing(t *testing.T) {
	for n, failed := 0, true; failed; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir, st := t.TempDir(), newFakeStorage()
			s := spec("orders", 1, 0)
			first := fakeManager(t, dir, st)
			mustOpen(t, first, s)
			if err := first.noteFence(filepath.Join(dir, "orders-0"), "a flipped bit"); err != nil {
				t.Fatal(err)
			}
			old := filepath.Join(dir, "orders-0", "old")
			if err := os.WriteFile(old, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			fsys := &faultFS{FS: vfs.OS, left: 1 << 30}
			m, err := newManager(Options{Dir: dir, FS: fsys}.withDefaults(), st)
			if err != nil {
				t.Fatal(err)
			}
			mustOpen(t, m, s)
			fsys.left = n
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what cannot be opened again is left to the next start
			err = m.Reset(ctx, s.ID, "a flipped bit")
			if failed = fsys.failed(); failed != (err != nil) {
				t.Fatalf("failed is %v, the error %v", failed, err)
			}
			m = fakeManager(t, dir, st)
			p := mustOpen(t, m, s)
			_, there := os.Stat(old)
			if fenced := p.fencedFor("a flipped bit"); fenced != (there == nil) {
				t.Fatalf("fenced is %v, the old files: %v", fenced, there)
			}
			if there != nil && len(st.joins) == 0 {
				t.Fatal("the old files are gone, and nothing says that it joins")
			}
			wantNames(t, dir, "orders-0")
		})
	}
}
