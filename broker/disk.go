package broker

import (
	"context"
	"time"
)

// diskCheckEvery is how soon a disk that is nearly full, or no longer, is told while nothing is produced.
const diskCheckEvery = 5 * time.Second

// watchDisk has the free space looked at until the broker closes: the partitions log when a shortage begins and ends.
func (b *Broker) watchDisk() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(diskCheckEvery)
		defer tick.Stop()
		for {
			_ = b.partitions.DiskFull() // what it says is logged, and counts when something is appended
			select {
			case <-tick.C:
			case <-b.stopping:
				return
			}
		}
	}()
	b.onClose("disk watch", func(context.Context) error {
		<-done
		return nil
	})
}
