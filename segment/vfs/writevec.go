package vfs

import (
	"errors"
	"io"
	"syscall"
)

// iovMax is how many slices one pwritev takes (Linux's UIO_MAXIOV, POSIX's IOV_MAX on the systems supported).
const iovMax = 1024

// vecWriter is the two system calls below writeVec; both may write less than they were given.
type vecWriter interface {
	pwritev(bufs [][]byte, off int64) (int, error)
	pwrite(b []byte, off int64) (int, error)
}

// writeVec writes all of bufs from off on. A call that stops within a slice is resumed with a plain pwrite of that slice's
// rest, so that bufs, which belong to the caller, stay as they are.
func writeVec(w vecWriter, bufs [][]byte, off int64) (written int64, err error) {
	skip := 0 // bytes of bufs[0] that are written
	for {
		for len(bufs) > 0 && len(bufs[0]) == skip {
			bufs, skip = bufs[1:], 0
		}
		if len(bufs) == 0 {
			return written, nil
		}
		var n int
		if skip > 0 || len(bufs) == 1 {
			n, err = w.pwrite(bufs[0][skip:], off+written)
		} else {
			n, err = w.pwritev(bufs[:min(len(bufs), iovMax)], off+written)
		}
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return written, err
		}
		if n == 0 {
			return written, io.ErrShortWrite
		}
		written += int64(n)
		bufs, skip = advance(bufs, skip, n)
	}
}

// advance moves n bytes past skip bytes into bufs[0].
func advance(bufs [][]byte, skip, n int) ([][]byte, int) {
	for n > 0 {
		rest := len(bufs[0]) - skip
		if n < rest {
			return bufs, skip + n
		}
		n -= rest
		bufs, skip = bufs[1:], 0
	}
	return bufs, skip
}
