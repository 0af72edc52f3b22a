package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// plan finds out which offsets are to be replayed of each partition.
func (r *replay) plan(ctx context.Context) error {
	md, err := r.adm.Metadata(ctx, r.topic)
	if err != nil {
		return err
	}
	topic := md.Topics[r.topic]
	if topic.Err != nil {
		return topic.Err
	}
	numbers := r.options.Partitions
	if len(numbers) == 0 {
		numbers = topic.Partitions.Numbers()
	}
	for _, n := range slices.Concat(numbers, slices.Collect(maps.Keys(r.options.From.offsets))) {
		if _, ok := topic.Partitions[n]; !ok {
			return fmt.Errorf("partition %d, where there are %d: %w", n, len(topic.Partitions), kerr.UnknownTopicOrPartition)
		}
	}
	l, err := r.list(ctx)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if r.partitions[n], err = r.planPartition(n, l); err != nil {
			return err
		}
	}
	return nil
}

// listed are offsets of a topic's partitions.
type listed struct{ starts, ends, times kadm.ListedOffsets }

func (r *replay) list(ctx context.Context) (l listed, err error) {
	if l.starts, err = r.adm.ListStartOffsets(ctx, r.topic); err == nil {
		err = l.starts.Error()
	}
	if err != nil {
		return l, fmt.Errorf("list the first offsets: %w", err)
	}
	if t, ok := r.options.From.timestamp(time.Now()); ok {
		if l.times, err = r.adm.ListOffsetsAfterMilli(ctx, t.UnixMilli(), r.topic); err == nil {
			err = l.times.Error()
		}
		if err != nil {
			return l, fmt.Errorf("list the offsets of a time: %w", err)
		}
	}
	if l.ends, err = r.adm.ListCommittedOffsets(ctx, r.topic); err == nil {
		err = l.ends.Error()
	}
	if err != nil {
		return l, fmt.Errorf("list the last offsets: %w", err)
	}
	return l, nil
}

// planPartition is the range of one partition. It fails when it begins with records that are deleted.
func (r *replay) planPartition(n int32, l listed) (*partition, error) {
	start, end := l.starts[r.topic][n].Offset, l.ends[r.topic][n].Offset
	from := start
	switch o := r.options.From; o.kind {
	case atEnd:
		from = end
	case atTime, atAge:
		from = l.times[r.topic][n].Offset
	case atOffset:
		from = o.offset
	case atOffsets:
		if at, ok := o.offsets[n]; ok {
			from = at
		}
	}
	if from < start {
		return nil, fmt.Errorf("partition %d starts at offset %d: %w", n, start, kerr.OffsetOutOfRange)
	}
	p := &partition{number: n, from: from, next: min(from, end), to: -1, end: end}
	if !r.options.Follow {
		p.to = end
	}
	return p, nil
}
