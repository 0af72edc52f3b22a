package main

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// loadGroups loads groups that must exist: state, members, committed offsets and how many records lie behind them.
func (c *cli) loadGroups(ctx context.Context, adm *kadm.Client, names ...string) ([]*groupView, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	states := loadStates(ctx, adm, names)
	views := make([]*groupView, 0, len(names))
	for _, name := range names {
		s := states[name]
		if s.err != nil {
			return nil, c.groupError(name, s.err, s.message)
		}
		views = append(views, s.view)
	}
	return views, c.addOffsets(ctx, adm, views)
}

// groupState is what a coordinator says of a group; err is why it does not.
type groupState struct {
	view    *groupView
	err     error
	message string
}

// loadStates asks by the new protocol's call first: the classic one does not know its groups, nor does it know classic ones.
func loadStates(ctx context.Context, adm *kadm.Client, names []string) map[string]groupState {
	states := make(map[string]groupState, len(names))
	if len(names) == 0 { // kadm would take it for all groups
		return states
	}
	modern, modernErr := adm.DescribeConsumerGroups(ctx, names...)
	var rest []string
	for _, name := range names {
		if d, ok := modern[name]; ok && d.Err == nil {
			states[name] = groupState{view: viewConsumerGroup(d)}
		} else {
			rest = append(rest, name)
		}
	}
	if len(rest) == 0 {
		return states
	}
	classic, classicErr := adm.DescribeGroups(ctx, rest...)
	for _, name := range rest {
		d, ok := classic[name]
		s := groupState{err: d.Err, message: d.ErrMessage}
		switch {
		case !ok:
			s.err = firstOf(classicErr, modernErr, kerr.GroupIDNotFound)
		case d.Err == nil && d.State == "Dead": // what brokers before Kafka 4 say of a group that is not there
			s.err = kerr.GroupIDNotFound
		case d.Err == nil:
			s.view = viewClassicGroup(d)
		}
		states[name] = s
	}
	return states
}

// firstOf is the first of errs that is one. Of shards' errors it is the first of theirs: kadm's own text has all of them.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if shards, ok := errors.AsType[*kadm.ShardErrors](err); ok && len(shards.Errs) > 0 {
			return shards.Errs[0].Err
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addOffsets loads what the groups have committed, and where the logs of those partitions end.
func (c *cli) addOffsets(ctx context.Context, adm *kadm.Client, views []*groupView) error {
	names := make([]string, len(views))
	for i, g := range views {
		names[i] = g.Group
	}
	fetched := adm.FetchManyOffsets(ctx, names...)
	topics := kadm.TopicsSet{}
	for _, g := range views {
		f := fetched[g.Group]
		if f.Err != nil {
			return c.groupError(g.Group, f.Err, "")
		}
		g.addOffsets(f.Fetched)
		for _, p := range g.Partitions {
			topics.Add(p.Topic)
		}
	}
	if len(topics) == 0 { // kadm would take it for all topics
		return nil
	}
	ends, err := loadEnds(ctx, adm, topics.Topics()...)
	if err != nil {
		return err
	}
	for _, g := range views {
		g.addLag(ends)
	}
	return nil
}

// loadGroup is loadGroups of one group.
func (c *cli) loadGroup(ctx context.Context, adm *kadm.Client, name string) (*groupView, error) {
	views, err := c.loadGroups(ctx, adm, name)
	if err != nil {
		return nil, err
	}
	return views[0], nil
}
