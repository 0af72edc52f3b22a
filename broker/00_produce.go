package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produce (0), versions 0 to 13. 3: record batches of format 2 and the transactional id. 5: log start offset. 7: zstd.
// 8: error messages (KIP-467). 9: flexible. 10: leaders and their endpoints in the response (KIP-951). 13: topics by id.
// Versions 0 to 2 are advertised because librdkafka turns compression off where they are missing; message sets of the
// old formats are refused at every version.

// produce is one Produce request under way.
type produce struct {
	b       *Broker
	version int16
	acks    int16
	resp    *kmsg.ProduceResponse
	waiting []producePart
	view    *view
	// failed is set where a partition was refused, which with acks=0 only the end of the connection can tell.
	failed error
}

// producePart is an append under way, and where its answer goes.
type producePart struct {
	pending          *partition.Pending
	id               partition.ID
	topic, partition int // in the response
}

// minProduceWait is the least that an append is waited for. In Kafka a request's timeout is for the answers of other replicas only,
// not for the leader's own store, so clients set 0 and expect to hear of a record that was written.
const minProduceWait = time.Second

// startProduce appends in request order; what waits for the commit is finish. The batches lie in the frame and belong to
// the partitions afterwards.
func startProduce(ctx context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ProduceRequest)
	p := &produce{b: b, version: req.Version, acks: req.Acks, view: b.view(), resp: kmsg.NewPtrProduceResponse()}
	p.resp.Version = req.Version
	// One deadline serves start and finish, which run under the same connection's context; finish always runs and gives it back.
	ctx, cancel := context.WithTimeout(ctx, max(milliseconds(req.TimeoutMillis), minProduceWait))
	p.start(ctx, r.conn, req)
	if p.acks != 0 {
		r.ready = p.settled
		return func(context.Context) reply {
			defer cancel()
			return p.finish(ctx)
		}
	}
	cancel()
	if p.failed != nil {
		return func(context.Context) reply { return reply{err: fmt.Errorf("produce with acks=0: %w", p.failed)} }
	}
	return nil
}

func (p *produce) start(ctx context.Context, c *conn, req *kmsg.ProduceRequest) {
	whole := p.checkRequest(req)
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := &p.resp.Topics[i]
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		rt.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			rp := &rt.Partitions[j]
			rp.Default()
			rp.Partition = t.Partitions[j].Partition
			rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = -1, -1, -1
			id, pending, err := p.append(ctx, whole, t, &t.Partitions[j])
			if err != nil {
				if errors.Is(err, batch.ErrPlainTooLarge) {
					c.muted, p.resp.ThrottleMillis = true, int32(muteTime/time.Millisecond)
				}
				p.fail(rp, id, err)
				continue
			}
			p.waiting = append(p.waiting, producePart{pending: pending, id: id, topic: i, partition: j})
		}
	}
}

// checkRequest finds what is wrong for all partitions alike. A transactional id alone is not: as in Kafka it is the batches
// that are transactional or not.
func (p *produce) checkRequest(req *kmsg.ProduceRequest) error {
	if req.Acks < -1 || req.Acks > 1 {
		return fmt.Errorf("%w: it is %d", errInvalidAcks, req.Acks)
	}
	return nil
}

// append checks one partition's batch and hands it over. whole is what is wrong with the request.
func (p *produce) append(ctx context.Context, whole error, t *kmsg.ProduceRequestTopic, part *kmsg.ProduceRequestTopicPartition) (
	id partition.ID, _ *partition.Pending, _ error,
) {
	if whole != nil {
		return id, nil, whole
	}
	replica, topic, err := p.b.replica(p.view, p.version >= 13, t.Topic, t.TopicID, part.Partition)
	id = partition.ID{Topic: topic.id(), Partition: part.Partition}
	if err != nil {
		return id, nil, err
	}
	if topic.internal {
		return id, nil, refuseInternal(topic.Name, "clients cannot write to")
	}
	only, h, err := checkBatch(part.Records, p.version, topic.config.MaxMessageBytes)
	if err != nil {
		return id, nil, err
	}
	if needsConversion(&h, &topic.config) {
		if only, h, err = p.b.convert(ctx, only, h, &topic.config); err != nil {
			return id, nil, err
		}
	}
	pending, err := replica.Append(ctx, only, h, partition.Acks(p.acks))
	return id, pending, err
}

