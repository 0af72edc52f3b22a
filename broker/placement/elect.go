package placement

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// transferTimeout is how long a leader tries to hand over to one voter.
const transferTimeout = 5 * time.Second

// Elect hands the leadership of partitions, whoever leads them, to the preferred replica, and says for each what came of it: nil
// when that leads; ErrUnknown; ErrNotNeeded; ErrNoPreferred; ErrNoLeader, also where the leader cannot be reached; or what went
// wrong there.
func (k *Keeper) Elect(ctx context.Context, ids []ID) map[ID]error {
	v := k.sight()
	errs := make(map[ID]error, len(ids))
	from := map[ServerID][]handOver{}
	for _, id := range ids {
		leader, h, err := k.plan(v, id)
		if errs[id] = err; err == nil {
			from[leader] = append(from[leader], h)
		}
	}
	type answer struct {
		handOvers []handOver
		errs      []error
	}
	answered := make(chan answer)
	calls := 0
	for leader, all := range from {
		for some := range slices.Chunk(all, MaxCallItems) {
			calls++
			go func() { answered <- answer{some, k.handOverAt(ctx, leader, some)} }()
		}
	}
	for range calls {
		a := <-answered
		for i, h := range a.handOvers {
			errs[h.id] = a.errs[i]
		}
	}
	return errs
}

// plan says who is to hand a partition over to its preferred replica.
func (k *Keeper) plan(v *sight, id ID) (leader ServerID, h handOver, err error) {
	p := v.partition(id)
	if p == nil || len(Wanted(p)) == 0 {
		return "", h, ErrUnknown
	}
	preferred, ok := v.image.Brokers[Wanted(p)[0]]
	leads, known := v.image.Brokers[k.options.Peers.Leader(id)]
	switch {
	case ok && known && leads.ID == preferred.ID:
		return "", h, ErrNotNeeded
	case !ok || !v.alive(ServerOf(preferred)):
		return "", h, ErrNoPreferred
	case !known:
		return "", h, ErrNoLeader
	}
	return ServerOf(leads), handOver{id, ServerOf(preferred)}, nil
}

// handOverAt lets the leader of partitions hand them over, and returns one error for each.
func (k *Keeper) handOverAt(ctx context.Context, leader ServerID, all []handOver) []error {
	if leader == k.options.Self {
		return k.handOverHere(ctx, all)
	}
	items := make([]transferItem, len(all))
	for i, h := range all {
		items[i] = transferItem{nameOf(h.id), h.to}
	}
	body, err := k.options.Peers.CallTransfer(ctx, leader, encode(items))
	var names []string
	if err == nil {
		names, err = decodeItems[string](body)
	}
	if err == nil && len(names) != len(all) {
		err = fmt.Errorf("%w: %d answers for %d partitions", ErrMalformedCall, len(names), len(all))
	}
	errs := make([]error, len(all))
	for i := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("%w: %w", ErrNoLeader, err)
			continue
		}
		errs[i] = namedError(names[i])
	}
	return errs
}

// HandleTransfer answers Elect's calls (transport.MethodTransfer).
func (k *Keeper) HandleTransfer(ctx context.Context, _ ServerID, body []byte) ([]byte, error) {
	items, err := decodeItems[transferItem](body)
	if err != nil {
		return nil, err
	}
	all := make([]handOver, len(items))
	for i, it := range items {
		all[i] = handOver{it.id(), it.To}
	}
	names := make([]string, len(all))
	for i, err := range k.handOverHere(ctx, all) {
		names[i] = errorName(err)
	}
	return encode(names), nil
}

// handOverHere hands over what this server leads, side by side.
func (k *Keeper) handOverHere(ctx context.Context, all []handOver) []error {
	v := k.sight()
	errs := make([]error, len(all))
	var g errgroup.Group
	g.SetLimit(changesAtOnce)
	for i, h := range all {
		group := k.options.Groups.Get(h.id)
		if group == nil {
			errs[i] = ErrNoLeader
			continue
		}
		s := v.state(h.id, group)
		if errs[i] = mayTake(s, h.to); errs[i] != nil {
			continue
		}
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, transferTimeout)
			defer cancel()
			errs[i] = group.Transfer(ctx, h.to)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return errs
}

// mayTake says why a server cannot be given the leadership of a group; nil: it can.
func mayTake(s *state, to ServerID) error {
	switch {
	case s == nil:
		return ErrNoLeader
	case s.self == to:
		return ErrNotNeeded
	case !slices.Contains(s.voters, to) || !s.good(to):
		return ErrNoPreferred
	}
	return nil
}
