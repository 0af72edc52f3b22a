package partition

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/vfs"
)

// fakeLog is a log of headers; reading it gives empty chunks of the right range.
type fakeLog struct {
	mu     sync.Mutex
	start  Offset
	stored []batch.Header
	closed bool
}

func (l *fakeLog) StartOffset() Offset { return l.start }

func (l *fakeLog) EndOffset() Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.stored); n > 0 {
		return l.stored[n-1].Next()
	}
	return l.start
}

func (l *fakeLog) Size() int64 { return l.BytesBetween(0, 1<<62) }

func (l *fakeLog) Read(from, limit Offset, maxBytes int) (segment.Chunk, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.start || from > limit {
		return segment.Chunk{}, segment.ErrOffsetOutOfRange
	}
	c := segment.Chunk{Base: from}
	for _, h := range l.stored {
		if h.Next() <= from || h.BaseOffset >= limit || c.Len > 0 && c.Len+h.Size() > maxBytes {
			continue
		}
		if c.Len == 0 {
			c.Base = h.BaseOffset
		}
		c.Len += h.Size()
	}
	return c, nil
}

func (l *fakeLog) BytesBetween(from, limit Offset) (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.stored {
		if h.BaseOffset >= from && h.BaseOffset < limit {
			n += int64(h.Size())
		}
	}
	return n
}

func (l *fakeLog) OffsetForTimestamp(int64, Offset) (segment.TimestampOffset, bool, error) {
	return segment.TimestampOffset{}, false, nil
}

func (l *fakeLog) MaxTimestamp(Offset) (segment.TimestampOffset, bool, error) {
	return segment.TimestampOffset{}, false, nil
}

func (l *fakeLog) Epochs() (e []segment.EpochStart) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.stored {
		if n := len(e); n == 0 || e[n-1].Epoch != h.LeaderEpoch {
			e = append(e, segment.EpochStart{Epoch: h.LeaderEpoch, Start: h.BaseOffset})
		}
	}
	return e
}

func (l *fakeLog) RetainedFrom(segment.Retention, Offset) Offset { return l.start }

func (l *fakeLog) Reconfigure(segment.Settings) {}

func (l *fakeLog) Close() error {
	l.closed = true
	return nil
}

// fakeGroup holds what is proposed until the test commits or fails it.
type fakeGroup struct {
	p       *Partition
	log     *fakeLog
	mu      sync.Mutex
	term    segment.Term
	headers map[*byte]batch.Header
	under   []fakeProposal
	refuse  error // of every proposal, at once

	deposed   atomic.Bool // it has no lease
	voters    int         // 0: 1
	inSync    atomic.Int32
	confirmed segment.Index
	broken    error
	index     segment.Index // of the newest committed batch
}

func (g *fakeGroup) Leased() bool { return !g.deposed.Load() }

func (g *fakeGroup) Voters() []replication.ServerID {
	return make([]replication.ServerID, max(1, g.voters))
}

func (g *fakeGroup) InSync(time.Time) []replication.ServerID {
	return make([]replication.ServerID, g.inSync.Load())
}

func (g *fakeGroup) Broken(err error) { g.broken = err }

func (g *fakeGroup) Confirmed(int) segment.Index {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.confirmed
}

type fakeProposal struct {
	data   []byte
	stored func(batch.Header)
	failed func(error)
}

func (g *fakeGroup) Propose(data []byte, stored func(batch.Header), failed func(error)) {
	if g.refuse != nil {
		failed(g.refuse)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under = append(g.under, fakeProposal{data, stored, failed})
}

func (g *fakeGroup) Trim(_ context.Context, start segment.Offset) error {
	g.log.start = start
	return g.refuse
}

func (g *fakeGroup) Maintain() error { return nil }

func (g *fakeGroup) Leader() (replication.ServerID, segment.Term) { return "1", g.term }

func (g *fakeGroup) Close(context.Context) error {
	g.fail(g.proposals(), ErrClosed)
	return g.log.Close()
}

func (g *fakeGroup) proposals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.under)
}

