package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync asks for F_FULLFSYNC: fsync alone leaves the data in the drive's cache here.
func fdatasync(fd int) error {
	for {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// dropCache has nothing to call here.
func dropCache(int) {}

const haveSyncFS = false

func syncFS(d *os.File) error {
	return fmt.Errorf("syncfs %s: %w", d.Name(), errors.ErrUnsupported)
}
