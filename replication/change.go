package replication

import (
	"context"
	"errors"
)

var (
	// ErrChangeUnderWay: the newest configuration is not committed yet; there is one change at a time.
	ErrChangeUnderWay = errors.New("a change of the group's members is under way")
	errUnbuilt        = errors.New("not built yet")
)

// AddLearner makes id a member without a vote, which gets the log; nothing where it is a member already. It returns when that is committed.
// Errors: ErrNotLeader, ErrChangeUnderWay, ErrClosed, ErrUnknownOutcome (it may yet be committed), which is also what comes when ctx ends first.
func (g *Group) AddLearner(ctx context.Context, id ServerID) error { return errUnbuilt }

// Promote gives a learner a vote. Errors as of AddLearner.
func (g *Group) Promote(ctx context.Context, id ServerID) error { return errUnbuilt }

// Remove takes a member out, which may be this server: it leads until that is committed. Errors as of AddLearner.
func (g *Group) Remove(ctx context.Context, id ServerID) error { return errUnbuilt }

// Transfer hands the leadership to another voter: this server stops serving, brings the other up to its log's end and has it elected. Where that fails
// this server stands for election again.
func (g *Group) Transfer(ctx context.Context, to ServerID) error { return errUnbuilt }
