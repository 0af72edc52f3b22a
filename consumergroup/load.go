package consumergroup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/segment/batch"
)

// loadPiece is what is read of the journal at a time.
const loadPiece = 1 << 20

// errDamaged is a journal that no second reading mends.
var errDamaged = errors.New("the journal is damaged")

// loader reads a journal partition from its beginning to the high watermark. The last entry of each key counts, so that a compacted
// journal and a whole one give the same groups.
type loader struct {
	c      *Coordinator
	logger *slog.Logger
	groups map[string]*group // both machines nil: only offsets, as yet
	// stored is the last entry of each classic group: one is restored, not each that there was.
	stored  map[string]*journal.GroupMetadata
	unknown map[int16]struct{} // types of records that were skipped
	records int
	err     error
}

// load is the groups of a journal partition. It fails with errDamaged, or with what the log's Read did.
func load(ctx context.Context, c *Coordinator, log Log, logger *slog.Logger) (*registry, error) {
	began := time.Now()
	l := loader{
		c: c, logger: logger, groups: map[string]*group{}, stored: map[string]*journal.GroupMetadata{}, unknown: map[int16]struct{}{},
	}
	for from := int64(0); ; {
		piece, err := log.Read(ctx, from, loadPiece)
		if err != nil {
			return nil, fmt.Errorf("read the journal at offset %d: %w", from, err)
		}
		if len(piece) == 0 {
			break
		}
		if from, err = l.batches(piece, from); err != nil {
			return nil, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	r := l.finish(time.Now())
	level := slog.LevelInfo
	if l.records == 0 {
		level = slog.LevelDebug
	}
	logger.Log(ctx, level, "group coordinator: journal loaded", "groups", len(r.groups), "records", l.records, "took", time.Since(began))
	return r, nil
}

// batches applies whole batches, and returns the offset after the last.
func (l *loader) batches(piece []byte, from int64) (int64, error) {
	for len(piece) > 0 {
		b, rest, err := batch.Split(piece)
		if err != nil {
			return 0, fmt.Errorf("at offset %d: %w", from, err)
		}
		h, err := batch.ParseHeader(b)
		if err != nil {
			return 0, fmt.Errorf("at offset %d: %w", from, err)
		}
		if int64(h.Next()) <= from {
			return 0, fmt.Errorf("at offset %d: a batch that ends at %d", from, h.Next())
		}
		if err := l.batch(b, &h); err != nil {
			return 0, fmt.Errorf("batch at offset %d: %w", h.BaseOffset, err)
		}
		from, piece = int64(h.Next()), rest
	}
	return from, nil
}

// batch applies one batch. What transactions committed is not known here.
func (l *loader) batch(b []byte, h *batch.Header) error {
	if h.Control() || h.Transactional() {
		return nil
	}
	if _, err := batch.Validate(b); err != nil {
		return err
	}
	if err := batch.Records(b, 0, l.record); err != nil {
		return err
	}
	return l.err
}

func (l *loader) record(r *batch.Record) bool {
	e, err := journal.Decode(r.Key, r.Value)
	switch {
	case errors.Is(err, journal.ErrUnknown):
		l.skip(r, err)
	case err != nil:
		l.err = fmt.Errorf("record at offset %d: %w", r.Offset, err)
		return false
	default:
		l.records++
		l.apply(e)
	}
	return true
}

// skip says once what type of records is skipped.
func (l *loader) skip(r *batch.Record, err error) {
	kind := int16(binary.BigEndian.Uint16(r.Key))
	if _, said := l.unknown[kind]; !said {
		l.unknown[kind] = struct{}{}
		l.logger.Warn("group coordinator: records of the journal that are not understood are skipped", "type", kind, "offset", r.Offset, "err", err)
	}
}

func (l *loader) apply(e journal.Entry) {
	switch e := e.(type) {
	case *journal.OffsetCommit:
		if g := l.group(e.Group, e.Value != nil); g != nil {
			g.offsets.Apply(e)
		}
	case *journal.GroupMetadata:
		if e.Value == nil {
			delete(l.stored, e.Group)
			return
		}
		l.group(e.Group, true)
		l.stored[e.Group] = e
	case *journal.ConsumerGroup:
		if e.Value != nil {
			l.consumer(e, true)
		} else if g := l.groups[e.Group]; g != nil {
			g.consumer = nil // the last entry that deletes a group
		}
	case *journal.Member:
		l.consumer(e, e.Value != nil)
	case *journal.Target:
		l.consumer(e, e.Value != nil)
	case *journal.TargetMember:
		l.consumer(e, e.Value != nil)
	case *journal.Current:
		l.consumer(e, e.Value != nil)
	case *journal.Regex:
		l.consumer(e, e.Value != nil)
	}
}

// consumer applies an entry of a consumer group, which is made for one that is no tombstone.
func (l *loader) consumer(e journal.Entry, create bool) {
	g := l.group(e.GroupID(), create)
	if g == nil || g.consumer == nil && !create {
		return
	}
	if g.consumer == nil {
		g.consumer = consumer.New(g.id, &l.c.o.Consumer)
	}
	g.consumer.Apply(e)
}

func (l *loader) group(id string, create bool) *group {
	g := l.groups[id]
	if g == nil && create {
		g = &group{id: id, place: -1}
		l.groups[id] = g
	}
	return g
}

// finish gives every group its machine, with sessions that begin now.
func (l *loader) finish(now time.Time) *registry {
	r := &registry{c: l.c, groups: l.groups, loaded: now}
	for id, g := range l.groups {
		stored := l.stored[id]
		switch {
		case g.consumer != nil:
			g.consumer.Loaded(now)
		case stored != nil:
			g.classic = classic.Restore(stored, &l.c.o.Classic, now)
		case g.offsets.Len() > 0:
			g.classic = classic.New(id, &l.c.o.Classic)
		default:
			delete(l.groups, id)
			continue
		}
		r.measure(g)
		r.timers.set(g, g.deadline())
	}
	l.c.groups.Add(int64(len(r.groups)))
	return r
}
