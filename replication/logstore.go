package replication

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/batch"
)

// entryLog is what a logStore uses of a segment.Log.
type entryLog interface {
	Append(entries []segment.Entry, check bool) error
	TruncateAfter(last segment.Index) error
	ReadEntry(i segment.Index, headerOnly bool) (segment.Entry, error)
	LastIndex() segment.Index
	Term(i segment.Index) (segment.Term, error)
}

// logStore is hashicorp/raft's LogStore over the partition's log. A LogCommand is a record batch; the other types keep
// their number as Kind, and take no offset.
//
// What always holds: only Raft's main goroutine stores and truncates, so it owns entries and deliverable. Where this server
// leads, index and term are set and no replica has seen the entry yet, so Append may stamp it; elsewhere Append checks that
// the stamps come out equal.
type logStore struct {
	g       *Group
	log     entryLog
	members *members
	tail    tail

	// headerOnly makes GetLog answer with 61 bytes of a batch. Until NewRaft returns nobody looks at more.
	headerOnly atomic.Bool
	entries    []segment.Entry // of the call under way
	frames     []int           // bytes of the frames that they came in, see transport.Group
	// deliverable is the newest entry that Raft hands to the FSM when it is committed: a batch or a configuration.
	deliverable segment.Index
}

// FirstIndex is 0, "no entries", on purpose. The library asks only to age its oldest entry for a metric every 10 s, for which it
// would read that entry whole, in each group; and before a truncation of the front, which it is configured never to do.
func (s *logStore) FirstIndex() (uint64, error) { return 0, nil }

// LastIndex is the newest entry's index, 0 for an empty log.
func (s *logStore) LastIndex() (uint64, error) { return uint64(s.log.LastIndex()), nil }

// GetLog reads an entry. It returns exactly raft.ErrLogNotFound for one that the log no longer has or does not have yet, which makes
// the library send a checkpoint instead. The entry before the first is known by index and term.
func (s *logStore) GetLog(index uint64, out *raft.Log) error {
	i := segment.Index(index)
	e, ok := s.tail.get(i)
	if !ok {
		var err error
		e, err = s.log.ReadEntry(i, s.headerOnly.Load())
		if errors.Is(err, segment.ErrNotFound) {
			return s.stub(i, out)
		}
		if err == nil && e.Kind == segment.KindBatch && !s.headerOnly.Load() {
			if bad := batch.CheckCRC(e.Data); bad != nil {
				// It is given out nevertheless: the library ends the process where it cannot read what it is to apply, for which the header
				// does. A follower that is sent it refuses it.
				s.g.Broken(fmt.Errorf("%w: entry %d: %w", segment.ErrDamaged, i, bad))
			}
		}
		if err != nil {
			if errors.Is(err, segment.ErrDamaged) {
				s.g.Broken(err)
			}
			return fmt.Errorf("read entry %d: %w", i, err)
		}
	}
	*out = raft.Log{Index: index, Term: uint64(e.Term), Type: typeOf(e.Kind), Data: e.Data}
	return nil
}

// stubType is the type of an entry of which index and term are known only: the last one below the log's first. Raft asks for it to
// compare terms. Where it would send it, StoreLogs refuses it, and the next try sends a checkpoint.
const stubType raft.LogType = 0xff

func (s *logStore) stub(i segment.Index, out *raft.Log) error {
	term, err := s.log.Term(i)
	if err != nil {
		return raft.ErrLogNotFound
	}
	*out = raft.Log{Index: uint64(i), Term: uint64(term), Type: stubType}
	return nil
}

// StoreLog stores one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and returns when they are durable as the flusher's mode wants it. With one voter, that is the
// commit.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	<-s.g.started
	leads := s.g.leads(logs[0].Term)
	s.entries = s.entries[:0]
	for _, l := range logs {
		if l.Type == stubType {
			return fmt.Errorf("store entry %d: its sender knows index and term only", l.Index)
		}
		kind := kindOf(l)
		if err := checkEntry(kind, l.Data, leads); err != nil {
			return fmt.Errorf("store entry %d: %w", l.Index, err)
		}
		s.entries = append(s.entries, segment.Entry{
			Index: segment.Index(l.Index), Term: segment.Term(l.Term), Kind: kind, Data: l.Data,
		})
	}
	defer clear(s.entries) // Data is the caller's
	if leads {
		s.g.appending(logs[0])
	}
	if err := s.log.Append(s.entries, !leads); err != nil {
		err = fmt.Errorf("store entries %d to %d: %w", logs[0].Index, logs[len(logs)-1].Index, err)
		if leads {
			s.g.storeFailed(logs, err)
		}
		if failedForGood(err) && !errors.Is(err, segment.ErrClosed) {
			s.g.Broken(err)
		}
		return err
	}
	return s.stored(logs, leads)
}

// checkEntry refuses what must not be in the log. What a leader stores was checked when it came from its client.
func checkEntry(k segment.Kind, data []byte, leads bool) error {
	switch {
	case k == kindTrim:
		_, err := decodeTrim(data)
		return err
	case k == segment.KindBatch && !leads:
		return batch.CheckCRC(data)
	}
	return nil
}

func (s *logStore) stored(logs []*raft.Log, leads bool) error {
	before := s.deliverable
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			if err := s.members.add(segment.Index(l.Index), l.Data); err != nil {
				return err
			}
			s.g.changed()
		}
		if l.Type == raft.LogConfiguration || l.Type == raft.LogCommand {
			s.deliverable = segment.Index(l.Index)
		}
	}
	if err := s.g.markBootstrapped(); err != nil {
		return err
	}
	m := s.members.newest.Load()
	if !m.alone {
		s.frames = s.frames[:0]
		for _, l := range logs {
			s.frames = append(s.frames, len(l.Extensions))
		}
		s.tail.put(s.entries, s.frames)
	}
	if leads {
		s.g.storedAsLeader(logs, m.lone, before)
	}
	return nil
}

// DeleteRange removes a suffix of the log. The library is configured never to remove a prefix.
func (s *logStore) DeleteRange(from, to uint64) error {
	if last := s.log.LastIndex(); segment.Index(to) < last {
		return fmt.Errorf("remove entries %d to %d of %d: only a suffix can be removed", from, to, last)
	}
	if applied := s.g.appliedIndex(); segment.Index(from) <= applied {
		return fmt.Errorf("remove entries from %d: those up to %d are committed", from, applied)
	}
	after := segment.Index(from) - 1
	s.tail.truncateAfter(after)
	if err := s.log.TruncateAfter(after); err != nil {
		return fmt.Errorf("remove entries from %d: %w", from, err)
	}
	s.members.truncateAfter(after)
	s.deliverable = min(s.deliverable, after)
	s.g.changed()
	return nil
}
