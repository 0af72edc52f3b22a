package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameWish is how long after a first signal another one is taken for the same wish: make passes on a SIGTERM that its whole
// process group got, so that one kill counts twice.
const sameWish = time.Second

// untilSignal ends the context that it returns at the first SIGINT, SIGTERM or SIGHUP (unless nohup said to ignore that), and at
// one that comes sameWish later or more the process, after leave. The function it returns gives the signals their usual effect back.
func (c *cli) untilSignal(ctx context.Context, leave func() error) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	wanted := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		wanted = append(wanted, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, wanted...)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		var first time.Time
		for {
			select {
			case <-stop:
				return
			case <-signals:
			}
			switch {
			case first.IsZero():
				first = time.Now()
				cancel()
			case time.Since(first) >= sameWish:
				_ = leave() // the process ends here, with or without
				c.exit(exitInterrupted)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stop)
		<-stopped
		cancel()
	}
}