func (g *fakeGroup) shift(n int) []fakeProposal {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := slices.Clone(g.under[:n])
	g.under = g.under[n:]
	return taken
}

// commit commits the n oldest proposals. foreign: as another leader's, so that the proposer does not know them again.
func (g *fakeGroup) commit(n int, foreign bool) {
	var done []replication.Committed
	for _, pr := range g.shift(n) {
		g.mu.Lock()
		h := g.headers[&pr.data[0]]
		g.mu.Unlock()
		h.BaseOffset, h.LeaderEpoch = g.log.EndOffset(), int32(g.term)
		g.log.mu.Lock()
		g.log.stored = append(g.log.stored, h)
		g.log.mu.Unlock()
		g.index++
		c := replication.Committed{Index: g.index, Term: g.term, Header: h, Data: pr.data}
		if foreign {
			c.Data = nil
		}
		done = append(done, c)
	}
	(*machine)(g.p).Commit(done)
}

func (g *fakeGroup) fail(n int, err error) {
	for _, pr := range g.shift(n) {
		pr.failed(err)
	}
}

func (g *fakeGroup) lead(term segment.Term) {
	g.term = term
	(*machine)(g.p).Leading(true, term)
}

func (g *fakeGroup) depose() { (*machine)(g.p).Leading(false, g.term) }

// clock is the time of a test.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// freeFS has as much room as the test says.
type freeFS struct {
	vfs.FS
	free  uint64
	err   error
	asked int
}

func (f *freeFS) Free(string) (uint64, uint64, error) {
	f.asked++
	return f.free, 1 << 40, f.err
}

// fixture is a partition that leads in term 1 over a fake group.
type fixture struct {
	*Partition
	group *fakeGroup
	clock *clock
	disk  *freeFS
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: &clock{t: time.UnixMilli(1_700_000_000_000)}, disk: &freeFS{free: 1 << 30}}
	f.group = &fakeGroup{log: &fakeLog{}, headers: map[*byte]batch.Header{}}
	f.Partition = &Partition{
		topic: "t", log: f.group.log, group: f.group, self: "1", now: f.clock.now,
		disk:    &diskGuard{fs: f.disk, minFree: 1 << 20, logger: slog.New(slog.DiscardHandler)},
		applied: newProducers(24 * 3600 * 1000), overlay: overlay{},
	}
	f.role.Store(roleFollower)
	f.group.p = f.Partition
	f.group.lead(1)
	return f
}

// header of a batch of n records from sequence seq on; producer -1: not idempotent.
func header(producer int64, epoch int16, seq, n int32) batch.Header {
	return batch.Header{
		ProducerID: producer, ProducerEpoch: epoch, BaseSequence: seq, LastOffsetDelta: n - 1, NumRecords: n,
		Length: 88, Magic: 2, MaxTimestamp: 1000 + int64(seq),
	}
}

func (f *fixture) offer(ctx context.Context, h batch.Header, acks Acks) (*Pending, error) {
	data := make([]byte, h.Size())
	f.group.mu.Lock()
	f.group.headers[&data[0]] = h
	f.group.mu.Unlock()
	return f.Append(ctx, data, h, acks)
}

func (f *fixture) mustOffer(t *testing.T, h batch.Header) *Pending {
	t.Helper()
	pd, err := f.offer(t.Context(), h, AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	return pd
}

// settled returns the outcome of what must be settled by now.
func settled(t *testing.T, pd *Pending) (Appended, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return pd.Wait(ctx)
}

func wantBase(t *testing.T, pd *Pending, base Offset) {
	t.Helper()
	if a, err := settled(t, pd); err != nil || a.Base != base {
		t.Fatalf("appended at %d, %v; want %d", a.Base, err, base)
	}
}

// eventually polls cond, for what another goroutine does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
