package consumergroup

import (
	"context"

	"github.com/quirelog/quire/consumergroup/offsets"
)

// GroupOffsets is one group for the metrics.
type GroupOffsets struct {
	Group   string
	State   string
	Members int
	Offsets map[offsets.Partition]int64
}

// Offsets is what all groups here have committed, for the metrics. It waits for every loaded partition's goroutine.
func (c *Coordinator) Offsets(ctx context.Context) ([]GroupOffsets, error) {
	answers := make(chan []GroupOffsets, len(c.shards))
	asked := 0
	for i := range c.shards {
		s := c.shards[i].Load()
		if s != nil && s.queue.inspect(func(r *registry) { answers <- r.groupOffsets() }) {
			asked++
		}
	}
	var all []GroupOffsets
	for range asked {
		select {
		case some := <-answers:
			all = append(all, some...)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return all, nil
}

// groupOffsets is nothing where the partition is led no more.
func (r *registry) groupOffsets() []GroupOffsets {
	if r == nil {
		return nil
	}
	all := make([]GroupOffsets, 0, len(r.groups))
	for id, g := range r.groups {
		o := GroupOffsets{Group: id, State: g.state(), Members: g.members(), Offsets: make(map[offsets.Partition]int64, g.offsets.Len())}
		for p, c := range g.offsets.All() {
			o.Offsets[p] = c.Offset
		}
		all = append(all, o)
	}
	return all
}

// States is what each journal partition that is led here is doing. One that is Damaged wants somebody to look.
func (c *Coordinator) States() map[int32]State {
	states := map[int32]State{}
	for i := range c.shards {
		if s := c.shards[i].Load(); s != nil {
			states[int32(i)] = s.queue.is()
		}
	}
	return states
}
