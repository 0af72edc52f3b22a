package broker

import (
	"context"
	"time"
)

// lane lets work through one at a time, each followed by a rest as many times as long as the work took: all of it together gets
// a fixed share of one processor, and whoever comes waits for that.
type lane struct {
	rest int
	free chan time.Time // holds the end of the rest while nobody works
}

func newLane(rest int) lane {
	l := lane{rest: rest, free: make(chan time.Time, 1)}
	l.free <- time.Time{}
	return l
}

// do waits for the turn and the end of the rest, and works. It returns ctx's error if that ends first.
func (l *lane) do(ctx context.Context, work func() error) error {
	var rested time.Time
	select {
	case rested = <-l.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	if wait := time.Until(rested); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			l.free <- rested
			return ctx.Err()
		}
	}
	began := time.Now()
	defer func() {
		now := time.Now()
		l.free <- now.Add(time.Duration(l.rest) * now.Sub(began))
	}()
	return work()
}
