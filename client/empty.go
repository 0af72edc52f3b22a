package client

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	skipFetch   = 1 << 20 // how much is fetched to look for records
	skipTimeout = 2 * time.Second
)

// SkipEmpty asks what lies at an offset from which nothing comes: it returns the offset behind the batches there that have no
// records, as compaction leaves them for the sake of their offsets, or from where there are records or nothing. Polling skips such
// batches without a word, so whoever reads up to an end that lies behind some does not hear of it.
//
// It asks once, for two seconds at most, and where that fails returns from: what is wrong is for polling to tell. What cl itself
// consumes is not touched. Only committed records count.
func SkipEmpty(ctx context.Context, cl *kgo.Client, topic string, partition int32, from int64) int64 {
	ctx, cancel := context.WithTimeout(ctx, skipTimeout)
	defer cancel()
	md, err := kadm.NewClient(cl).Metadata(ctx, topic)
	if err != nil {
		return from
	}
	t := md.Topics[topic]
	detail, ok := t.Partitions[partition]
	if t.Err != nil || !ok || detail.Err != nil {
		return from
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.IsolationLevel = skipFetch, 1
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rt.TopicID = topic, t.ID
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, from, skipFetch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := cl.Broker(int(detail.Leader)).Request(ctx, req)
	if err != nil {
		return from
	}
	resp := answer.(*kmsg.FetchResponse)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return from
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if got.Err != nil || len(got.Records) > 0 {
		return from // polling brings either
	}
	return max(next, from)
}
