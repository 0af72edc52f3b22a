package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	retryAfter = 50 * time.Millisecond // between attempts, where nobody tells that another controller is there
	attempt    = 5 * time.Second       // after that much of silence a forwarded command is sent again
)

// errAgain is what an attempt ends with that may be made again, here or elsewhere.
var errAgain = errors.New("no controller has taken it")

// propose runs one command through the log, wherever the controller is. Every command can be proposed again when nobody knows what became
// of it: it does nothing then, or is refused in a way that repeated understands.
func (c *Controller) propose(ctx context.Context, cmd command) (result, error) {
	if ctx.Err() != nil {
		return result{}, timeout(ctx)
	}
	data, err := encodeCommand(cmd)
	if err != nil {
		return result{}, err
	}
	if !c.begin() {
		return result{}, fmt.Errorf("%w: it is closing", ErrNotController)
	}
	defer c.calls.Done()
	for again := false; ; again = true {
		roles := c.rolesChanged()
		r, err := c.submit(ctx, cmd, data)
		if again {
			r, err = c.repeated(cmd, r, err)
		}
		if !errors.Is(err, errAgain) {
			return r, err
		}
		if ended := c.pause(ctx, roles); ended != nil {
			return result{}, fmt.Errorf("%w; before: %v", ended, err)
		}
	}
}

// pause waits for another controller, or a little.
func (c *Controller) pause(ctx context.Context, roles <-chan struct{}) error {
	timer := time.NewTimer(retryAfter)
	defer timer.Stop()
	select {
	case <-roles:
	case <-timer.C:
	case <-c.closed:
		return fmt.Errorf("%w: it is closing", ErrNotController)
	case <-ctx.Done():
		return timeout(ctx)
	}
	return nil
}

// submit is one attempt. errAgain when it is not known to be done.
func (c *Controller) submit(ctx context.Context, cmd command, data []byte) (result, error) {
	leader := c.leader()
	switch {
	case c.o.alone() || c.Leads():
		r, _, err := c.applyHere(ctx, data)
		return r, err
	case c.o.Forward == nil:
		return result{}, fmt.Errorf("%w: broker %d is", ErrNotController, c.Leader())
	case leader == "" || leader == c.store.server:
		return result{}, errAgain
	}
	return c.forward(ctx, leader, cmd, data)
}

// applyHere runs a command through the log of this broker, which leads. index is its place there. What several goroutines propose at the
// same time shares one write and one image.
func (c *Controller) applyHere(ctx context.Context, data []byte) (_ result, index uint64, _ error) {
	var enqueue time.Duration // 0: as long as it takes
	if deadline, ok := ctx.Deadline(); ok {
		enqueue = max(time.Until(deadline), time.Nanosecond)
	}
	type outcome struct {
		r     result
		index uint64
		err   error
	}
	done := make(chan outcome, 1)
	c.calls.Go(func() { // within propose or HandleCommand, which hold a call
		f := c.raft.Apply(data, enqueue)
		var o outcome
		if o.err = sortError(f.Error()); o.err == nil {
			o.r, o.index = f.Response().(result), f.Index()
			o.err = o.r.err
		}
		done <- o
	})
	select {
	case o := <-done:
		return o.r, o.index, o.err
	case <-ctx.Done():
		return result{}, 0, timeout(ctx)
	}
}

// sortError sorts Raft's errors into the package's.
func sortError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrRaftShutdown):
		return fmt.Errorf("%w: %w", ErrNotController, err)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w: %w", errAgain, ErrNotController, err)
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipLost):
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	return fmt.Errorf("controller log: %w", err)
}

// repeated judges the outcome of a command of which an earlier attempt may have been carried out.
func (c *Controller) repeated(cmd command, r result, err error) (result, error) {
	done := false
	switch cmd := cmd.(type) {
	case *deleteTopic:
		done = errors.Is(err, ErrUnknownTopic)
	case *unregisterBroker:
		done = errors.Is(err, ErrUnknownBroker)
	case *addPartitions:
		done = errors.Is(err, ErrPartitions) && cmd.in(c.Image().TopicsByID[cmd.ID])
	case *reassignPartitions:
		for i := range r.each {
			if errors.Is(r.each[i], ErrNoReassignment) {
				r.each[i] = nil
			}
		}
	}
	if done {
		return result{}, nil
	}
	return r, err
}

// in says whether t has the partitions that are to be added.
func (c *addPartitions) in(t *Topic) bool {
	if t == nil || len(t.Partitions) < c.From+len(c.Add) {
		return false
	}
	return slices.EqualFunc(c.Add, t.Partitions[c.From:c.From+len(c.Add)], func(a, b Partition) bool {
		return slices.Equal(a.Replicas, b.Replicas)
	})
}

// begin counts a command that Close waits for; false once Close was called.
func (c *Controller) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return false
	}
	c.calls.Add(1)
	return true
}

// timeout is ErrTimeout with the reason why ctx ended.
func timeout(ctx context.Context) error {
	return fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
}
