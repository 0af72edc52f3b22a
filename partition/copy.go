package partition

import (
	"context"
	"path"
	"sync"
	"time"

	"github.com/quirelog/quire/replication"
)

// A replica that needs entries which its leader no longer has one by one is copied from the leader: the files are pulled while it
// is still open, so that it can vote; then it is closed, the files change places, and it is opened again on them. To everybody
// else it is a new Partition in the old one's place.

const (
	// copiesAtOnce is how many replicas are copied side by side. They share Options.CopyRate.
	copiesAtOnce = 4
	defaultRate  = 64 << 20
	// reopenRetry is how long a replica that could not be opened on its new files is left alone.
	reopenRetry = time.Second
)

// keptNames are files in a partition's directory that are not the log's.
var keptNames = []string{metaName, metaTemp}

// job is what is to be done for a replica.
type job struct {
	id    ID
	fence bool // close a broken one; else copy it
}

// copies are the replicas to be copied, or to be closed since they are broken, and those that this is being done for. Its workers end
// when there is nothing to do.
type copies struct {
	ctx    context.Context // ends with the manager: the copies' own life, nobody's request
	cancel context.CancelFunc
	wg     sync.WaitGroup
	rate   int64

	mu      sync.Mutex
	known   map[job]bool // queued, or under way
	queue   []func()
	workers int
	free    time.Time // when what was read so far is paid for
}

func (c *copies) start(rate int64) {
	if rate <= 0 {
		rate = defaultRate
	}
	c.rate, c.known = rate, map[job]bool{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
}

// stop breaks off what is under way and waits until nothing is left of it.
func (c *copies) stop() {
	c.mu.Lock()
	c.queue = nil
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// add has a job done, unless that is to be done already. It does not wait.
func (c *copies) add(j job, do func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[j] || c.ctx.Err() != nil {
		return
	}
	c.known[j] = true
	c.queue = append(c.queue, func() {
		do(c.ctx)
		c.mu.Lock()
		delete(c.known, j)
		c.mu.Unlock()
	})
	if c.workers < copiesAtOnce {
		c.workers++
		c.wg.Go(c.work)
	}
}

func (c *copies) work() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.workers--
			c.mu.Unlock()
			return
		}
		do := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		do()
	}
}

// reserve says how long to wait for n bytes more.
func (c *copies) reserve(n int, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.free.Before(now) {
		c.free = now
	}
	c.free = c.free.Add(time.Duration(float64(n) / float64(c.rate) * float64(time.Second)))
	return c.free.Sub(now)
}

// pay waits until n more bytes may be read.
func (c *copies) pay(ctx context.Context, n int) error {
	t := time.NewTimer(c.reserve(n, time.Now()))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// throttled is a Source at the copies' rate.
type throttled struct {
	replication.Source
	c *copies
}

func (s throttled) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	n, err := s.Source.ReadAt(ctx, name, p, off)
	if err == nil {
		err = s.c.pay(ctx, n)
	}
	return n, err
}

// farBehind is called by Raft's main goroutine.
func (m *Manager) farBehind(id ID, leader replication.ServerID) {
	if m.o.Source == nil || leader == "" {
		return
	}
	m.copies.add(job{id, false}, func(ctx context.Context) {
		p := m.ByID(id)
		if p == nil {
			return
		}
		begun := time.Now()
		copied, err := m.copyReplica(ctx, p, m.o.Source(leader, id))
		switch {
		case err != nil && ctx.Err() == nil:
			p.logger.Warn("replica is far behind and could not be copied: it is tried again", "from", leader, "err", err)
		case copied:
			p.logger.Info("replica was far behind and has been copied", "from", leader, "took", time.Since(begun).Round(time.Millisecond))
		}
	})
}

// copyReplica gives p's place a copy of the source's log. false without an error: somebody else wants the place, or p is no longer there.
func (m *Manager) copyReplica(ctx context.Context, p *Partition, from replication.Source) (bool, error) {
	pulling, yield := context.WithCancel(ctx)
	defer yield()
	pl := place{p.topic, p.id.Partition}
	release, err := m.claim(pulling, pl, yield)
	if err != nil {
		return false, err
	}
	defer release()
	if m.ByID(p.id) != p || p.Damaged() {
		return false, nil
	}
	o := replication.InstallOptions{
		FS: m.o.FS, Dir: path.Join(m.o.Dir, pl.dir()), Source: throttled{from, &m.copies}, Keep: keptNames,
	}
	if err := replication.Pull(pulling, o); err != nil {
		if pulling.Err() != nil {
			err = nil // it is resumed when the leader asks again
		}
		return false, err
	}
	// From here on it is finished, whoever waits.
	if err := p.close(context.WithoutCancel(ctx)); err != nil {
		p.logger.Warn("replica did not close cleanly before its log was replaced", "err", err)
	}
	if err := replication.FinishPull(o); err != nil {
		p.logger.Error("cannot replace the log", "err", err) // opening finishes it, or finds the old one
	}
	return true, m.replace(pulling, pl, p)
}

// replace opens anew what lies at p's place, and tries again until it opens, or ctx ends and p stays there, closed.
func (m *Manager) replace(ctx context.Context, pl place, p *Partition) error {
	for {
		spec := p.spec
		spec.Config = *p.config.Load()
		next, err := m.open(pl, spec)
		if err == nil {
			m.know(pl, next)
			p.next.Store(next)
			next.Reconfigure(*p.config.Load())
			return nil
		}
		p.logger.Error("cannot open the replica again", "err", err, "retry_in", reopenRetry)
		t := time.NewTimer(reopenRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
	}
}
