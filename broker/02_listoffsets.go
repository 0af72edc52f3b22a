package broker

import (
	"context"
	"fmt"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/segment"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListOffsets (2), versions 0 to 11. 0: a list of offsets instead of offset and timestamp. 2: isolation level. 4: leader
// epochs. 6: flexible. 7: max timestamp (KIP-734). 8: earliest local (KIP-405). 9: latest tiered (KIP-1005). 10:
// timeout. 11: earliest pending upload (KIP-1023).

// Timestamps with a meaning of their own.
const (
	timestampLatest        = -1 // high watermark; last stable offset under read_committed
	timestampEarliest      = -2
	timestampMax           = -3 // the record with the largest timestamp
	timestampEarliestLocal = -4 // there is no tier: the same as earliest
	timestampLatestTiered  = -5 // there is no tier: never found
	timestampPendingUpload = -6 // the earliest that is to go to a tier: never found
)

// timestampSince is the first version that knows each of them.
var timestampSince = map[int64]int16{
	timestampLatest: 0, timestampEarliest: 0, timestampMax: 7, timestampEarliestLocal: 8, timestampLatestTiered: 9,
	timestampPendingUpload: 11,
}

const readCommitted = 1 // isolation level

// notFound is the answer where no record fits.
var notFound = segment.TimestampOffset{Offset: -1, Timestamp: -1, Epoch: -1}

// partitionKey tells the partitions of one request apart.
type partitionKey struct {
	topic     string
	partition int32
}

func startListOffsets(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ListOffsetsRequest)
	return func(context.Context) reply {
		l := &listOffsets{b: b, req: req, view: b.view(), asked: map[partitionKey]int{}}
		return reply{msg: l.answer()}
	}
}

type listOffsets struct {
	b     *Broker
	req   *kmsg.ListOffsetsRequest
	view  *view
	asked map[partitionKey]int // how often
}

func (l *listOffsets) answer() *kmsg.ListOffsetsResponse {
	for _, t := range l.req.Topics {
		for _, p := range t.Partitions {
			l.asked[partitionKey{t.Topic, p.Partition}]++
		}
	}
	resp := kmsg.NewPtrListOffsetsResponse()
	resp.Version = l.req.Version
	answered := map[partitionKey]bool{} // what is asked for twice is refused once
	for i := range l.req.Topics {
		t := &l.req.Topics[i]
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for j := range t.Partitions {
			if k := (partitionKey{t.Topic, t.Partitions[j].Partition}); !answered[k] {
				answered[k] = true
				rt.Partitions = append(rt.Partitions, l.partition(t.Topic, &t.Partitions[j]))
			}
		}
		if len(rt.Partitions) > 0 {
			resp.Topics = append(resp.Topics, rt)
		}
	}
	return resp
}

func (l *listOffsets) partition(topic string, p *kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsResponseTopicPartition {
	rp := kmsg.NewListOffsetsResponseTopicPartition()
	rp.Partition = p.Partition
	rp.Timestamp, rp.Offset, rp.LeaderEpoch = -1, -1, -1
	found, err := l.find(topic, p)
	if err != nil {
		rp.ErrorCode = errorCode(err)
		return rp
	}
	rp.Timestamp, rp.Offset, rp.LeaderEpoch = found.Timestamp, int64(found.Offset), found.Epoch
	if l.req.Version == 0 && found.Offset >= 0 && p.MaxNumOffsets > 0 {
		rp.OldStyleOffsets = []int64{rp.Offset}
	}
	return rp
}

func (l *listOffsets) find(topic string, p *kmsg.ListOffsetsRequestTopicPartition) (segment.TimestampOffset, error) {
	if l.asked[partitionKey{topic, p.Partition}] > 1 {
		return notFound, fmt.Errorf("%w: %s-%d is asked for twice", errInvalidRequest, topic, p.Partition)
	}
	if since, known := timestampSince[p.Timestamp]; p.Timestamp < 0 && (!known || l.req.Version < since) {
		return notFound, fmt.Errorf("%w: timestamp %d", errUnsupported, p.Timestamp)
	}
	replica, _, err := l.b.replica(l.view, false, topic, [16]byte{}, p.Partition)
	if err != nil {
		return notFound, err
	}
	marks, err := marksIn(replica, p.CurrentLeaderEpoch)
	if err != nil {
		return notFound, err
	}
	return l.lookUp(replica, marks, p.Timestamp)
}

// marksIn are the replica's marks if it leads in the epoch, or if that is -1. As in Kafka any other negative epoch is older than
// every leader's; only Fetch takes all of them for unknown.
func marksIn(replica *partition.Partition, epoch int32) (partition.Marks, error) {
	if epoch < -1 {
		return partition.Marks{}, partition.ErrFencedLeaderEpoch
	}
	return replica.Marks(partition.CurrentEpoch(epoch))
}

func (l *listOffsets) lookUp(replica *partition.Partition, marks partition.Marks, ts int64) (segment.TimestampOffset, error) {
	found, ok, err := notFound, false, error(nil)
	switch ts {
	case timestampLatest:
		end := marks.HighWatermark
		if l.req.IsolationLevel == readCommitted {
			end = marks.LastStable
		}
		return segment.TimestampOffset{Offset: end, Timestamp: -1, Epoch: marks.Epoch}, nil
	case timestampEarliest, timestampEarliestLocal:
		epoch := replica.EpochAt(marks.LogStart)
		if epoch < 0 { // nothing is there yet
			epoch = marks.Epoch
		}
		return segment.TimestampOffset{Offset: marks.LogStart, Timestamp: -1, Epoch: epoch}, nil
	case timestampLatestTiered, timestampPendingUpload:
		return notFound, nil
	case timestampMax:
		found, ok, err = replica.MaxTimestamp()
	default:
		found, ok, err = replica.OffsetForTimestamp(ts)
	}
	if err != nil || !ok {
		return notFound, err
	}
	return found, nil
}
