package segment

import (
	"fmt"
	"hash/crc32"

	"github.com/quirelog/quire/segment/batch"
)

// verifier holds a run of whole batches, given to it piece by piece, against their CRCs, and their base offsets against each other.
type verifier struct {
	next Offset // base offset of the batch to come
	left int    // bytes of the batch under way, behind its header
	sum  uint32 // of what was seen of it
	want uint32
	head [batch.HeaderSize]byte // of a batch whose header came in two pieces
	have int
}

// check takes the next piece; last says that none follows. An error is found before the last byte of the batch that it is in has been passed, or,
// where the batch's length is what is wrong, before the last byte of all.
func (v *verifier) check(p []byte, last bool) error {
	if err := v.pass(p); err != nil || !last || v.left == 0 && v.have == 0 {
		return err
	}
	return fmt.Errorf("%w: the batch before offset %d is longer than what is there", ErrDamaged, v.next)
}

func (v *verifier) pass(p []byte) error {
	for len(p) > 0 {
		if v.left == 0 {
			head := p
			if v.have > 0 || len(p) < batch.HeaderSize {
				n := copy(v.head[v.have:], p)
				v.have, p = v.have+n, p[n:]
				if v.have < batch.HeaderSize {
					return nil
				}
				head, v.have = v.head[:], 0
			} else {
				p = p[batch.HeaderSize:]
			}
			if err := v.begin(head[:batch.HeaderSize]); err != nil {
				return err
			}
		}
		n := min(v.left, len(p))
		v.sum = crc32.Update(v.sum, castagnoli, p[:n])
		v.left, p = v.left-n, p[n:]
		if v.left == 0 && v.sum != v.want {
			return fmt.Errorf("%w: batch before offset %d: CRC %08x, header says %08x", ErrDamaged, v.next, v.sum, v.want)
		}
	}
	return nil
}

func (v *verifier) begin(head []byte) error {
	h, err := batch.ParseHeader(head)
	switch {
	case err != nil:
		return fmt.Errorf("%w: batch at offset %d: %w", ErrDamaged, v.next, err)
	case h.Magic != 2:
		return fmt.Errorf("%w: batch at offset %d: magic %d", ErrDamaged, v.next, h.Magic)
	case h.BaseOffset != v.next:
		return fmt.Errorf("%w: batch of offset %d, want %d", ErrDamaged, h.BaseOffset, v.next)
	}
	v.next, v.left = h.Next(), h.Size()-batch.HeaderSize
	v.sum, v.want = crc32.Checksum(head[crcStart:], castagnoli), h.CRC
	return nil
}
