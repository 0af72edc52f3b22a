//go:build linux || darwin

package vfs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sysVec writes to a descriptor.
type sysVec struct{ fd int }

func (v sysVec) pwritev(bufs [][]byte, off int64) (int, error) { return unix.Pwritev(v.fd, bufs, off) }
func (v sysVec) pwrite(b []byte, off int64) (int, error)       { return unix.Pwrite(v.fd, b, off) }

func freeSpace(dir string) (free, total uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}
