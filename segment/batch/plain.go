package batch

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// openPlain decompresses src as a stream that ends with ErrTooLarge after limit bytes. done gives back what it took.
func openPlain(c Compression, src []byte, limit int) (plain io.Reader, done func(), err error) {
	switch c {
	case None:
		return bytes.NewReader(src), func() {}, nil
	case Gzip:
		plain, done, err = openGzip(src)
	case Snappy:
		plain, done, err = openSnappy(src, limit)
	case LZ4:
		plain, done, err = openLZ4(src)
	case Zstd:
		plain, done, err = openZstd(src)
	default:
		err = fmt.Errorf("%w: unknown codec %d", ErrInvalidRecord, c)
	}
	if err != nil {
		return nil, nil, err
	}
	return &limitReader{r: plain, left: limit, limit: limit}, done, nil
}

// limitReader ends with ErrTooLarge where there is more than limit bytes.
type limitReader struct {
	r           io.Reader
	left, limit int
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > l.left {
		return 0, tooLarge(l.limit)
	}
	l.left -= n
	return n, err
}

func openGzip(src []byte) (io.Reader, func(), error) {
	r := gzipReaders.Get().(*gzip.Reader)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		gzipReaders.Put(r)
		return nil, nil, err
	}
	return r, func() { gzipReaders.Put(r) }, nil
}

func openLZ4(src []byte) (io.Reader, func(), error) {
	r := lz4Readers.Get().(*lz4.Reader)
	r.Reset(bytes.NewReader(src))
	return r, func() { r.Reset(nil); lz4Readers.Put(r) }, nil
}

// snappyReader decompresses block by block.
type snappyReader struct {
	blocks snappyBlocks // that are not decompressed
	plain  *[]byte      // the current block, from buffers
	rest   []byte       // of plain
	limit  int
}

func openSnappy(src []byte, limit int) (io.Reader, func(), error) {
	blocks, err := snappyBlocksOf(src)
	if err != nil {
		return nil, nil, err
	}
	r := &snappyReader{blocks: blocks, plain: buffers.Get().(*[]byte), limit: limit}
	return r, func() { putBuffer(r.plain) }, nil
}

func (r *snappyReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if !r.blocks.more() {
			return 0, io.EOF
		}
		block, err := r.blocks.next()
		if err != nil {
			return 0, err
		}
		if *r.plain, err = snappyBlock((*r.plain)[:0], block, r.limit); err != nil {
			return 0, err
		}
		r.rest = *r.plain
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// longestSnappyBlock is how much the longest block of src may take when it is decompressed.
func longestSnappyBlock(src []byte) (longest int64) {
	blocks, err := snappyBlocksOf(src)
	for err == nil && blocks.more() {
		var block []byte
		if block, err = blocks.next(); err == nil {
			n, _ := snappy.DecodedLen(block)
			longest = max(longest, int64(min(n, maxSnappyRatio*len(block))))
		}
	}
	return longest
}

const (
	// usualZstdWindow is what zstd's levels up to 19 use at most. Larger ones, which need a decoder of their own, are rare.
	usualZstdWindow = 8 << 20
	// zstdBlock is the longest block, which a decoder holds beside its window.
	zstdBlock = 128 << 10
)

// zstdStreams are decoders that hold a window only, and run in the caller's goroutine.
var zstdStreams = sync.Pool{New: func() any {
	d, err := newZstdStream(usualZstdWindow)
	if err != nil {
		return nil
	}
	return d
}}

func newZstdStream(window uint64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window))
}

// zstdWindow is what the first frame of src makes a decoder hold; 0 where src does not begin with a frame. A later frame with
// a larger one is refused unless it is within usualZstdWindow.
func zstdWindow(src []byte) uint64 {
	var frame zstd.Header
	if err := frame.Decode(src); err != nil {
		return 0
	}
	if frame.SingleSegment {
		return frame.FrameContentSize
	}
	return frame.WindowSize
}

func openZstd(src []byte) (io.Reader, func(), error) {
	window := zstdWindow(src)
	if window > maxZstdWindow {
		return nil, nil, fmt.Errorf("window of %d bytes, the limit is %d", window, maxZstdWindow)
	}
	if window <= usualZstdWindow {
		d, ok := zstdStreams.Get().(*zstd.Decoder)
		if !ok {
			return nil, nil, fmt.Errorf("no decoder")
		}
		return resetZstd(d, src, func() { _ = d.Reset(nil); zstdStreams.Put(d) })
	}
	d, err := newZstdStream(window)
	if err != nil {
		return nil, nil, err
	}
	return resetZstd(d, src, d.Close)
}

func resetZstd(d *zstd.Decoder, src []byte, done func()) (io.Reader, func(), error) {
	if err := d.Reset(bytes.NewReader(src)); err != nil {
		done()
		return nil, nil, err
	}
	return d, done, nil
}
