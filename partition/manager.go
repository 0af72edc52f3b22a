package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

// MinFreeBytes is how much of a disk is left to reading, deleting and Raft's own writes unless Options say otherwise.
const MinFreeBytes = 64 << 20

// Options of a Manager.
type Options struct {
	FS          vfs.FS // nil: the operating system
	Dir         string // the data directory: <dir>/<topic>-<partition>/
	Node        *replication.Node
	Flusher     *flush.Flusher
	OpenFiles   int              // files that partitions keep open for appending, in all (segment.OpenFiles); 0: one each
	Now         func() time.Time // nil: time.Now
	ProducerTTL time.Duration    // a producer idle this long is forgotten; 0: 24 h
	MinFree     uint64           // bytes free on the disk below which appends get ErrDiskFull; 0: MinFreeBytes
	Logger      *slog.Logger     // nil: discards

	// Source is where the replica of a partition on another broker is copied from; nil: there are no others.
	Source func(leader replication.ServerID, id ID) replication.Source
	// CopyRate bounds what is copied from other brokers, in bytes a second; 0: 64 MiB.
	CopyRate int64
	// Changed is told that a replica was opened, closed or fenced, that it begins or ceases to lead or to serve, or that its leader, term or
	// members have changed. It may be called by any goroutine, with locks held, and must not block or call back.
	Changed func(ID)
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ProducerTTL == 0 {
		o.ProducerTTL = 24 * time.Hour
	}
	if o.MinFree == 0 {
		o.MinFree = MinFreeBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func (o *Options) changed(id ID) {
	if o.Changed != nil {
		o.Changed(id)
	}
}

// closeAtOnce is how many partitions are closed side by side. They mostly wait for flush cycles, which they share.
const closeAtOnce = 64

// Spec says which partition to open.
type Spec struct {
	ID    ID
	Topic string
	// Voters are the founders of the partition, if this server is one of them; else nil: it joins a group that is there.
	Voters []replication.ServerID
	// Only: by the metadata nobody else has, or may have, a replica. If this one is damaged, what is left of it can be read.
	Only   bool
	Config Config
}

// place is the directory of a partition under the data directory, and its name among the open ones.
type place struct {
	topic     string
	partition int32
}

func (pl place) dir() string { return pl.topic + "-" + strconv.Itoa(int(pl.partition)) }

func (s Spec) place() (place, error) {
	if s.Topic == "" || s.Topic == "." || s.Topic == ".." || strings.ContainsAny(s.Topic, "/\\\x00") || s.ID.Partition < 0 {
		return place{}, fmt.Errorf("%q-%d cannot name a directory", s.Topic, s.ID.Partition)
	}
	return place{s.Topic, s.ID.Partition}, nil
}

// Manager opens, finds, closes and deletes the partitions of one broker.
//
// What always holds: byPlace and byID hold the same partitions, each completely open; a directory is opened, closed or
// deleted only by whoever has claimed its place. mu guards busy and closed and is held for moments only.
type Manager struct {
	o       Options
	storage storage
	disk    *diskGuard
	byPlace sync.Map // place → *Partition
	byID    sync.Map // ID → *Partition

	copies copies

	mu     sync.Mutex
	busy   map[place]*claimed
	closed bool
}

// claimed is a place at which somebody is at work.
type claimed struct {
	done chan struct{} // closed when the place is free again
	// yield asks whoever is at work to leave off; nil: there is no hurrying him.
	yield context.CancelFunc
}

// NewManager finishes deletions that a crash interrupted (directories named *.deleted) and opens nothing.
func NewManager(o Options) (*Manager, error) {
	o = o.withDefaults()
	st := &segmentStorage{o: o}
	if o.OpenFiles > 0 {
		st.files = segment.NewOpenFiles(o.OpenFiles)
	}
	return newManager(o, st)
}

func newManager(o Options, s storage) (*Manager, error) {
	m := &Manager{o: o, storage: s, busy: map[place]*claimed{}}
	m.copies.start(o.CopyRate)
	m.disk = &diskGuard{fs: o.FS, dir: o.Dir, minFree: o.MinFree, logger: o.Logger}
	if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	// What is promised to be durable in it is so only if its own name is.
	if err := o.FS.SyncDir(path.Dir(o.Dir)); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := m.finishDeletions(); err != nil {
		return nil, err
	}
	if s, ok := s.(*segmentStorage); ok {
		s.m = m
	}
	return m, nil
}

// claim waits until nobody else is at work at pl, and has a copy that is under way there leave off. The place is free again after
// release. yield, if any, is called when somebody else wants the place.
func (m *Manager) claim(ctx context.Context, pl place, yield context.CancelFunc) (release func(), err error) {
	for {
		m.mu.Lock()
		if m.closed {
			m.mu.Unlock()
			return nil, ErrClosed
		}
		taken := m.busy[pl]
		if taken == nil {
			mine := &claimed{make(chan struct{}), yield}
			m.busy[pl] = mine
			m.mu.Unlock()
			return func() { m.release(pl, mine) }, nil
		}
		m.mu.Unlock()
		if taken.yield != nil {
			taken.yield()
		}
		select {
		case <-taken.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (m *Manager) release(pl place, c *claimed) {
	m.mu.Lock()
	delete(m.busy, pl)
	m.mu.Unlock()
	close(c.done)
}

// Open opens a partition, making its directory if it is new; partition.meta in it carries the topic id. A directory of the
// same name with another id is a topic that was deleted meanwhile: it is deleted. A partition that is open already is returned
// as it is. Many may be opened side by side. It does not wait for the partition to lead.
func (m *Manager) Open(s Spec) (*Partition, error) {
	pl, err := s.place()
	if err != nil {
		return nil, fmt.Errorf("open partition: %w", err)
	}
	release, err := m.claim(context.Background(), pl, nil)
	if err != nil {
		return nil, err
	}
	defer release()
	if p := m.Get(pl.topic, pl.partition); p != nil {
		if p.id != s.ID {
			return nil, fmt.Errorf("open %s: topic id %x is still open there, not yet deleted", pl.dir(), p.id.Topic)
		}
		return p, nil
	}
	p, err := m.open(pl, s)
	if err != nil {
		return nil, fmt.Errorf("open partition %s: %w", pl.dir(), err)
	}
	m.know(pl, p)
	return p, nil
}

func (m *Manager) know(pl place, p *Partition) {
	m.byPlace.Store(pl, p)
	m.byID.Store(p.id, p)
	m.o.changed(p.id)
}

func (m *Manager) open(pl place, s Spec) (*Partition, error) {
	if err := m.prepareDir(pl, s.ID); err != nil {
		return nil, err
	}
	p := &Partition{
		id: s.ID, topic: s.Topic, spec: s, now: m.o.Now, disk: m.disk,
		logger:  m.o.Logger.With("topic", s.Topic, "partition", s.ID.Partition),
		applied: newProducers(m.o.ProducerTTL.Milliseconds()), overlay: overlay{},
	}
	p.configure(&s.Config)
	p.role.Store(roleFollower)
	dir := path.Join(m.o.Dir, pl.dir())
	if reason := ReadFence(m.o.FS, dir); reason != "" {
		p.fenced.Store(&reason)
	}
	if err := m.storage.open(p, dir, s); err != nil {
		return nil, err
	}
	return p, nil
}

// Get finds an open partition by topic name, ByID by topic id; nil if there is none.
func (m *Manager) Get(topic string, n int32) *Partition {
	p, _ := m.byPlace.Load(place{topic, n})
	found, _ := p.(*Partition)
	return found
}

// ByID finds an open partition by topic id; nil if there is none.
func (m *Manager) ByID(id ID) *Partition {
	p, _ := m.byID.Load(id)
	found, _ := p.(*Partition)
	return found
}

// All lists the open partitions.
func (m *Manager) All() []*Partition {
	var all []*Partition
	m.byID.Range(func(_, p any) bool {
		all = append(all, p.(*Partition))
		return true
	})
	return all
}

// DiskFull says why appends are refused now: ErrDiskFull, or nil. It measures at most once a second, and logs when a shortage
// begins and ends; so whoever wants that told in time calls it now and then, also while nothing is appended.
func (m *Manager) DiskFull() error { return m.disk.check(m.o.Now()) }

func (m *Manager) forget(p *Partition) {
	m.byPlace.Delete(place{p.topic, p.id.Partition})
	m.byID.Delete(p.id)
	m.o.changed(p.id)
}

// Close closes all partitions cleanly, side by side. Nothing can be opened afterwards.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	var under []chan struct{}
	for _, c := range m.busy {
		under = append(under, c.done)
	}
	m.mu.Unlock()
	m.copies.stop()
	for _, done := range under {
		<-done
	}
	var failures closeFailures
	var g errgroup.Group
	g.SetLimit(closeAtOnce)
	for _, p := range m.All() {
		g.Go(func() error {
			m.forget(p)
			if err := p.close(ctx); err != nil {
				failures.add(fmt.Errorf("close %s-%d: %w", p.topic, p.id.Partition, err))
			}
			return nil
		})
	}
	_ = g.Wait() // failures has them all, the group only the first
	return failures.join()
}

// closeFailures collects errors, of which there may be thousands with one cause: the first few and how many there are.
type closeFailures struct {
	mu    sync.Mutex
	first []error
	more  int
}

func (f *closeFailures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.first) < 3 {
		f.first = append(f.first, err)
		return
	}
	f.more++
}

func (f *closeFailures) join() error {
	if f.more > 0 {
		return fmt.Errorf("%w\nand %d more partitions", errors.Join(f.first...), f.more)
	}
	return errors.Join(f.first...)
}
