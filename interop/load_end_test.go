package interop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quirelog/quire/interop/chaos"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// finish ends the load when both groups have read everything, reads the whole topic and judges the run.
func (l *load) finish() {
	l.t.Helper()
	close(l.quit)
	l.writers.Wait()
	adm := l.c.admin()
	l.c.await(time.Minute, func(ctx context.Context) error { return inSync(ctx, adm, l.topic, 3) })
	l.c.await(2*time.Minute, func(ctx context.Context) error { return l.allCommitted(ctx, adm) })
	close(l.done)
	l.watchers.Wait()
	l.endRdkafka()
	if l.t.Failed() {
		return
	}
	l.ledger.Stored = l.stored()
	for _, fault := range l.ledger.Check() {
		l.t.Error(fault)
	}
	l.t.Logf("%d records acknowledged by %d producers, %d read in the groups, %d commits, %d marks, of librdkafka's %d were stored again under a new epoch and %d passed over",
		len(l.ledger.Acked), l.producers.Load(), len(l.ledger.Read), l.committed.Load(), len(l.ledger.Marks), l.ledger.Resent, l.ledger.Passed)
}

// allCommitted says which group has not yet committed the end of which partition.
func (l *load) allCommitted(ctx context.Context, adm *kadm.Client) error {
	ends, err := adm.ListEndOffsets(ctx, l.topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		return err
	}
	for _, group := range slices.Concat(l.ledger.Groups, l.ledger.Skips) {
		offsets, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for p, end := range ends[l.topic] {
			if at, _ := offsets.Lookup(l.topic, p); at.At != end.Offset {
				return fmt.Errorf("group %s has committed %d of partition %d, which ends at %d", group, at.At, p, end.Offset)
			}
		}
	}
	return nil
}

// stored reads the topic from its start to its end.
func (l *load) stored() map[int32][]chaos.Stored {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 5*time.Minute)
	defer cancel()
	ends, err := l.c.admin().ListEndOffsets(ctx, l.topic)
	if err := errors.Join(err, ends.Error()); err != nil {
		l.t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(l.c.addrs()...), kgo.ConsumeTopics(l.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	stored, left := map[int32][]chaos.Stored{}, int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			l.t.Fatalf("%d records of the topic cannot be read", left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			v, err := valueOf(r)
			if err != nil || r.Offset != int64(len(stored[r.Partition])) {
				l.t.Fatalf("partition %d: offset %d after %d records: %v", r.Partition, r.Offset, len(stored[r.Partition]), err)
			}
			stored[r.Partition] = append(stored[r.Partition], chaos.Stored{Value: v, Epoch: r.ProducerEpoch})
			left--
		})
	}
	return stored
}
