package partition

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

func fenced(t *testing.T, only bool) (*Partition, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	h := header(-1, -1, -1, 4)
	h.LeaderEpoch = 3
	p := &Partition{
		topic: "t", log: &fakeLog{stored: []batch.Header{h}}, self: "1", logger: slog.New(slog.NewTextHandler(&out, nil)),
	}
	p.fence("segment 0: CRC is wrong at byte 4711", only)
	return p, &out
}

func TestOnlyReplicaDamagedIsReadOnly(t *testing.T) {
	p, out := fenced(t, true)
	if m, err := p.Marks(3); err != nil || m != (Marks{0, 4, 4, 3}) {
		t.Errorf("marks %+v, %v", m, err)
	}
	if c, _, err := p.Read(0, 1<<20, -1); err != nil || c.Len != 100 {
		t.Errorf("read %d bytes, %v", c.Len, err)
	}
	if _, err := p.Append(t.Context(), nil, header(-1, -1, -1, 1), AcksAll); !errors.Is(err, ErrDamaged) {
		t.Errorf("append: %v", err)
	}
	if leader, epoch := p.Leader(); leader != "1" || epoch != 3 {
		t.Errorf("leader %q, epoch %d", leader, epoch)
	}
	if !p.Damaged() || !strings.Contains(out.String(), "4711") {
		t.Errorf("damaged is %v, logged %q", p.Damaged(), out)
	}
	if err := p.close(t.Context()); err != nil || !p.log.(*fakeLog).closed {
		t.Errorf("close: %v", err)
	}
}

func TestDamagedAmongOthersServesNothing(t *testing.T) {
	p, _ := fenced(t, false)
	if _, _, err := p.Read(0, 1<<20, -1); !errors.Is(err, ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	if leader, epoch := p.Leader(); leader != "" || epoch != -1 {
		t.Errorf("leader %q, epoch %d", leader, epoch)
	}
}

func TestReadErrors(t *testing.T) {
	p, _ := fenced(t, true)
	for from, to := range map[error]error{
		segment.ErrClosed: ErrClosed, segment.ErrDamaged: ErrDamaged, segment.ErrOffsetOutOfRange: ErrOffsetOutOfRange,
	} {
		if err := p.readError(7, from); !errors.Is(err, to) {
			t.Errorf("%v became %v", from, err)
		}
	}
}

// TestFailedLogSaysSo fails a write and its repair: the partition is told as fenced from then on, not as led elsewhere.
func TestFailedLogSaysSo(t *testing.T) {
	fs, votes := crashfs.New(), t.TempDir()
	r := mustRig(t, rigOptions{fs: fs, dir: "data", votes: votes})
	p := openLeader(t, r, voterSpec("orders", 1, 0))
	mustAppend(t, p, build(t, 1, 0, 1, "x"))
	fs.SetHook(func(op crashfs.Op, _ string) error {
		if op == crashfs.OpWrite || op == crashfs.OpTruncate {
			return syscall.EIO
		}
		return nil
	})
	pd, err := appendBatch(p, build(t, 1, 1, 1, "y"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pd.Wait(t.Context()); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	fs.SetHook(nil)
	if _, err := appendBatch(p, build(t, 1, 1, 1, "y")); !errors.Is(err, ErrDamaged) {
		t.Fatalf("append: %v", err)
	}
	if _, err := p.Marks(-1); !errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotLeader) {
		t.Fatalf("marks: %v", err)
	}
	if leader, _ := p.Leader(); !p.Damaged() || leader != "" {
		t.Fatalf("damaged is %v, %q leads", p.Damaged(), leader)
	}
	_ = r.close()
	r = mustRig(t, rigOptions{fs: fs, dir: "data", votes: votes})
	defer mustClose(t, r)
	if a := mustAppend(t, openLeader(t, r, voterSpec("orders", 1, 0)), build(t, 1, 1, 1, "y")); a.Base != 1 {
		t.Fatalf("after a restart: %+v", a)
	}
}
