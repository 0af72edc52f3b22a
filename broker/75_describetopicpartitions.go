package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeTopicPartitions (75), version 0 (KIP-966). Topics come by name; a response that is full says where the next
// one begins.

// maxDescribedPartitions is the most partitions of one response, whatever the client asks for (Kafka's
// max.request.partition.size.limit).
const maxDescribedPartitions = 2000

func startDescribeTopicPartitions(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeTopicPartitionsRequest)
	return func(context.Context) reply {
		d := &topicDescriber{b: b, view: b.view(), resp: kmsg.NewPtrDescribeTopicPartitionsResponse()}
		d.resp.Version = req.Version
		d.left = min(maxDescribedPartitions, max(int(req.ResponsePartitionLimit), 1))
		if req.Cursor != nil && req.Cursor.Partition < 0 {
			d.refuse(req)
			return reply{msg: d.resp}
		}
		for _, name := range d.names(req) {
			from := int32(0)
			if req.Cursor != nil && req.Cursor.Topic == name {
				from = req.Cursor.Partition
			}
			if !d.describe(name, from) {
				break
			}
		}
		return reply{msg: d.resp}
	}
}

// refuse answers a request whose cursor is nowhere.
func (d *topicDescriber) refuse(req *kmsg.DescribeTopicPartitionsRequest) {
	for i := range req.Topics {
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.ErrorCode = &req.Topics[i].Topic, errorCode(errInvalidRequest)
		d.resp.Topics = append(d.resp.Topics, rt)
	}
}

// topicDescriber fills one response.
type topicDescriber struct {
	b    *Broker
	view *view
	resp *kmsg.DescribeTopicPartitionsResponse
	left int // partitions that still fit
}

// names lists what is asked for, in order and from the cursor on; all topics if nothing is.
func (d *topicDescriber) names(req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for name := range d.view.Topics {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil {
		from, _ := slices.BinarySearch(names, req.Cursor.Topic)
		names = names[from:]
	}
	return names
}

// describe adds a topic from a partition on. It returns false when the response is full and sets the cursor.
func (d *topicDescriber) describe(name string, from int32) bool {
	if d.left == 0 {
		d.resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: from}
		return false
	}
	rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
	rt.Topic = &name
	rt.AuthorizedOperations, rt.IsInternal = topicOperations, isInternal(name)
	t, err := d.view.named(topicKey{name: name})
	if err != nil {
		rt.ErrorCode = errorCode(err)
		d.resp.Topics = append(d.resp.Topics, rt)
		return true
	}
	rt.TopicID = t.ID
	n := from
	for ; int(n) < len(t.Partitions) && d.left > 0; n++ {
		rt.Partitions = append(rt.Partitions, d.partition(t, n))
		d.left--
	}
	d.resp.Topics = append(d.resp.Topics, rt)
	if int(n) < len(t.Partitions) {
		d.resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: n}
		return false
	}
	return true
}

func (d *topicDescriber) partition(t topicView, n int32) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	s := d.b.partitionState(d.view, t, n)
	rp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	rp.Partition, rp.LeaderID, rp.LeaderEpoch, rp.ErrorCode = n, s.leader, s.epoch, errorCode(s.err)
	rp.Replicas, rp.ISR, rp.OfflineReplicas = s.replicas, s.inSync, s.offline
	rp.EligibleLeaderReplicas, rp.LastKnownELR = []int32{}, []int32{} // as Kafka: none, rather than unknown
	return rp
}
