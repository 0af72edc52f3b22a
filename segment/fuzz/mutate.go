package fuzz

import (
	"encoding/binary"
	"math/rand/v2"
)

// maxInput bounds what insertions make of an input.
const maxInput = 64 << 10

// inputs makes one input after the other.
type inputs struct {
	target *Target
	r      *rand.Rand
	buf    []byte
}

// next returns the next input, valid until the following call.
func (in *inputs) next() []byte {
	in.buf = append(in.buf[:0], in.valid()...)
	if in.r.IntN(8) >= max(1, in.target.Intact) {
		for range 1 + in.r.IntN(4) {
			in.buf = in.mutate(in.buf)
		}
	}
	if in.target.Mend != nil && in.r.IntN(2) == 0 {
		in.target.Mend(in.buf)
	}
	return in.buf
}

func (in *inputs) valid() []byte {
	if in.target.Make != nil {
		return in.target.Make(in.r)
	}
	return in.target.Seeds[in.r.IntN(len(in.target.Seeds))]
}

// mutate damages b in one way.
func (in *inputs) mutate(b []byte) []byte {
	r := in.r
	if len(b) == 0 {
		return append(b, byte(r.Uint32()))
	}
	at := r.IntN(len(b))
	switch r.IntN(8) {
	case 0, 1:
		b[at] ^= 1 << r.IntN(8)
	case 2:
		b[at] = byte(r.Uint32())
	case 3:
		return b[:at]
	case 4:
		lie(r, b[at:])
	case 5: // a piece twice
		piece := b[at:min(len(b), at+1+r.IntN(64))]
		if len(b)+len(piece) <= maxInput {
			return append(b, piece...)
		}
	case 6: // a piece less
		n := min(len(b)-at, 1+r.IntN(16))
		return append(b[:at], b[at+n:]...)
	case 7: // the end of another
		other := in.valid()
		if len(other) > at {
			return append(b[:at], other[at:]...)
		}
	}
	return b
}

// lie overwrites what may be a length or a count with a number at the edge of its type, or with one slightly off.
func lie(r *rand.Rand, b []byte) {
	v := [...]uint64{0, 1, 1<<64 - 1, 1<<63 - 1, 1<<31 - 1, 1 << 31, 1<<15 - 1, 1 << 15, 1<<7 - 1, 1 << 20}[r.IntN(10)] >> (r.IntN(4) * r.IntN(8))
	switch width := 1 << r.IntN(4); {
	case r.IntN(4) == 0:
		var text [binary.MaxVarintLen64]byte
		copy(b, text[:binary.PutUvarint(text[:], v)])
	case len(b) < width:
		b[0] += byte(r.IntN(5)) - 2
	case width == 1:
		b[0] = byte(v)
	case width == 2:
		binary.BigEndian.PutUint16(b, uint16(v))
	case width == 4 && r.IntN(2) == 0:
		binary.LittleEndian.PutUint32(b, uint32(v))
	case width == 4:
		binary.BigEndian.PutUint32(b, uint32(v))
	case r.IntN(2) == 0:
		binary.LittleEndian.PutUint64(b, v)
	default:
		binary.BigEndian.PutUint64(b, v)
	}
}
