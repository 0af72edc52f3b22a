package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs"
)

const patience = 20 * time.Second

// eventually polls until ok, with a deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newBatch makes a batch of n records whose values hold size bytes of number.
func newBatch(t testing.TB, number uint64, n, size int) []byte {
	t.Helper()
	records := make([]batch.Record, n)
	for i := range records {
		value := binary.BigEndian.AppendUint64(nil, number)
		records[i] = batch.Record{Offset: batch.Offset(i), Timestamp: 1000, Value: append(value, make([]byte, size)...)}
	}
	b, err := (&batch.Builder{}).Build(records)
	must(t, err)
	return b
}

// machine is a Machine that notes what it is told and checks that the order holds.
type machine struct {
	t testing.TB

	mu      sync.Mutex
	end     segment.Offset
	index   segment.Index
	seen    []segment.Index // of batches, since it was restored
	mine    [][]byte        // Data that was not nil
	leads   bool
	epoch   segment.Term
	led     int // how often it began to lead
	fault   string
	ending  func()         // called at the end of a Commit
	restore segment.Offset // end of the restored state
}

func (m *machine) Commit(batches []Committed) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range batches {
		if c.Index <= m.index || c.Header.BaseOffset != m.end {
			m.fault = fmt.Sprintf("entry %d at offset %d after entry %d up to offset %d", c.Index, c.Header.BaseOffset, m.index, m.end)
		}
		if c.Header.LeaderEpoch != int32(c.Term) {
			m.fault = fmt.Sprintf("entry %d: epoch %d, term %d", c.Index, c.Header.LeaderEpoch, c.Term)
		}
		m.index, m.end = c.Index, c.Header.Next()
		m.seen = append(m.seen, c.Index)
		if c.Data != nil {
			m.mine = append(m.mine, c.Data)
		}
	}
	if m.ending != nil {
		m.ending()
	}
}

func (m *machine) Capture() ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := binary.BigEndian.AppendUint64(nil, uint64(m.index))
	return binary.BigEndian.AppendUint64(b, uint64(m.end)), nil
}

func (m *machine) Restore(state []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index, m.end, m.seen, m.mine = 0, 0, nil, nil
	if state == nil {
		return nil
	}
	if len(state) != 16 {
		return errors.New("bad state")
	}
	m.index, m.end = segment.Index(binary.BigEndian.Uint64(state)), segment.Offset(binary.BigEndian.Uint64(state[8:]))
	m.restore = m.end
	return nil
}

func (m *machine) Leading(leads bool, epoch segment.Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if leads == m.leads {
		m.fault = fmt.Sprintf("leads %v again in term %d", leads, epoch)
	}
	if m.leads, m.epoch = leads, epoch; leads {
		m.led++
	}
}

func (m *machine) leading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leads
}

// term is the newest in which it began, or ceased, to lead.
func (m *machine) term() segment.Term {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
}

func (m *machine) at() segment.Offset {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seen)
}

// ok fails the test if the machine was misused.
func (m *machine) ok() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != "" {
		m.t.Fatal(m.fault)
	}
}

// server is a broker of a test: a node with one group.
type server struct {
	t       testing.TB
	id      ServerID
	voters  []ServerID
	fs      vfs.FS
	dir     string // of the log, in fs
	votes   string // of votes.db
	net     *network
	timing  timing
	flusher *flush.Flusher
	log     segment.Options
	far     func(ServerID, segment.Index)
	broken  func(error)
	below   atomic.Uint64 // see forgetful

	node    *Node
	group   *Group
	machine *machine
}

var testGroup = GroupID{Topic: [16]byte{1, 2, 3}, Partition: 7}

// newServer makes a server that is not running.
func newServer(t testing.TB, id ServerID, voters ...ServerID) *server {
	return &server{t: t, id: id, voters: voters, fs: vfs.OS, dir: t.TempDir(), votes: t.TempDir(), timing: defaultTiming}
}

// open starts the server. On an error nothing runs.
func (s *server) open() error {
	o := NodeOptions{Dir: s.votes, Self: s.id}
	if testing.Verbose() {
		o.Logger = slog.New(slog.NewTextHandler(s.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})).With("server", s.id)
	}
	if s.net != nil {
		o.Transport = func(id GroupID) raft.Transport { return s.net.join(s.id, id) }
	}
	node, err := OpenNode(o)
	if err != nil {
		return err
	}
	node.timing = s.timing
	node.wrapLog = func(l *segment.Log) entryLog { return forgetful{l, &s.below} }
	group, m, err := s.openGroup(node, testGroup, s.dir)
	if err != nil {
		return errors.Join(err, node.Close())
	}
	s.node, s.group, s.machine = node, group, m
	return nil
}

func (s *server) openGroup(node *Node, id GroupID, dir string) (*Group, *machine, error) {
	so := s.log
	so.FS, so.Flusher = s.fs, s.flusher
	log, err := segment.Open(dir, so)
	if err != nil {
		return nil, nil, err
	}
	m := &machine{t: s.t}
	g, err := node.OpenGroup(GroupOptions{ID: id, Log: log, Voters: s.voters, Machine: m, FarBehind: s.far, Broken: s.broken})
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return g, m, nil
}

// start opens the server and has it closed with the test.
func (s *server) start() *server {
	s.t.Helper()
	must(s.t, s.open())
	s.t.Cleanup(s.stop)
	return s
}

// stop closes the server, if it runs.
func (s *server) stop() {
	if s.node == nil {
		return
	}
	if err := s.close(); err != nil {
		s.t.Errorf("close %s: %v", s.id, err)
	}
}

func (s *server) close() error {
	err := s.group.Close(s.t.Context())
	if s.t.Context().Err() != nil { // in a clean-up
		<-s.group.closed
		err = s.group.closeErr
	}
	if s.machine.leading() {
		s.t.Errorf("%s leads after it was closed", s.id)
	}
	s.machine.ok()
	err = errors.Join(err, s.node.Close())
	s.node = nil
	return err
}

func (s *server) awaitLead() *server {
	s.t.Helper()
	eventually(s.t, "lead of "+string(s.id), s.machine.leading)
	return s
}

// propose proposes a batch and returns a channel for its failure.
func (s *server) propose(b []byte) <-chan error {
	failed := make(chan error, 2)
	s.group.Propose(b, nil, func(err error) { failed <- err })
	return failed
}

// produce proposes batches and waits until this server has them committed.
func (s *server) produce(batches ...[]byte) {
	s.t.Helper()
	want := s.machine.at()
	for _, b := range batches {
		h, err := batch.ParseHeader(b)
		must(s.t, err)
		want += segment.Offset(h.NumRecords)
		s.propose(b)
	}
	s.awaitEnd(want)
}

func (s *server) awaitEnd(want segment.Offset) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s at offset %d", s.id, want), func() bool { return s.machine.at() >= want })
	s.machine.ok()
}

// content is the batches on disk.
func (s *server) content() []byte {
	s.t.Helper()
	names, err := s.fs.ReadDir(s.dir)
	must(s.t, err)
	var b bytes.Buffer
	for _, n := range names {
		if path.Ext(n.Name()) == ".log" {
			c, err := readAll(s.fs, path.Join(s.dir, n.Name()))
			must(s.t, err)
			b.Write(c)
		}
	}
	return b.Bytes()
}
