package placement

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// DrainTimeout is how long a broker that stops hands its leaderships over. The others call elections for what is left.
const DrainTimeout = 3 * time.Second

const drainAtOnce = 64

// Drain ends Run for good and hands over all leaderships, the controller group's too, side by side. It returns when none is left,
// or none that could be handed over, or after 3 s, or when ctx ends; and how many it could not hand over of those that have other
// voters.
func (k *Keeper) Drain(ctx context.Context) int {
	k.drain.Do(func() { close(k.draining) })
	ctx, cancel := context.WithTimeout(ctx, DrainTimeout)
	defer cancel()
	v := k.sight()
	var left atomic.Int32
	var g errgroup.Group
	g.SetLimit(drainAtOnce + 1)
	if k.options.Controller.Leads() {
		g.Go(func() error {
			if err := k.options.Controller.Transfer(ctx, -1); err != nil {
				k.options.Logger.Warn("cannot hand over the controller", "err", err)
			}
			return nil
		})
	}
	given := map[ServerID]int{} // leaderships, by who is asked first
	k.options.Groups.Each(func(id ID, group Group) bool {
		s := v.state(id, group)
		if s == nil || len(s.voters) < 2 {
			return true
		}
		heirs := s.heirs(given)
		if len(heirs) > 0 {
			given[heirs[0]]++
		}
		g.Go(func() error {
			if !handToFirst(ctx, group, heirs) {
				left.Add(1)
			}
			return nil
		})
		return true
	})
	_ = g.Wait() // returns no errors
	return int(left.Load())
}

// heirs are who can lead instead of this server: the preferred replica first, then those that have been given the least.
func (s *state) heirs(given map[ServerID]int) []ServerID {
	heirs := slices.DeleteFunc(slices.Clone(s.voters), func(id ServerID) bool { return id == s.self || !s.good(id) })
	slices.SortStableFunc(heirs, func(a, b ServerID) int {
		switch {
		case a == s.preferred:
			return -1
		case b == s.preferred:
			return 1
		}
		return cmp.Compare(given[a], given[b])
	})
	return heirs
}

func handToFirst(ctx context.Context, g Group, heirs []ServerID) bool {
	for _, to := range heirs {
		if ctx.Err() == nil && g.Transfer(ctx, to) == nil {
			return true
		}
	}
	return false
}
