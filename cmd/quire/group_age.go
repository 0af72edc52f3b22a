package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	ageTimeout        = 5 * time.Second // for the timestamps of all partitions
	ageFetchBytes     = 1 << 20         // of one request
	agePartitionBytes = 16 << 10        // a larger batch comes whole where its partition is the first of the request
)

// logPlace is an offset of a partition.
type logPlace struct {
	topic     string
	partition int32
	offset    int64
}

// ages finds out how old the first record at or after an offset is. What was found once stays: a record's timestamp does not change.
type ages struct {
	cl    *kgo.Client
	known map[logPlace]time.Time
}

func newAges(cl *kgo.Client) *ages { return &ages{cl: cl, known: make(map[logPlace]time.Time)} }

// add fills in how old the first record behind each committed offset of groups is. What cannot be told has a note.
func (a *ages) add(ctx context.Context, groups []*groupView, now time.Time) {
	all := make(map[logPlace]bool)
	for _, g := range groups { // one after the other: a request may have a partition once
		wanted := make(map[logPlace]bool)
		for _, p := range g.Partitions {
			if p.Lag > 0 && p.Committed >= p.Start {
				wanted[logPlace{p.Topic, p.Partition, p.Committed}] = true
			}
		}
		maps.Copy(all, wanted)
		a.find(ctx, wanted)
	}
	maps.DeleteFunc(a.known, func(at logPlace, _ time.Time) bool { return !all[at] })
	for _, g := range groups {
		g.LagSeconds = 0
		for i := range g.Partitions {
			a.fill(&g.Partitions[i], now)
			g.LagSeconds = max(g.LagSeconds, g.Partitions[i].LagSeconds)
		}
	}
}

func (a *ages) fill(p *groupPartitionView, now time.Time) {
	at, ok := a.known[logPlace{p.Topic, p.Partition, p.Committed}]
	switch {
	case p.Lag < 0:
	case p.Lag == 0:
		p.LagSeconds = 0
	case p.Committed < p.Start:
		p.Note = "its next records are deleted: the log begins behind its offset"
	case !ok:
		p.Note = "its next record could not be read"
	default:
		p.LagSeconds = max(0, now.Sub(at).Truncate(time.Millisecond).Seconds()) // a producer's clock may be ahead
	}
}

// find fetches the records at wanted that are not known yet.
func (a *ages) find(ctx context.Context, wanted map[logPlace]bool) {
	ctx, cancel := context.WithTimeout(ctx, ageTimeout)
	defer cancel()
	topics := make(map[string]bool)
	for at := range wanted {
		if _, ok := a.known[at]; ok {
			delete(wanted, at)
		} else {
			topics[at.topic] = true
		}
	}
	if len(wanted) == 0 {
		return
	}
	md, err := kadm.NewClient(a.cl).Metadata(ctx, sortedKeys(topics)...)
	if err != nil {
		return
	}
	leaders := make(map[int32][]logPlace)
	for at := range wanted {
		if p, ok := md.Topics[at.topic].Partitions[at.partition]; ok && p.Leader >= 0 {
			leaders[p.Leader] = append(leaders[p.Leader], at)
		}
	}
	for leader, list := range leaders {
		next := make(map[logPlace]int64, len(list))
		for _, at := range list {
			next[at] = at.offset
		}
		a.findAt(ctx, leader, list, next, md.Topics)
	}
}

// findAt fetches from one broker until all records of list are found. next are the offsets to look at: where there are batches
// without records, it is the one behind them. An answer without progress ends it.
func (a *ages) findAt(ctx context.Context, leader int32, list []logPlace, next map[logPlace]int64, topics kadm.TopicDetails) {
	for len(list) > 0 {
		answer, err := a.cl.Broker(int(leader)).Request(ctx, fetchOf(list, next, topics))
		if err != nil {
			return
		}
		progress := false
		byID := make(map[kadm.TopicID]string)
		for _, at := range list {
			byID[topics[at.topic].ID] = at.topic
		}
		for _, t := range answer.(*kmsg.FetchResponse).Topics {
			name := t.Topic
			if name == "" {
				name = byID[t.TopicID]
			}
			for i := range t.Partitions {
				progress = a.take(list, next, name, &t.Partitions[i]) || progress
			}
		}
		if !progress {
			return
		}
		// What came with others is not asked for again, and what did not is first now, so that it comes whole.
		list = slices.DeleteFunc(list, func(at logPlace) bool { _, ok := a.known[at]; return ok })
	}
}

// take looks for what was wanted in a partition's answer, and says whether there was anything.
func (a *ages) take(list []logPlace, next map[logPlace]int64, topic string, p *kmsg.FetchResponseTopicPartition) bool {
	i := slices.IndexFunc(list, func(at logPlace) bool { return at.topic == topic && at.partition == p.Partition })
	if i < 0 || kerr.ErrorForCode(p.ErrorCode) != nil {
		return false
	}
	at := list[i]
	got, after := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		KeepControlRecords: true, Offset: next[at], Topic: topic, Partition: p.Partition,
	}, p, kgo.DefaultDecompressor(), nil)
	if len(got.Records) > 0 {
		a.known[at] = got.Records[0].Timestamp
		return true
	}
	moved := after > next[at]
	next[at] = max(after, next[at])
	return moved
}

func fetchOf(list []logPlace, next map[logPlace]int64, topics kadm.TopicDetails) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = ageFetchBytes
	byTopic := make(map[string]int)
	for _, at := range list {
		i, ok := byTopic[at.topic]
		if !ok {
			i = len(req.Topics)
			byTopic[at.topic] = i
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic, rt.TopicID = at.topic, topics[at.topic].ID
			req.Topics = append(req.Topics, rt)
		}
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = at.partition, next[at], agePartitionBytes
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	return req
}
