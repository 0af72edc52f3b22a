package broker

import (
	"context"
	"time"
)

// startRetention looks for expired records from time to time, until the broker closes.
func (b *Broker) startRetention() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(b.cfg.RetentionCheck)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				b.limitMemory()
				b.partitions.Retain(ctx)
			}
		}
	}()
	b.onClose("retention", func(context.Context) error {
		cancel()
		<-done
		return nil
	})
}
