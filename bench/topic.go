package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	adminTimeout = 30 * time.Second
	// lookEvery is how often it is looked whether brokers have got somewhere.
	lookEvery = 50 * time.Millisecond
)

// topic is what a run loads.
type topic struct {
	name       string
	partitions int32
	replicas   int
	made       bool    // by this run
	keep       bool    // made, but not removed
	starts     []int64 // offsets where this run's reading begins, by partition
}

func (r *run) admin() (*kadm.Client, error) {
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.MetadataMinAge(lookEvery)}, r.load.Client...)...)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return kadm.NewClient(cl), nil
}

// openTopic makes the topic, or looks at the one that exists.
func openTopic(ctx context.Context, adm *kadm.Client, l Load, id uint64) (topic, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	t := topic{name: or(l.Topic, fmt.Sprintf("quire-bench-%08x", uint32(id))), keep: l.Keep}
	_, err := adm.CreateTopic(ctx, l.Partitions, l.Replicas, l.TopicConfigs, t.name)
	if t.made = err == nil; !t.made && !errors.Is(err, kerr.TopicAlreadyExists) {
		return t, fmt.Errorf("make topic %s: %w", t.name, err)
	}
	if err := t.look(ctx, adm, l.Kind == Consume); err != nil {
		return t, errors.Join(fmt.Errorf("topic %s: %w", t.name, err), t.remove(ctx, adm))
	}
	return t, nil
}

// look waits until all partitions are led, and loads the offsets where the reading begins: the first ones or those at the end.
func (t *topic) look(ctx context.Context, adm *kadm.Client, fromStart bool) error {
	ticks := time.NewTicker(lookEvery)
	defer ticks.Stop()
	for {
		md, err := adm.Metadata(ctx, t.name)
		if err != nil {
			return err
		}
		d := md.Topics[t.name]
		if t.partitions, t.replicas = int32(len(d.Partitions)), d.Partitions.NumReplicas(); d.Err == nil && t.partitions > 0 && led(d) {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all partitions have a leader: %w", errors.Join(d.Err, ctx.Err()))
		case <-ticks.C:
		}
	}
	list := adm.ListEndOffsets
	if fromStart {
		list = adm.ListStartOffsets
	}
	var err error
	t.starts, err = t.offsets(ctx, list)
	return err
}

func led(d kadm.TopicDetail) bool {
	for _, p := range d.Partitions {
		if p.Err != nil || p.Leader < 0 {
			return false
		}
	}
	return true
}

func (t *topic) offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) ([]int64, error) {
	listed, err := list(ctx, t.name)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	offsets := make([]int64, t.partitions)
	for p := range t.partitions {
		o, ok := listed.Lookup(t.name, p)
		if !ok {
			return nil, fmt.Errorf("list offsets: no answer for partition %d", p)
		}
		offsets[p] = o.Offset
	}
	return offsets, nil
}

// remove removes the topic if the run has made it, also when ctx has ended.
func (t *topic) remove(ctx context.Context, adm *kadm.Client) error {
	if !t.made || t.keep {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	if _, err := adm.DeleteTopic(ctx, t.name); err != nil {
		return fmt.Errorf("remove topic %s: %w", t.name, err)
	}
	return nil
}
