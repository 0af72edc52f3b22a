package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep sleeps in the kernel, which is exact to about 60 µs: the runtime's timers are exact to a millisecond when all else is idle.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal wakes it early: the caller looks at the clock again
}
