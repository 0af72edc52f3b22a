package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/quirelog/quire/segment/batch"
)

const (
	scanBufferSize = 512 << 10
	crcStart       = 21 // first byte that a batch's CRC covers
)

// scanSlots bounds the memory of all scans of the process: who wants to scan waits for a turn. scanBuffers gives the memory
// back to the garbage collector when nothing is scanned any more.
var (
	scanSlots   = make(chan struct{}, 4)
	scanBuffers = sync.Pool{New: func() any { b := make([]byte, scanBufferSize); return &b }}
)

// withScanner calls fn with a scanner of file from pos up to size.
func withScanner(file io.ReaderAt, pos, size int64, fn func(*scanner) error) error {
	scanSlots <- struct{}{}
	defer func() { <-scanSlots }()
	buf := scanBuffers.Get().(*[]byte)
	defer scanBuffers.Put(buf)
	return fn(&scanner{file: file, size: size, pos: pos, buf: *buf})
}

// scanner reads a file front to back in large pieces and steps over its batches.
type scanner struct {
	file io.ReaderAt
	size int64 // bytes of the file that count
	pos  int64 // of the next batch
	buf  []byte
	r, w int   // unread part of buf; buf[r] lies at pos
	done int64 // bytes read
}

// window makes at least n unread bytes available if the file has them.
func (s *scanner) window(n int) ([]byte, error) {
	if s.w-s.r >= n {
		return s.buf[s.r:s.w], nil
	}
	s.w = copy(s.buf, s.buf[s.r:s.w])
	s.r = 0
	for s.w < n {
		at := s.pos + int64(s.w)
		piece := s.buf[s.w:]
		if left := s.size - at; int64(len(piece)) > left {
			piece = piece[:max(left, 0)]
		}
		if len(piece) == 0 {
			break
		}
		k, err := s.file.ReadAt(piece, at)
		s.w += k
		s.done += int64(k)
		if k == 0 && errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read at byte %d: %w", at, err)
		}
	}
	return s.buf[s.r:s.w], nil
}

// errNotABatch says that what lies at the scanner's position is not the batch that must follow.
var errNotABatch = errors.New("no whole batch")

// next checks the batch at pos, with its CRC unless headersOnly, and steps past it. errNotABatch ends the log there.
func (s *scanner) next(offset Offset, headersOnly bool) (batch.Header, error) {
	w, err := s.window(batch.HeaderSize)
	if err != nil {
		return batch.Header{}, err
	}
	h, err := batch.ParseHeader(w)
	if err == nil {
		err = checkPlace(&h, offset, s.size-s.pos)
	}
	if err != nil {
		return h, fmt.Errorf("%w at byte %d: %w", errNotABatch, s.pos, err)
	}
	start := s.pos
	if headersOnly {
		s.skip(h.Size())
		return h, nil
	}
	sum, err := s.sum(h.Size())
	if err != nil {
		return h, err
	}
	if sum != h.CRC {
		return h, fmt.Errorf("%w at byte %d: CRC %08x, header says %08x", errNotABatch, start, sum, h.CRC)
	}
	return h, nil
}

// sum computes the CRC of the batch of n bytes at pos and steps past it, however large it is.
func (s *scanner) sum(n int) (uint32, error) {
	sum, skip := uint32(0), crcStart
	for n > 0 {
		w, err := s.window(skip + 1)
		if err != nil {
			return 0, err
		}
		if len(w) <= skip {
			return 0, fmt.Errorf("%w at byte %d: the file ends early", errNotABatch, s.pos)
		}
		w = w[:min(n, len(w))]
		sum = crc32.Update(sum, castagnoli, w[skip:])
		skip = 0
		n -= len(w)
		s.skip(len(w))
	}
	return sum, nil
}

func (s *scanner) skip(n int) {
	s.pos += int64(n)
	if s.r += n; s.r > s.w {
		s.r, s.w = 0, 0
	}
}
