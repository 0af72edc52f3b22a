package partition

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/quirelog/quire/segment/batch"
)

const (
	// remembered is how many batches of a producer are known again when they are repeated, as in Kafka
	// (ProducerStateEntry.NUM_BATCHES_TO_RETAIN): idempotent clients keep at most five in flight.
	remembered = 5
	// maxProducers bounds the memory and the checkpoint of one partition. Of more producers the longest idle are forgotten.
	maxProducers = 16384
)

// sequence is what a batch says of its producer.
type sequence struct {
	producer    int64
	epoch       int16
	first, last int32
}

func sequenceOf(h *batch.Header) sequence {
	return sequence{h.ProducerID, h.ProducerEpoch, h.BaseSequence, advance(h.BaseSequence, h.LastOffsetDelta)}
}

// idempotent says whether the batch has a sequence at all.
func (q sequence) idempotent() bool { return q.producer > batch.NoProducer }

// advance is the sequence number delta after first. They wrap from 2^31-1 to 0.
func advance(first, delta int32) int32 {
	return int32((int64(first) + int64(delta)) & math.MaxInt32)
}

// written is a batch that a producer wrote, and the answer to it.
type written struct {
	first, last int32
	base        Offset
	timestamp   int64 // the batch's largest, ms since the epoch
	appendTime  bool  // timestamp was set by the broker
}

// producer is the applied state of one producer id. batches[:n] are its newest batches of this epoch, oldest first; n > 0.
type producer struct {
	epoch   int16
	n       int8
	seen    int64 // when the last batch was applied, ms since the epoch
	batches [remembered]written
}

func (pr *producer) newest() *written { return &pr.batches[pr.n-1] }

func (pr *producer) find(q sequence) *written {
	for i := range pr.batches[:pr.n] {
		if w := &pr.batches[i]; w.first == q.first && w.last == q.last {
			return w
		}
	}
	return nil
}

func (pr *producer) push(w written) {
	if pr.n == remembered {
		copy(pr.batches[:], pr.batches[1:])
		pr.n--
	}
	pr.batches[pr.n] = w
	pr.n++
}

// producers is the applied producer state of a partition: a pure function of the batches applied, of the times at which they
// were, and of the last sweep. A producer idle for ttl counts as unknown, whether it was swept away already or not.
type producers struct {
	byID  map[int64]*producer
	end   Offset // after the last batch applied
	ttl   int64  // ms
	limit int    // producers
}

func newProducers(ttl int64) producers {
	return producers{byID: map[int64]*producer{}, ttl: ttl, limit: maxProducers}
}

// get is the state of a producer, nil when it is unknown at now (ms since the epoch).
func (s *producers) get(id, now int64) *producer {
	pr := s.byID[id]
	if pr == nil || now-pr.seen >= s.ttl {
		return nil
	}
	return pr
}

// apply moves the state by a committed batch. It is false, and nothing moves, when the batch was applied before.
// What is committed is not judged: the log is the truth.
func (s *producers) apply(h *batch.Header, now int64) bool {
	if h.BaseOffset < s.end {
		return false
	}
	s.end = h.Next()
	q := sequenceOf(h)
	if !q.idempotent() || h.Control() {
		return true
	}
	pr := s.get(q.producer, now)
	if pr == nil {
		s.makeRoom(now)
		pr = &producer{epoch: q.epoch}
		s.byID[q.producer] = pr
	}
	if pr.epoch != q.epoch {
		pr.epoch, pr.n = q.epoch, 0
	}
	pr.seen = now
	pr.push(written{q.first, q.last, h.BaseOffset, h.MaxTimestamp, h.LogAppendTime()})
	return true
}

// sweep forgets the producers whose time is over.
func (s *producers) sweep(now int64) {
	maps.DeleteFunc(s.byID, func(id int64, _ *producer) bool { return s.get(id, now) == nil })
}

// makeRoom lets in one producer more. At the limit an eighth goes at once, so that sweeping stays cheap on average.
func (s *producers) makeRoom(now int64) {
	if len(s.byID) < s.limit {
		return
	}
	s.sweep(now)
	if len(s.byID) < s.limit {
		return
	}
	ids := slices.SortedFunc(maps.Keys(s.byID), func(a, b int64) int {
		return cmp.Or(cmp.Compare(s.byID[a].seen, s.byID[b].seen), cmp.Compare(a, b))
	})
	for _, id := range ids[:s.limit/8+1] {
		delete(s.byID, id)
	}
}

func (s *producers) list(now int64) []ProducerState {
	var all []ProducerState
	for _, id := range slices.Sorted(maps.Keys(s.byID)) {
		if pr := s.get(id, now); pr != nil {
			w := pr.newest()
			all = append(all, ProducerState{id, pr.epoch, w.last, w.timestamp})
		}
	}
	return all
}

// judge says what to do with a batch of an idempotent producer, given the applied state and what is in flight. Without an
// error, at most one answer is there: the batch in flight or the batch written that this one repeats; neither: it is new.
//
// The rules are those of Kafka's ProducerAppendInfo. A producer that is unknown may begin with any sequence, since its
// state may have expired; a new epoch must begin at 0; a repeat of a batch older than the remembered ones is out of order
// (Kafka answers DUPLICATE_SEQUENCE_NUMBER no more, which clients take for success).
func judge(s *producers, o overlay, q sequence, now int64) (*Pending, *written, error) {
	known, flying := s.get(q.producer, now), o[q.producer]
	var epoch int16
	var last int32
	switch {
	case q.first < 0:
		return nil, nil, fmt.Errorf("%w: producer %d sent sequence %d", ErrOutOfOrderSequence, q.producer, q.first)
	case flying.newest != nil:
		epoch, last = flying.newest.seq.epoch, flying.newest.seq.last
	case known != nil:
		epoch, last = known.epoch, known.newest().last
	default:
		return nil, nil, nil
	}
	if q.epoch < epoch {
		return nil, nil, fmt.Errorf("%w: producer %d sent epoch %d, known is %d", ErrInvalidEpoch, q.producer, q.epoch, epoch)
	}
	if q.epoch > epoch {
		if q.first != 0 {
			return nil, nil, fmt.Errorf("%w: producer %d began epoch %d with sequence %d", ErrOutOfOrderSequence, q.producer,
				q.epoch, q.first)
		}
		return nil, nil, nil
	}
	if pd := flying.find(q); pd != nil {
		return pd, nil, nil
	}
	if known != nil && known.epoch == epoch {
		if w := known.find(q); w != nil {
			return nil, w, nil
		}
	}
	if q.first != advance(last, 1) {
		return nil, nil, fmt.Errorf("%w: producer %d sent sequence %d after %d", ErrOutOfOrderSequence, q.producer, q.first, last)
	}
	return nil, nil, nil
}