// checkBatch returns the one well-formed batch that data is, if a client may write it. It checks in Kafka's order: what the
// batch's frame says, size, checksum and counts, then what the attributes ask for. What follows the batch and is less
// than another one is dropped, as Kafka does.
func checkBatch(data []byte, version int16, maxBytes int32) (only []byte, h batch.Header, err error) {
	size, err := checkBatchFrame(data, version)
	if err != nil {
		return nil, h, err
	}
	if err := checkNoBatch(data[size:]); err != nil {
		return nil, h, err
	}
	if size > int(maxBytes) {
		return nil, h, fmt.Errorf("%w: %d bytes, the limit is %d", errTooLarge, size, maxBytes)
	}
	only = data[:size:size]
	if h, err = batch.Validate(only); err != nil {
		return nil, h, err
	}
	switch {
	case h.BaseOffset != 0:
		err = fmt.Errorf("%w: the base offset is %d, it should be 0", errInvalidRecord, h.BaseOffset)
	case h.Transactional():
		err = errTransactional
	case h.Compression() == batch.Zstd && version < 7:
		err = fmt.Errorf("%w: zstd needs produce version 7", errCompression)
	}
	return only, h, err
}

// Positions in every message format: the length, and the magic byte behind it.
const (
	batchLengthAt = 8
	batchMagicAt  = 16
	// minMessageLength is the least that any message format has behind its length field.
	minMessageLength = 14
	// maxMagic is the newest message format.
	maxMagic = 2
)

// batchSize returns the size of the batch that data begins with, header included; 0 where data is no whole batch, and an
// error where what is there cannot begin one.
func batchSize(data []byte) (int, error) {
	if len(data) < batch.LogOverhead {
		return 0, nil
	}
	length := int(int32(binary.BigEndian.Uint32(data[batchLengthAt:])))
	switch {
	case length < minMessageLength:
		return 0, fmt.Errorf("%w: length field is %d, at least %d is needed", batch.ErrCorrupt, length, minMessageLength)
	case len(data) <= batchMagicAt:
		return 0, nil
	case data[batchMagicAt] > maxMagic:
		return 0, fmt.Errorf("%w: message format %d", batch.ErrCorrupt, data[batchMagicAt])
	case length > len(data)-batch.LogOverhead:
		return 0, nil
	}
	return length + batch.LogOverhead, nil
}

// checkBatchFrame returns the size of the first batch in data. Where real Kafka sees no batch at all (nothing, or a length
// that reaches beyond the end) it says INVALID_RECORD, and so does this.
func checkBatchFrame(data []byte, version int16) (int, error) {
	size, err := batchSize(data)
	switch {
	case err != nil:
		return 0, err
	case size == 0:
		return 0, fmt.Errorf("%w: at least one whole record batch per partition is needed, not its first %d bytes",
			errInvalidRecord, len(data))
	case data[batchMagicAt] == maxMagic:
		return size, nil
	case version < 3:
		return 0, fmt.Errorf("%w: message format %d, only 2 is stored", batch.ErrUnsupportedFormat, data[batchMagicAt])
	}
	return 0, fmt.Errorf("%w: message format %d, only 2 is allowed from produce version 3 on", errInvalidRecord, data[batchMagicAt])
}

// checkNoBatch checks that what follows the first batch is not another one.
func checkNoBatch(rest []byte) error {
	size, err := batchSize(rest)
	if err == nil && size > 0 {
		err = fmt.Errorf("%w: exactly one record batch per partition is allowed", errInvalidRecord)
	}
	return err
}

// settled says whether all appends have their outcome.
func (p *produce) settled() bool {
	for _, w := range p.waiting {
		if !w.pending.Settled() {
			return false
		}
	}
	return true
}

// finish waits for the appends and fills in their answers.
func (p *produce) finish(ctx context.Context) reply {
	for _, w := range p.waiting {
		rp := &p.resp.Topics[w.topic].Partitions[w.partition]
		a, err := w.pending.Wait(ctx)
		if err != nil {
			p.fail(rp, w.id, err)
			continue
		}
		rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = int64(a.Base), a.AppendTime, int64(a.LogStart)
	}
	return reply{msg: p.resp}
}

// fail sets a partition's error, with the leader where that is what the client needs next.
func (p *produce) fail(rp *kmsg.ProduceResponseTopicPartition, part partition.ID, err error) {
	rp.ErrorCode, rp.ErrorMessage = errorFields(err)
	if p.failed == nil {
		p.failed = err
	}
	leader, epoch := p.b.leaderElsewhere(part, err)
	if leader < 0 {
		return
	}
	rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = leader, epoch
	p.addNode(leader)
}

// addNode names the endpoint of a leader in the response.
func (p *produce) addNode(id int32) {
	for _, n := range p.resp.Brokers {
		if n.NodeID == id {
			return
		}
	}
	n, ok := p.view.Brokers[id]
	if !ok {
		return
	}
	node := kmsg.NewProduceResponseBroker()
	node.NodeID, node.Host, node.Port, node.Rack = n.ID, n.Host, n.Port, nullable(n.Rack)
	p.resp.Brokers = append(p.resp.Brokers, node)
}

// nullable is s; nil where it is empty.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	s = strings.Clone(s)
	return &s
}
