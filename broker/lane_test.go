package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Ten pieces of work of 10 ms with a rest of seven times that take 730 ms, whoever brings them, and one after the other.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(7)
		began, working, done := time.Now(), 0, make(chan error)
		work := func() error {
			if working++; working > 1 {
				t.Error("two at one time")
			}
			<-time.After(10 * time.Millisecond)
			working--
			return nil
		}
		for range 10 {
			go func() { done <- l.do(t.Context(), work) }()
		}
		for range 10 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 730*time.Millisecond {
			t.Errorf("took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		if err := l.do(ctx, work); !errors.Is(err, context.DeadlineExceeded) { // during the rest, which goes on
			t.Errorf("got %v", err)
		}
		failed := errors.New("failed")
		if err := l.do(t.Context(), func() error { return failed }); err != failed {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 800*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}
