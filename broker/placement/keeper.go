package placement

import (
	"context"
	"errors"
)

var errNotBuilt = errors.New("not built yet")

// Keeper brings the groups that this broker leads to what the image wants. Run is its only goroutine that decides.
type Keeper struct {
	options Options
}

// New makes a Keeper that does nothing until Run.
func New(o Options) *Keeper { return &Keeper{options: o} }

// Run works until ctx ends, and waits for what it has started.
func (k *Keeper) Run(ctx context.Context) { <-ctx.Done() }

// Drain stops Run's changes for good and hands over all leaderships, the controller group's too, side by side. It returns when none is left, or
// none that could be handed over, or when ctx ends; and how many it still leads of the groups with other voters.
func (k *Keeper) Drain(context.Context) (left int) { return 0 }

// Elect hands the leadership of partitions, whoever leads them, to the preferred replica, and says for each what came of it: nil when it leads,
// ErrNotNeeded, ErrNoPreferred, ErrNoLeader, ErrUnknown.
func (k *Keeper) Elect(_ context.Context, ids []ID) map[ID]error {
	errs := map[ID]error{}
	for _, id := range ids {
		errs[id] = errNotBuilt
	}
	return errs
}

// Member is a replica as the group's leader sees it.
type Member struct {
	Server   ServerID
	Voter    bool
	Behind   uint64 // entries of the log that it is not known to have
	BehindMS int64  // since it last was at the end; 0: it is; -1: never since this leader leads
}

// Replicas asks the leaders of partitions how far their replicas are. What nobody could tell of is left out.
func (k *Keeper) Replicas(context.Context, []ID) map[ID][]Member { return nil }

// HandleTransfer answers Elect's calls (transport.MethodTransfer).
func (k *Keeper) HandleTransfer(_ context.Context, _ ServerID, _ []byte) ([]byte, error) {
	return nil, errNotBuilt
}

// HandleReset answers a leader that has removed this broker's fenced replica from the group (transport.MethodReset).
func (k *Keeper) HandleReset(_ context.Context, _ ServerID, _ []byte) ([]byte, error) {
	return nil, errNotBuilt
}

// HandleReplicas answers calls of Replicas (transport.MethodReplicas).
func (k *Keeper) HandleReplicas(_ context.Context, _ ServerID, _ []byte) ([]byte, error) {
	return nil, errNotBuilt
}
