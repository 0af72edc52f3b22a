package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// fdatasync is tried again only where a signal kept it from starting: after any other error the kernel may have marked the
// lost pages clean, and a second call would claim success.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// dropCache takes a file's clean pages out of the page cache. After a failed sync the kernel has marked those that it could
// not write clean, and would show them to readers as if they were on disk.
func dropCache(fd int) { _ = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }

const haveSyncFS = true

func syncFS(d *os.File) error {
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("syncfs %s: %w", d.Name(), err)
	}
	return nil
}
