package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// keepBuffer is the largest buffer that goes back to its pool, so that one large batch does not hold memory for ever.
const keepBuffer = 4 << 20

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

func putBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// decompress appends the plain bytes of src to the empty dst, at most limit of them, and returns it; dst, perhaps grown,
// comes back with an error too.
func decompress(dst []byte, c Compression, src []byte, limit int) ([]byte, error) {
	var err error
	switch c {
	case Gzip:
		dst, err = readGzip(dst, src, limit)
	case Snappy:
		dst, err = readSnappy(dst, src, limit)
	case LZ4:
		dst, err = readLZ4(dst, src, limit)
	case Zstd:
		dst, err = readZstd(dst, src, limit)
	default:
		return dst, fmt.Errorf("%w: unknown codec %d", ErrInvalidRecord, c)
	}
	if err != nil && !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %s: %w", ErrInvalidRecord, c, err)
	}
	return dst, err
}

func tooLarge(limit int) error {
	return fmt.Errorf("%w: more than %d bytes", ErrPlainTooLarge, limit)
}

// readAll reads r to its end and stops as soon as there is more than limit, so that a small batch cannot fill the memory.
func readAll(dst []byte, r io.Reader, limit int) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst) > limit {
			return dst, tooLarge(limit)
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

var gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}

func readGzip(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzip.Reader)
	defer gzipReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return dst, err
	}
	return readAll(dst, r, limit)
}

var lz4Readers = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

func readLZ4(dst, src []byte, limit int) ([]byte, error) {
	r := lz4Readers.Get().(*lz4.Reader)
	defer lz4Readers.Put(r)
	r.Reset(bytes.NewReader(src))
	return readAll(dst, r, limit)
}

// xerialMagic opens the framing of snappy-java, which the Java client writes: two 32-bit versions follow, then blocks,
// each after its 32-bit length. Other clients send one plain block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

func readSnappy(dst, src []byte, limit int) ([]byte, error) {
	blocks, err := snappyBlocksOf(src)
	for err == nil && blocks.more() {
		var block []byte
		if block, err = blocks.next(); err == nil {
			dst, err = snappyBlock(dst, block, limit)
		}
	}
	return dst, err
}

// snappyBlocks takes a records part of snappy apart.
type snappyBlocks struct {
	src    []byte // what is left
	framed bool   // as snappy-java does
}

func snappyBlocksOf(src []byte) (snappyBlocks, error) {
	switch {
	case !bytes.HasPrefix(src, xerialMagic):
		return snappyBlocks{src: src}, nil
	case len(src) < xerialHeader:
		return snappyBlocks{}, io.ErrUnexpectedEOF
	}
	return snappyBlocks{src: src[xerialHeader:], framed: true}, nil
}

func (s *snappyBlocks) more() bool { return len(s.src) > 0 }

func (s *snappyBlocks) next() (block []byte, err error) {
	if !s.framed {
		block, s.src = s.src, nil
		return block, nil
	}
	if len(s.src) < 4 {
		return nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(s.src))
	if s.src = s.src[4:]; n > int64(len(s.src)) {
		return nil, fmt.Errorf("block of %d bytes, %d are left", n, len(s.src))
	}
	block, s.src = s.src[:n], s.src[n:]
	return block, nil
}

// maxSnappyRatio is above what the format can reach: a copy of 64 bytes takes 3. It keeps a length that is only claimed from
// being allocated.
const maxSnappyRatio = 64

func snappyBlock(dst, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return dst, err
	}
	if n > limit-len(dst) {
		return dst, tooLarge(limit)
	}
	if n > maxSnappyRatio*len(block) {
		return dst, fmt.Errorf("block of %d bytes claims %d plain ones", len(block), n)
	}
	at := len(dst)
	dst = append(dst, make([]byte, n)...)
	if _, err := snappy.Decode(dst[at:], block); err != nil {
		return dst[:at], err
	}
	return dst, nil
}

// maxZstdWindow is the limit of Kafka's own decoder (window log 27).
const maxZstdWindow = 128 << 20

func readZstd(dst, src []byte, limit int) ([]byte, error) {
	r, done, err := openZstd(src)
	if err != nil {
		return dst, err
	}
	defer done()
	return readAll(dst, r, limit)
}
