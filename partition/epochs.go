package partition

import (
	"sort"

	"github.com/quirelog/quire/segment"
)

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch at or below epoch that this log knows and the offset at which it
// ends (KIP-101, KIP-279), by the rules of Kafka's LeaderEpochFileCache.endOffsetFor:
//   - the newest epoch, which on a leader is the current one even before its first record, ends at the log's end;
//   - one newer than that is unknown: (-1, -1);
//   - one older than the log's first answers itself and where the first begins.
func (p *Partition) EpochEnd(epoch int32) (int32, Offset) {
	return epochEnd(p.epochs(), epoch, p.log.EndOffset())
}

// epochs are the epochs with records, and that of the current leadership.
func (p *Partition) epochs() []segment.EpochStart {
	p.mu.Lock()
	current, start := p.role.Load(), p.epochStart
	p.mu.Unlock()
	epochs := p.log.Epochs()
	if n := len(epochs); current >= 0 && (n == 0 || int64(epochs[n-1].Epoch) < current) {
		epochs = append(epochs[:n:n], segment.EpochStart{Epoch: int32(current), Start: max(start, p.log.StartOffset())})
	}
	return epochs
}

func epochEnd(epochs []segment.EpochStart, epoch int32, end Offset) (int32, Offset) {
	higher := sort.Search(len(epochs), func(i int) bool { return epochs[i].Epoch > epoch })
	switch {
	case epoch < 0 || len(epochs) == 0:
		return -1, -1
	case higher == len(epochs):
		if epochs[higher-1].Epoch == epoch {
			return epoch, end
		}
		return -1, -1
	case higher == 0:
		return epoch, epochs[0].Start
	}
	return epochs[higher-1].Epoch, epochs[higher].Start
}

// EpochAt is the leader epoch of the record at o; -1 if there is none.
func (p *Partition) EpochAt(o Offset) int32 {
	if o < p.log.StartOffset() || o >= p.log.EndOffset() {
		return -1
	}
	return epochAt(p.log.Epochs(), o)
}

func epochAt(epochs []segment.EpochStart, o Offset) int32 {
	after := sort.Search(len(epochs), func(i int) bool { return epochs[i].Start > o })
	if after == 0 {
		return -1
	}
	return epochs[after-1].Epoch
}
